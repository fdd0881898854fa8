//! Brings the build context to where it can be read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cache::layer::{Limits, decompress, unpack_archive};
use cache::{ActiveLayer, Key, Layer, LayerId, Record, Store};
use frontend::remote::Remote;
use graph::{GitSource, HttpSource};
use image::Hasher;

use super::dockerfile;
use crate::blocking::blocking;
use crate::context::{ContextRoot, RemoteFiles, is_archive};
use crate::fetch::{self, Access, FetchError};
use crate::ops::now_unix_ns;
use crate::steps::Steps;
use crate::{BuildError, BuildRequest, Context, DockerfileSource, Engine, Progress};

/// In every store, see `cache::Store`.
const EMPTY_DIRECTORY: &str = "empty";
/// Everything in a context belongs to root, whoever owns it elsewhere.
const CONTEXT_OWNER: (u32, u32) = (0, 0);
/// As BuildKit's progress calls it.
const LOAD_REMOTE: &str = "[internal] load remote build context";
/// The name of a context that is one file, as in BuildKit: then it is the Dockerfile.
pub(super) const SINGLE_FILE: &str = "context";
/// The build argument that keeps the `.git` of a context.
const KEEP_GIT_DIR: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";
/// Enough to tell a tar from a Dockerfile.
pub(super) const HEAD_BYTES: u64 = 1024;

/// A build context that has been brought here. The files of a context that came from elsewhere are there until
/// this is dropped.
#[derive(Debug, Clone)]
pub struct FetchedContext {
    pub(super) root: ContextRoot,
    /// The text of a Dockerfile that came from a web server.
    pub(super) dockerfile: Option<String>,
}

impl FetchedContext {
    /// The context of a build whose files are all at hand, for questions that need no store; none for others.
    pub fn at_hand(request: &BuildRequest) -> Option<Self> {
        if matches!(request.dockerfile, DockerfileSource::Url(_)) {
            return None;
        }
        let root = match &request.context {
            Context::Directory(path) => ContextRoot::own(path.clone()),
            Context::Empty => ContextRoot::empty(EMPTY_DIRECTORY.into()),
            Context::Client(files) => ContextRoot::promised(files.clone()),
            Context::Archive(_) | Context::Remote(_) => return None,
        };
        Some(Self { root, dockerfile: None })
    }
}

impl Engine {
    /// Brings the context of a build, and its Dockerfile, to where they can be read.
    ///
    /// # Errors
    ///
    /// When it cannot be had, or is no archive of files.
    pub async fn fetch_context(
        &self,
        request: &BuildRequest,
        progress: Progress,
    ) -> Result<FetchedContext, BuildError> {
        let access = Access::new(request);
        let steps = Steps::new(progress);
        let root = self.context_root(request, &access, &steps).await?;
        let dockerfile = self.remote_dockerfile(request, &access, &steps).await?;
        Ok(FetchedContext { root, dockerfile })
    }

    /// The text of a Dockerfile of a web server; none when it is elsewhere.
    pub(super) async fn remote_dockerfile(
        &self,
        request: &BuildRequest,
        access: &Access,
        steps: &Steps,
    ) -> Result<Option<String>, BuildError> {
        let DockerfileSource::Url(url) = &request.dockerfile else { return Ok(None) };
        let source = HttpSource { filename: Some(SINGLE_FILE.to_owned()), ..HttpSource::new(url) };
        let loaded = async {
            let file = fetch::file(&self.store, access, &source, &|_, _| ()).await.map_err(without_line)?;
            dockerfile::read_fetched(open(&self.layer(file.layer)?), &graph::redacted(url))
        };
        let name = format!("[internal] load remote Dockerfile {}", graph::redacted(url));
        steps.during(&name, loaded).await.map(Some)
    }

    pub(super) async fn context_root(
        &self,
        request: &BuildRequest,
        access: &Access,
        steps: &Steps,
    ) -> Result<ContextRoot, BuildError> {
        match &request.context {
            Context::Directory(path) => Ok(ContextRoot::own(path.clone())),
            Context::Empty => Ok(ContextRoot::empty(self.root().join(EMPTY_DIRECTORY))),
            Context::Client(files) => Ok(ContextRoot::promised(files.clone())),
            Context::Archive(stream) => {
                let (store, stream) = (self.store.clone(), stream.clone());
                let unpacked = blocking(move || unpack(&store, stream));
                Ok(ContextRoot::passing(steps.during(LOAD_REMOTE, unpacked).await?))
            }
            Context::Remote(RemoteFiles(Remote::Http(source))) => {
                self.server_files(source, access, steps).await
            }
            Context::Remote(remote @ RemoteFiles(Remote::Git(git))) => {
                let keeps = request.build_args.get(KEEP_GIT_DIR).is_some_and(|value| is_on(value));
                let keep_git_dir = git.source.keep_git_dir || keeps;
                let source = GitSource { keep_git_dir, ..git.source.clone() };
                let name = format!("[internal] load git source {remote}");
                let fetched = steps.during(&name, self.commit_files(&source, access));
                let (layer, committed_unix_s) = fetched.await?;
                Ok(ContextRoot::commit(layer, Some(committed_unix_s))?)
            }
        }
    }

    /// A tar of the files, or a Dockerfile alone.
    async fn server_files(
        &self,
        source: &HttpSource,
        access: &Access,
        steps: &Steps,
    ) -> Result<ContextRoot, BuildError> {
        let source = HttpSource { filename: Some(SINGLE_FILE.to_owned()), ..source.clone() };
        let step = steps.begin(LOAD_REMOTE);
        let on_bytes = |count, total| steps.progressed(step, "transferring context:", count, total);
        let root = async {
            let file = fetch::file(&self.store, access, &source, &on_bytes).await.map_err(without_line)?;
            let (store, layer) = (self.store.clone(), self.layer(file.layer)?);
            blocking(move || root_of_file(&store, &layer, &file.identity())).await
        };
        let root = root.await;
        match &root {
            Ok(_) => steps.complete(step),
            Err(error) => steps.fail(step, error.to_string()),
        }
        root
    }

    /// The files of a commit, and when it was made.
    async fn commit_files(&self, source: &GitSource, access: &Access) -> Result<(Layer, i64), BuildError> {
        let fetched = async {
            let access = access.git(source).await?;
            let commit = fetch::resolve(&self.store, &access, source).await?;
            fetch::layer(&self.store, &access, source, &commit).await
        };
        let files = fetched.await.map_err(without_line)?;
        Ok((self.layer(files.layer)?, files.committed_unix_s))
    }

    pub(super) fn layer(&self, id: LayerId) -> Result<Layer, BuildError> {
        self.store.layer(&id)?.ok_or_else(|| cache::StoreError::NoLayer { id }.into())
    }
}

/// The user has named the context, and no line of the Dockerfile.
pub(super) fn without_line(source: FetchError) -> BuildError {
    BuildError::Fetch { rendered: String::new(), source }
}

/// What Go's `strconv.ParseBool` takes for true.
fn is_on(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// Unpacks the file if it is an archive; once, for all builds.
fn root_of_file(store: &Store, layer: &Layer, identity: &image::Digest) -> Result<ContextRoot, BuildError> {
    let read_error = |source| BuildError::ContextStream { source };
    let open = || open(layer).map_err(read_error);
    let mut head = Vec::new();
    open()?.take(HEAD_BYTES).read_to_end(&mut head).map_err(read_error)?;
    let modified = open()?.metadata().map_err(read_error)?.mtime();
    if !is_archive(&head) {
        return Ok(ContextRoot::single_file(layer.clone(), SINGLE_FILE)?);
    }
    let key = Key(Hasher::new("context-archive/v1").field("file", identity.0).finish());
    let known = store.record(&key)?.and_then(|record| record.layers.first().copied());
    let files = match known.map(|id| store.layer(&id)).transpose()?.flatten() {
        Some(files) => files,
        None => {
            let files = unpack(store, open()?)?.commit()?;
            store.put_record(&record(key, files.id(), "build context"))?;
            files
        }
    };
    Ok(ContextRoot::archive(files, modified)?)
}

fn open(layer: &Layer) -> io::Result<File> {
    ContextRoot::fetched(layer.clone()).map_err(io::Error::other)?.open(Path::new(SINGLE_FILE))
}

fn record(key: Key, layer: LayerId, description: &str) -> Record {
    Record {
        key,
        offered: None,
        layers: vec![layer],
        content: None,
        created_unix_ns: now_unix_ns(),
        description: description.to_owned(),
        ingredients: Vec::new(),
    }
}

/// Unpacks a tar into a layer that is not part of the store.
pub(super) fn unpack(store: &Store, tar: impl io::Read) -> Result<ActiveLayer, BuildError> {
    let limits = Limits::default();
    let layer = store.begin_layer()?;
    let mut tar = decompress(tar, &limits).map_err(|source| BuildError::ContextStream { source })?;
    unpack_archive(&mut *tar, layer.open()?.as_fd(), Some(CONTEXT_OWNER), &limits)
        .map_err(|source| BuildError::ContextArchive { source })?;
    Ok(layer)
}
