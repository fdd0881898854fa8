//! The daemon as clients of BuildKit meet it: `buildx` of Debian's next release builds with it, unchanged.
#![allow(clippy::unwrap_used, reason = "whatever is missing ends the test, and says so")]

#[path = "../builds/support.rs"]
#[allow(dead_code, reason = "shared with the tests of builds, which use the rest")]
mod support;

#[path = "../registries/server.rs"]
#[allow(dead_code, reason = "shared with the tests of registries, which use the rest")]
mod server;

#[path = "../registries/object_server.rs"]
#[allow(dead_code, reason = "shared with the tests of registries, which use the rest")]
mod object_server;

#[path = "../builds/server.rs"]
#[allow(dead_code, reason = "shared with the tests of builds, which use the rest")]
mod web_server;

mod buildctl;
mod buildkitd;
mod buildx;
mod cancel;
mod certificates;
mod client;
mod doors;
mod frontend;
mod gateway;
mod image;
mod kubernetes;
mod layouts;
mod llb;
mod marshal;
mod outputs;
mod parallel;
mod remote;
mod sources;
mod units;
