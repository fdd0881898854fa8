//! Finished images, on a real store, with other people's tools as witnesses.

#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

mod fixture;

mod clamps;
mod exports;
mod full_disks;
mod hostile;
mod imports;
mod loads;
mod names;
mod saves;
mod views;
