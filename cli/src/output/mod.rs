//! How commands show what they have found: sizes, ages, tables.

mod format;
mod human;
mod time;

pub(crate) use format::{Format, Headers};
pub(crate) use human::{age, ellipsis, size, size_binary, size_fixed, truncate_id};
pub(crate) use time::{local, parse_age, rfc3339, rfc3339_nano};

/// What stands where an image has no name, tag or digest.
pub(crate) const NONE: &str = "<none>";
