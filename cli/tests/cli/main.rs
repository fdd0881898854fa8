//! Every command as a user runs it, with its output.
//!
//! `SLIPWAY_BIN` names the binary; without it, it is the one that Cargo has just built.

#![allow(clippy::unwrap_used, reason = "what a test cannot do is a failure of the test")]

mod build;
mod commit;
mod containers;
mod copy;
mod copy_volumes;
mod events;
#[cfg(feature = "generate")]
mod generate;
mod health;
mod help;
mod images;
mod limits;
mod mistakes;
mod network;
mod networks;
mod networks6;
mod odd_hosts;
mod packed;
mod privileges;
mod questions;
mod report;
mod rootless;
mod run;
mod sharing;
mod space;
mod store_check;
mod support;
mod terminal;
mod volumes;
mod walls;
mod why;
