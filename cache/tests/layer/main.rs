//! Layers against the real kernel: tars of every kind go in, directories and tars come out.
//!
//! These tests make device nodes and mounts, so they run as root; elsewhere they fail rather than pass
//! unseen.

mod apply;
mod decompress;
mod golden;
mod hostile;
mod overlay;
mod rootless;
mod support;
