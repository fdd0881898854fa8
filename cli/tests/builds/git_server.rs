//! Repositories that a server of git's serves, behind the web server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::Server;
use crate::support::{Home, check};

/// When all commits were made.
pub(crate) const COMMITTED: i64 = 1_500_000_000;

/// A repository: a directory to work in, and what is served of it.
pub(crate) struct Repository {
    pub(crate) work: PathBuf,
    bare: PathBuf,
    name: String,
}

impl Repository {
    /// An empty repository.
    pub(crate) fn new(home: &Home, name: &str) -> Self {
        let work = home.path("work").join(name);
        let bare = home.path("served").join(format!("{name}.git"));
        fs::create_dir_all(&work).unwrap();
        git(&work, &["init", "-q", "-b", "main", "."]);
        git(&work, &["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()]);
        Self { work, bare, name: name.to_owned() }
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> &Self {
        let path = self.work.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Commits everything, and serves it; the commit's name.
    pub(crate) fn commit(&self) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "a change"]);
        self.serve()
    }

    /// Serves what is there; the name of the current commit.
    pub(crate) fn serve(&self) -> String {
        self.git(&["push", "-q", "--mirror", self.bare.to_str().unwrap()]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git where one works.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(&self.work, arguments)
    }

    pub(crate) fn url(&self, server: &Server) -> String {
        server.url(&format!("git/{}.git", self.name))
    }
}

/// Runs git with nobody's settings.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", "/dev/null");
    command.env("GIT_CONFIG_NOSYSTEM", "1").arg("-C").arg(directory);
    command.args(["-c", "safe.directory=*", "-c", "protocol.file.allow=always", "-c", "user.name=Me"]);
    command.args(["-c", "user.email=me@example.org"]);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_DATE"), format!("@{COMMITTED} +0000"));
    }
    check(command.args(arguments)).trim_end().to_owned()
}
