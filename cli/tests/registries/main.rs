//! Registries as a user meets them: Debian's `docker-registry`, with `skopeo` on the other side.
#![allow(clippy::unwrap_used, reason = "whatever is missing ends the test, and says so")]

#[path = "../builds/support.rs"]
#[allow(dead_code, reason = "shared with the tests of builds, which use the rest")]
mod support;

mod access;
mod attestations;
mod build;
mod caches;
mod caches_actions;
mod caches_auto;
mod caches_early;
mod caches_foreign;
mod caches_lost;
mod caches_mounts;
mod caches_objects;
mod copies;
mod drop_ins;
mod hostile;
mod lists;
mod object_server;
mod outputs;
mod pipelines;
mod platforms;
mod pull;
mod push;
mod server;
