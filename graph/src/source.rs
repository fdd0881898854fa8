//! Sources: what only brings files into a build.

use image::{Digest, Platform, Reference};

/// An image to start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSource {
    /// Which image.
    pub reference: Reference,
    /// For which platform.
    pub platform: Platform,
}

/// A build context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextSource {
    /// Its name among the contexts of the build; `context` is the main one.
    pub name: String,
}

impl ContextSource {
    /// The name of the main build context.
    pub const MAIN: &str = "context";
}

/// A file of an HTTP server, alone in the root directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpSource {
    /// `http://` or `https://`, with credentials if there are any.
    pub url: String,
    /// What the file must be.
    pub checksum: Option<Digest>,
    /// The name of the file; none for what the server calls it.
    pub filename: Option<String>,
    /// Permissions of the file; none for 0600.
    pub mode: Option<u32>,
    /// User and group id of the file; none for root.
    pub owner: Option<(u32, u32)>,
}

impl HttpSource {
    /// The file at a URL, as it comes.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), checksum: None, filename: None, mode: None, owner: None }
    }
}

/// The files of a commit of a git repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GitSource {
    /// Where the repository is, as git takes it: `https://`, `http://`, `ssh://`, `git://` or `user@host:path`.
    pub remote: String,
    /// A branch, a tag, a full name below `refs/`, or a commit; empty for what the repository shows first.
    pub reference: String,
    /// The commit that it must be, or the beginning of its name.
    pub checksum: Option<String>,
    /// The directory of the repository that is meant; empty for all of it.
    pub subdirectory: String,
    /// Whether there is a `.git` with the commit.
    pub keep_git_dir: bool,
    /// Whether the submodules are part of it.
    pub submodules: bool,
    /// Whether `checksum`, a whole commit, is fetched without asking what `reference` is now.
    pub fetch_by_commit: bool,
    /// When its files were changed.
    pub times: GitTimes,
}

/// When the files of a commit were changed, which git itself does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum GitTimes {
    /// When the commit was made: the same commit gives the same files.
    #[default]
    Commit,
    /// When they were fetched.
    Checkout,
}

impl GitTimes {
    /// The word for it in the query of a URL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Checkout => "checkout",
        }
    }
}

impl GitSource {
    /// What a repository shows first, with its submodules.
    pub fn new(remote: &str) -> Self {
        Self {
            remote: remote.to_owned(),
            reference: String::new(),
            checksum: None,
            subdirectory: String::new(),
            keep_git_dir: false,
            submodules: true,
            fetch_by_commit: false,
            times: GitTimes::default(),
        }
    }

    /// Whether the repository is behind ssh.
    pub fn is_ssh(&self) -> bool {
        self.remote.starts_with("ssh://") || !self.remote.contains("://")
    }
}

/// A URL without what is secret in it: user name and password are crossed out, as in BuildKit.
pub fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        // Whoever logs in as `git` over ssh has nothing to hide.
        Some((user, host)) if scheme != "ssh" || user.contains(':') => {
            let user = if user.contains(':') { "xxxxx:xxxxx" } else { "xxxxx" };
            format!("{scheme}://{user}@{host}{}", &rest[end..])
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_crossed_out() {
        for (url, expected) in [
            ("https://host/a@b", "https://host/a@b"),
            ("https://token@host/a", "https://xxxxx@host/a"),
            ("https://me:p@ss@host/a?x=@", "https://xxxxx:xxxxx@host/a?x=@"),
            ("https://me:secret@host", "https://xxxxx:xxxxx@host"),
            ("ssh://git@host/a", "ssh://git@host/a"),
            ("ssh://git:secret@host/a", "ssh://xxxxx:xxxxx@host/a"),
            ("git@host:a", "git@host:a"),
        ] {
            assert_eq!(redacted(url), expected);
        }
    }
}
