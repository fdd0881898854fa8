//! A commit as a layer.

use std::fs;
use std::io;
use std::path::Path;

use cache::{Key, LayerId, Record, Store};
use graph::{GitSource, GitTimes, Op};
use image::Hasher;

use super::command::Git;
use super::repository::Repository;
use super::{Commit, GitAccess, GitError, files, submodules};
use crate::blocking::blocking;
use crate::fetch::FetchError;
use crate::ops::now_unix_ns;

/// The directory that makes a tree a repository.
const GIT_DIRECTORY: &str = ".git";
/// What a record of a commit's files keeps: when it was made, seconds since 1970.
const COMMITTED: &str = "committed";

/// The files of a commit.
pub(crate) struct CommitFiles {
    pub(crate) layer: LayerId,
    /// When the commit was made.
    pub(crate) committed_unix_s: i64,
}

/// The files of a commit. They are fetched once, whatever asks for them: a step, a context, or whose time the result has.
pub(crate) async fn layer(
    store: &Store,
    access: &GitAccess,
    source: &GitSource,
    commit: &Commit,
) -> Result<CommitFiles, FetchError> {
    let hasher = Hasher::new("context-commit/v1").field("op", Op::Git(source.clone()).digest().0.0);
    let key = Key(hasher.field("commit", commit.identity().0).finish());
    if let Some(known) = store.record(&key)?.as_ref().and_then(known)
        && store.layer(&known.layer)?.is_some()
    {
        return Ok(known);
    }
    let files = fetch(store, access, source, commit).await?;
    store.put_record(&record(key, source, &files))?;
    Ok(files)
}

fn known(record: &Record) -> Option<CommitFiles> {
    let (_, time) = record.ingredients.iter().find(|(name, _)| name == COMMITTED)?;
    Some(CommitFiles { layer: *record.layers.first()?, committed_unix_s: time.parse().ok()? })
}

fn record(key: Key, source: &GitSource, files: &CommitFiles) -> Record {
    Record {
        key,
        offered: None,
        layers: vec![files.layer],
        content: None,
        created_unix_ns: now_unix_ns(),
        description: graph::redacted(&source.remote),
        ingredients: vec![(COMMITTED.to_owned(), files.committed_unix_s.to_string())],
    }
}

/// Brings the files of a commit here. Everything is fetched and unpacked next to the new layer, so that nothing is
/// left when this is dropped.
async fn fetch(
    store: &Store,
    access: &GitAccess,
    source: &GitSource,
    commit: &Commit,
) -> Result<CommitFiles, FetchError> {
    let layer = store.begin_layer()?;
    let (work, into) = (layer.scratch_path()?, layer.fs_path());
    let tree = work.join("tree");
    let git = Git::new(access, &source.remote);
    let remote = git.shown();
    let write_error = |source| GitError::Write { remote: remote.clone(), source };
    fs::create_dir(&tree).map_err(write_error)?;
    let repository = Repository::fetch(git, work.join("repository"), commit.clone()).await?;
    repository.check_out(&tree).await?;
    if source.submodules {
        submodules::fetch(&repository, &tree, &work).await?;
    }
    let committed_unix_s = repository.committed_unix_s().await?;
    let time = (source.times == GitTimes::Commit).then_some(committed_unix_s);
    // Of a part of the files there is no repository, as in BuildKit.
    if source.keep_git_dir && source.subdirectory.is_empty() {
        keep(&repository, &tree).await?;
    }
    let path = source.subdirectory.clone();
    let settled = blocking(move || files::settle(&tree, &path, &into, time)).await;
    settled.map_err(|error| match files::is_missing(&error) && !source.subdirectory.is_empty() {
        true => GitError::NoDirectory { remote: remote.clone(), path: source.subdirectory.clone() },
        false => write_error(error),
    })?;
    let layer = blocking(move || layer.commit()).await?.id();
    Ok(CommitFiles { layer, committed_unix_s })
}

/// Makes the tree a repository at its commit, as one that was cloned: the password of its remote is not in it.
async fn keep(repository: &Repository<'_>, tree: &Path) -> Result<(), GitError> {
    let own = |source: io::Error| GitError::Write { remote: repository.git.shown(), source };
    match fs::remove_dir_all(repository.directory().join("refs/slipway")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(own(error)),
        _ => {}
    }
    let remote = repository.git.shown();
    let settings = [
        ("core.bare", "false"),
        ("remote.origin.url", &*remote),
        ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
    ];
    for (name, value) in settings {
        repository.run("config", &["config", "--local", name, value]).await?;
    }
    let commit = repository.commit.name.as_str();
    let reference = repository.commit.reference.as_deref().filter(|name| name.starts_with("refs/"));
    for name in reference.into_iter().chain(["HEAD"]) {
        repository.run("update-ref", &["update-ref", "--no-deref", name, commit]).await?;
    }
    fs::rename(repository.directory(), tree.join(GIT_DIRECTORY)).map_err(own)
}
