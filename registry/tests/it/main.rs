//! The client against a registry that does what scripts tell it: every fault of a network and of other people's
//! servers.

#![allow(clippy::unwrap_used, reason = "a test panics at its first surprise")]

mod auth;
mod double;
mod fetch;
mod manifests;
mod push;
mod server;
mod support;
