//! A repository of our own that holds one commit of another.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::command::{Git, ORIGIN};
use super::refs::refused;
use super::{Commit, GitError};
use crate::fetch::patience::patiently;

/// What servers say that do not send a commit by its name, or nothing but whole histories.
const WORDS_OF_OLD_SERVERS: [&str; 5] = [
    "not our ref",
    "unadvertised object",
    "Server does not allow request",
    "dumb http transport does not support shallow",
    "couldn't find remote ref",
];

/// A repository with one commit, or as much more as the server insists on.
pub(super) struct Repository<'a> {
    pub(super) git: Git<'a>,
    /// The directory with the objects.
    directory: PathBuf,
    pub(super) commit: Commit,
}

/// How much is asked for.
#[derive(Clone, Copy)]
enum Reach {
    Commit,
    /// What the commit was found by.
    Reference,
    Everything,
    /// Of everything, the commits.
    Commits,
}

impl<'a> Repository<'a> {
    /// Fetches a commit into a new repository in `directory`.
    pub(super) async fn fetch(git: Git<'a>, directory: PathBuf, commit: Commit) -> Result<Self, GitError> {
        let repository = Self { git, directory, commit };
        repository.init().await?;
        for reach in [Reach::Commit, Reach::Reference, Reach::Everything] {
            if patiently(|| repository.try_fetch(reach), GitError::may_pass).await? {
                return Ok(repository);
            }
        }
        Err(GitError::NoCommit { remote: repository.git.shown(), commit: repository.commit.name.clone() })
    }

    /// Fetches the commits of all references into a new repository in `directory`, and no files where the server can
    /// leave them out.
    pub(super) async fn history(git: Git<'a>, directory: PathBuf) -> Result<Self, GitError> {
        let repository = Self { git, directory, commit: Commit { name: String::new(), reference: None } };
        repository.init().await?;
        patiently(|| repository.try_fetch(Reach::Commits), GitError::may_pass).await?;
        Ok(repository)
    }

    async fn init(&self) -> Result<(), GitError> {
        let format =
            if self.commit.name.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
        let mut arguments =
            ["init", "--quiet", "--bare", "--template=", format, "--"].map(OsStr::new).to_vec();
        arguments.push(self.directory.as_os_str());
        self.git.run("init", &arguments).await.map(|_| ())
    }

    /// Whether the commit is there now.
    async fn try_fetch(&self, reach: Reach) -> Result<bool, GitError> {
        let refspec;
        let what: &[&str] = match (reach, &self.commit.reference) {
            (Reach::Commit, _) => &["--depth=1", "--", ORIGIN, &self.commit.name],
            (Reach::Reference, None) => return Ok(false),
            (Reach::Reference, Some(name)) => {
                refspec = format!("+{name}:refs/slipway/fetched");
                &["--depth=1", "--", ORIGIN, &refspec]
            }
            (Reach::Everything, _) => &["--", ORIGIN, "+refs/*:refs/slipway/*"],
            (Reach::Commits, _) => &["--filter=tree:0", "--", ORIGIN, "+refs/*:refs/slipway/*"],
        };
        let fixed = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"];
        let ended = self.try_run("fetch", &[&fixed, what].concat()).await?;
        if !ended.status.success() {
            let is_old = WORDS_OF_OLD_SERVERS.iter().any(|words| ended.said.contains(words));
            return if is_old { Ok(false) } else { Err(self.unusable(ended.said)) };
        }
        if let Reach::Commits = reach {
            return Ok(true);
        }
        let object = format!("{}^{{commit}}", self.commit.name);
        let ended = self.try_run("cat-file", &["cat-file", "-e", &object]).await?;
        Ok(ended.status.success())
    }

    fn unusable(&self, said: String) -> GitError {
        // Found by git's own checks of objects.
        match said.contains("fsck error") {
            true => GitError::Failed { command: "fetch", remote: self.git.shown(), said },
            false => refused(&self.git, said),
        }
    }

    /// Writes the files of the commit to an empty directory. Submodules are empty directories.
    pub(super) async fn check_out(&self, into: &Path) -> Result<(), GitError> {
        self.run("read-tree", &["read-tree", &self.commit.name]).await?;
        let mut work_tree = std::ffi::OsString::from("--work-tree=");
        work_tree.push(into);
        let arguments = ["checkout-index", "--all", "--force", "--quiet"].map(OsStr::new);
        let arguments: Vec<&OsStr> = std::iter::once(work_tree.as_os_str()).chain(arguments).collect();
        self.run_in("checkout-index", &arguments).await.map(|_| ())
    }

    /// When the commit was made, seconds since 1970.
    pub(super) async fn committed_unix_s(&self) -> Result<i64, GitError> {
        let arguments =
            ["show", "--no-patch", "--no-show-signature", "--no-notes", "--format=%ct", &self.commit.name];
        let output = self.run("show", &arguments).await?;
        // A time that is none is the beginning of all time.
        Ok(String::from_utf8_lossy(&output).trim().parse().unwrap_or(0))
    }

    pub(super) async fn run(&self, command: &'static str, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
        self.run_in(command, &arguments).await
    }

    pub(super) async fn try_run(
        &self,
        command: &'static str,
        arguments: &[&str],
    ) -> Result<super::command::Ended, GitError> {
        let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
        let directory = self.git_dir();
        let all: Vec<&OsStr> = std::iter::once(directory.as_os_str()).chain(arguments).collect();
        self.git.try_run(command, &all).await
    }

    async fn run_in(&self, command: &'static str, arguments: &[&OsStr]) -> Result<Vec<u8>, GitError> {
        let directory = self.git_dir();
        let all: Vec<&OsStr> =
            std::iter::once(directory.as_os_str()).chain(arguments.iter().copied()).collect();
        self.git.run(command, &all).await
    }

    fn git_dir(&self) -> std::ffi::OsString {
        let mut option = std::ffi::OsString::from("--git-dir=");
        option.push(&self.directory);
        option
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}
