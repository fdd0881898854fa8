//! The store's promises, checked from outside: everything here uses only what the crate exports.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its fixture has failed")]

mod collect;
mod collect_kill;
mod damage;
mod full_disk;
mod kill;
mod layers;
mod locks;
mod packed;
mod sharing;
mod support;
mod views;
