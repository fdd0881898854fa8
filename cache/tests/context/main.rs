//! Looks at build contexts, as the engine takes them.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its fixture has failed")]

mod changes;
mod scan;
mod support;
