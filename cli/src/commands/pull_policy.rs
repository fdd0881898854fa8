//! `--pull` of `build` and `run`.

use engine::PullPolicy;

/// When to ask the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PullArg {
    #[value(alias = "true")]
    Always,
    #[value(alias = "false")]
    Missing,
    Never,
}

impl From<PullArg> for PullPolicy {
    fn from(argument: PullArg) -> Self {
        match argument {
            PullArg::Always => Self::Always,
            PullArg::Missing => Self::Missing,
            PullArg::Never => Self::Never,
        }
    }
}
