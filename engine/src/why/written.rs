//! What the steps of a build wrote, as it is kept on disk.

use std::path::PathBuf;

use super::log::{BuildLog, LoggedStep, newest_first};
use super::{WhyError, matching};
use crate::Engine;

/// What a step wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The step's number, as [`Engine::why`] counts.
    pub number: usize,
    /// `[build 2/5] RUN make`
    pub name: String,
    /// The file with what it wrote to both streams, in the order in which it did. Secrets are not in it.
    pub path: PathBuf,
}

impl Engine {
    /// What the steps of a build wrote, those that wrote something; build and steps as for [`Engine::why`]. For a step
    /// that was cached, what it wrote when it ran.
    pub fn written(&self, name: Option<&str>, step: Option<&str>) -> Result<Vec<Written>, WhyError> {
        let logs: Vec<BuildLog> = newest_first(self.root()).collect();
        let at = self.build_at(&logs, name)?;
        let steps = logs[at].steps.iter().enumerate().map(|(at, step)| (at + 1, step));
        let wanted = matching(steps.collect(), step, |(number, it)| (*number, &it.name))?;
        let written = |(number, it): (usize, &LoggedStep)| {
            Some(Written { number, name: it.name.clone(), path: self.log_of(&logs[at..], it)? })
        };
        let written: Vec<_> = wanted.into_iter().filter_map(written).collect();
        if written.is_empty() { Err(WhyError::NothingWritten) } else { Ok(written) }
    }

    /// The file of a step of the first of these builds, or of the latest earlier run of it.
    fn log_of(&self, logs: &[BuildLog], step: &LoggedStep) -> Option<PathBuf> {
        let is_same = |other: &&LoggedStep| other.key.is_some() && other.key == step.key;
        let file = |build: &BuildLog, step: &LoggedStep| {
            let path = self.root().join("logs").join(&build.id).join(format!("{}.log", step.number?));
            path.exists().then_some(path)
        };
        let runs =
            logs.iter().flat_map(|build| build.steps.iter().filter(is_same).map(move |it| (build, it)));
        runs.into_iter().find_map(|(build, step)| file(build, step))
    }
}
