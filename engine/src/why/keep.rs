//! Makes the log of a build.

use std::path::Path;

use image::Platform;

use super::log::{BuildLog, write};
use crate::{BuildRequest, Context, DockerfileSource, Engine};

impl BuildLog {
    /// The log of a build that begins, with `logs` as the directory for the output of its steps.
    pub(crate) fn begin(logs: &Path, request: &BuildRequest, platforms: &[Platform]) -> Self {
        let id = logs.file_name().expect("the logs of a build are in a directory of their own");
        let context = match &request.context {
            Context::Directory(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
            other => other.to_string().into(),
        };
        Self {
            id: id.to_string_lossy().into_owned(),
            ended_unix_ns: 0,
            context: context.to_string_lossy().into_owned(),
            dockerfile: match &request.dockerfile {
                DockerfileSource::Context => "Dockerfile".to_owned(),
                DockerfileSource::Path(path) => path.to_string_lossy().into_owned(),
                DockerfileSource::Url(url) => graph::redacted(url),
                DockerfileSource::Text(_) | DockerfileSource::Graph(_) => "-".to_owned(),
            },
            target: request.target.clone(),
            platform: platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            tags: request.tags.iter().map(ToString::to_string).collect(),
            image: None,
            steps: Vec::new(),
        }
    }
}

impl Engine {
    /// Keeps the log of a build that has ended. An explanation that is lost is no reason to fail.
    pub(crate) fn remember_build(&self, log: &BuildLog) {
        if let Err(error) = write(self.root(), log) {
            tracing::warn!(%error, "a build will not be explained");
        }
    }
}
