//! Makes the log of a build from its journal.

use graph::BuildGraph;
use image::{ImageId, Platform};

use super::log::{BuildLog, write};
use crate::ops::{BuildWorker, now_unix_ns};
use crate::{BuildRequest, Context, Engine};

impl BuildLog {
    /// The log of a build whose steps have ended; none when everything was there already, and so nothing has
    /// to be explained.
    pub(crate) fn begin(
        worker: &BuildWorker,
        request: &BuildRequest,
        platform: &Platform,
        graph: &BuildGraph,
    ) -> Option<Self> {
        if !worker.journal.has_run() {
            return None;
        }
        let id = worker.logs.file_name().expect("the logs of a build are in a directory of their own");
        let context = match &request.context {
            Context::Directory(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
            other => other.to_string().into(),
        };
        Some(Self {
            id: id.to_string_lossy().into_owned(),
            ended_unix_ns: now_unix_ns(),
            context: context.to_string_lossy().into_owned(),
            target: request.target.clone(),
            platform: platform.to_string(),
            tags: request.tags.iter().map(ToString::to_string).collect(),
            image: None,
            steps: worker.journal.take(graph),
        })
    }
}

impl Engine {
    /// Keeps the log of a build. An explanation that is lost is no reason to fail.
    pub(crate) fn remember_build(&self, log: Option<BuildLog>, image: Option<ImageId>) {
        let Some(mut log) = log else { return };
        log.image = image.map(|id| id.to_string());
        if let Err(error) = write(self.root(), &log) {
            tracing::warn!(%error, "a build will not be explained");
        }
    }
}
