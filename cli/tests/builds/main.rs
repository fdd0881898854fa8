//! Whole builds as a user does them, looked at with other people's tools.
//!
//! Each test has a store of its own. The Dockerfiles are in `testdata/builds`; what they come to is unpacked
//! with `skopeo` and `umoci` and compared entry by entry.
#![allow(clippy::unwrap_used, reason = "whatever is missing ends the test, and says so")]

mod agents;
mod caching;
mod contexts;
mod corners;
mod crowds;
mod entitlements;
mod epoch;
mod explore;
mod failures;
mod git;
mod git_attacks;
mod git_server;
mod inetd;
mod mounts;
mod remote;
mod remote_contexts;
mod reproducible;
mod results;
mod secrets;
mod server;
mod sizes;
mod squash;
mod support;
mod transports;
