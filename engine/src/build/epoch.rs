//! Whose time a result has, when `SOURCE_DATE_EPOCH` is not a number.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cache::{Layer, Store};
use frontend::remote::Remote;
use frontend::{Epoch, EpochSource, PlanOptions};
use graph::HttpSource;

use super::context::{HEAD_BYTES, SINGLE_FILE, unpack, without_line};
use super::dockerfile::Source;
use crate::blocking::blocking;
use crate::context::{ContextRoot, RemoteFiles, is_archive, newest_unix_s};
use crate::fetch::{self, Access};
use crate::steps::Steps;
use crate::{BuildError, BuildRequest, Engine, NamedContext};

/// The step that finds the time.
const RESOLVE: &str = "[internal] resolve SOURCE_DATE_EPOCH";

/// What a build has at hand to find its time.
pub(super) struct Clocks<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) access: &'a Access,
    /// The main build context.
    pub(super) main: Option<&'a ContextRoot>,
    pub(super) source: &'a Source,
    pub(super) steps: &'a Steps,
}

impl Engine {
    /// The same options with the time that they ask for. Files of this machine have none: nothing is set then, as in
    /// BuildKit.
    pub(super) async fn with_epoch(
        &self,
        options: PlanOptions,
        dockerfile: &frontend::Dockerfile,
        clocks: &Clocks<'_>,
    ) -> Result<PlanOptions, BuildError> {
        let found = frontend::epoch_source(dockerfile, &options);
        let found = found.map_err(|wrong| clocks.source.errors(&[wrong]))?;
        let time = match found {
            None => return Ok(options),
            Some(EpochSource::Context) => clocks.main.and_then(ContextRoot::made_unix_s),
            Some(EpochSource::Remote(remote)) => self.remote_time(&remote, clocks).await?,
            Some(EpochSource::Named(name)) => match clocks.request.named_contexts.get(&name) {
                Some(NamedContext::Remote(RemoteFiles(remote))) => self.remote_time(remote, clocks).await?,
                _ => None,
            },
        };
        Ok(PlanOptions { source_date_epoch: Epoch::Known(time), ..options })
    }

    async fn remote_time(&self, remote: &Remote, clocks: &Clocks<'_>) -> Result<Option<i64>, BuildError> {
        clocks.steps.during(RESOLVE, self.time_of(remote, clocks.access)).await
    }

    /// When a commit was made, or a file was changed: as its server says, else the newest of what is in an archive.
    async fn time_of(&self, remote: &Remote, access: &Access) -> Result<Option<i64>, BuildError> {
        match remote {
            Remote::Git(git) => {
                let committed = async {
                    let access = access.git(&git.source).await?;
                    let commit = fetch::resolve(&self.store, &access, &git.source).await?;
                    fetch::layer(&self.store, &access, &git.source, &commit).await
                };
                let files = committed.await.map_err(without_line)?;
                Ok(Some(files.committed_unix_s))
            }
            Remote::Http(http) => {
                let filename = http.filename.clone().or_else(|| Some(SINGLE_FILE.to_owned()));
                let http = HttpSource { filename, ..http.clone() };
                let file = fetch::file(&self.store, access, &http, &|_, _| ()).await.map_err(without_line)?;
                let (store, layer) = (self.store.clone(), self.layer(file.layer)?);
                blocking(move || file_time(&store, layer, &file.name)).await
            }
        }
    }
}

fn file_time(store: &Store, layer: Layer, name: &str) -> Result<Option<i64>, BuildError> {
    let read_error = |source| BuildError::ContextStream { source };
    let root = ContextRoot::fetched(layer)?;
    let open = || root.open(Path::new(name)).map_err(read_error);
    let file = open()?;
    // The beginning of all time is that of a file whose server tells none.
    if let modified @ 1.. = file.metadata().map_err(read_error)?.mtime() {
        return Ok(Some(modified));
    }
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head).map_err(read_error)?;
    if !is_archive(&head) {
        return Ok(None);
    }
    // What only begins like an archive has no time, as in BuildKit.
    Ok(unpack(store, open()?).ok().and_then(|files| newest_unix_s(&files.fs_path())))
}
