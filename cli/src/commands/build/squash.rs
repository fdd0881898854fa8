//! `--squash`.

use std::str::FromStr;

use engine::Squash;

/// Which layers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SquashArg(pub(super) Squash);

/// Why a text does not say which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected all, new or the number of a step")]
pub(crate) struct SquashError;

impl FromStr for SquashArg {
    type Err = SquashError;

    fn from_str(text: &str) -> Result<Self, SquashError> {
        Ok(Self(match text {
            // As in Docker, where it is a switch.
            "new" | "true" => Squash::New,
            "all" => Squash::All,
            step => Squash::From(step.parse().map_err(|_| SquashError)?),
        }))
    }
}
