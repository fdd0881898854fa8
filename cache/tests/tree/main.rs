//! Copies between trees against the real kernel. Run as root: owners and devices are part of it.

mod archive;
mod context;
mod copy;
mod digest;
mod files;
mod select;
#[allow(dead_code, reason = "shared with the tests of layers, which use all of it")]
#[path = "../layer/support.rs"]
mod support;
