//! Submodules: other repositories that a commit names.

use std::collections::BTreeMap;
use std::path::Path;

use super::command::Git;
use super::repository::Repository;
use super::{Commit, GitError, files};

/// Submodules within submodules.
const DEPTH_MAX: usize = 16;
/// Submodules of one source, those of submodules included.
const SUBMODULES_MAX: usize = 1_000;
/// How git marks a submodule in a tree, see git-ls-tree(1).
const GITLINK: &str = "160000 commit ";

/// Brings the files of all submodules into the tree of their parent.
pub(super) async fn fetch(top: &Repository<'_>, tree: &Path, work: &Path) -> Result<(), GitError> {
    let mut pending = found(top, tree, 1).await?;
    let mut count = 0;
    while let Some(Found { submodule, tree, depth, parent }) = pending.pop() {
        let Submodule { path, remote, commit } = submodule;
        let fail = |what: String| GitError::Submodule { remote: parent.clone(), path: path.clone(), what };
        count += 1;
        if depth > DEPTH_MAX || count > SUBMODULES_MAX {
            return Err(fail(format!(
                "there are more than {SUBMODULES_MAX}, or {DEPTH_MAX} within each other"
            )));
        }
        let into = files::directory_beneath(&tree, &path)
            .map_err(|_| fail("its path is no directory of the repository".to_owned()))?;
        let git = Git::of_submodule(&top.git, remote);
        let commit = Commit { name: commit, reference: None };
        let repository = Repository::fetch(git, work.join(format!("submodule-{count}")), commit).await?;
        repository.check_out(&into).await?;
        pending.extend(found(&repository, &into, depth + 1).await?);
    }
    Ok(())
}

/// A submodule with the place of its parent.
struct Found {
    submodule: Submodule,
    /// The files of its parent.
    tree: std::path::PathBuf,
    depth: usize,
    /// Its parent, for messages.
    parent: String,
}

async fn found(parent: &Repository<'_>, tree: &Path, depth: usize) -> Result<Vec<Found>, GitError> {
    let found = |submodule| Found { submodule, tree: tree.to_owned(), depth, parent: parent.git.shown() };
    Ok(submodules(parent).await?.into_iter().map(found).collect())
}

struct Submodule {
    path: String,
    remote: String,
    commit: String,
}

async fn submodules(parent: &Repository<'_>) -> Result<Vec<Submodule>, GitError> {
    let listing = parent.run("ls-tree", &["ls-tree", "-r", "-z", "--full-tree", &parent.commit.name]).await?;
    let links = gitlinks(&String::from_utf8_lossy(&listing));
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let blob = format!("--blob={}:.gitmodules", parent.commit.name);
    let ended = parent.try_run("config", &["config", &blob, "--null", "--list"]).await?;
    let urls = urls(&String::from_utf8_lossy(&ended.output));
    let submodule = |(path, commit): (String, String)| {
        let fail =
            |what: String| GitError::Submodule { remote: parent.git.shown(), path: path.clone(), what };
        if !is_path(&path) {
            return Err(fail("its path leads elsewhere".to_owned()));
        }
        let url = urls.get(&path).ok_or_else(|| fail("`.gitmodules` does not say where it is".to_owned()))?;
        let remote = absolute(&parent.git.remote, url)
            .ok_or_else(|| fail(format!("`{}` leads out of the server", graph::redacted(url))))?;
        frontend::remote::check_repository(&remote).map_err(|error| fail(error.to_string()))?;
        Ok(Submodule { path: path.clone(), remote, commit })
    };
    links.into_iter().map(submodule).collect()
}

/// Paths and commits.
fn gitlinks(listing: &str) -> Vec<(String, String)> {
    let link = |line: &str| {
        let (commit, path) = line.strip_prefix(GITLINK)?.split_once('\t')?;
        Some((path.to_owned(), commit.trim().to_owned()))
    };
    listing.split('\0').filter_map(link).collect()
}

/// URLs by path, of what `git config --null --list` says.
fn urls(config: &str) -> BTreeMap<String, String> {
    let (mut paths, mut urls) = (BTreeMap::new(), BTreeMap::new());
    for (key, value) in config.split('\0').filter_map(|entry| entry.split_once('\n')) {
        let Some((name, variable)) = key.strip_prefix("submodule.").and_then(|key| key.rsplit_once('.'))
        else {
            continue;
        };
        match variable {
            "path" => drop(paths.insert(name.to_owned(), value.to_owned())),
            "url" => drop(urls.insert(name.to_owned(), value.to_owned())),
            _ => {}
        }
    }
    let url = |(name, path)| Some((path, urls.get(&name)?.clone()));
    paths.into_iter().filter_map(url).collect()
}

/// Whether a path is beneath the root, by its text.
fn is_path(path: &str) -> bool {
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git");
    !path.starts_with('-') && path.split('/').all(is_part)
}

/// Where a submodule is: relative URLs begin at the repository, as in git-submodule(1).
fn absolute(parent: &str, url: &str) -> Option<String> {
    if !url.starts_with("./") && !url.starts_with("../") {
        return Some(url.to_owned());
    }
    // What is in front of the path cannot be left.
    let path_at = match parent.split_once("://") {
        Some((scheme, rest)) => scheme.len() + 3 + rest.find('/')? + 1,
        None => parent.find(':')? + 1,
    };
    let (server, path) = parent.split_at(path_at);
    let mut parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    for part in url.trim_end_matches('/').split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().filter(|part| !part.is_empty())?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| format!("{server}{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_urls_begin_at_the_parent_and_stay_on_its_server() {
        for (parent, url, expected) in [
            ("https://host/me/a.git", "../b.git", Some("https://host/me/b.git")),
            ("https://host/me/a.git", "./sub", Some("https://host/me/a.git/sub")),
            ("https://host/me/a.git", "../../you/b", Some("https://host/you/b")),
            ("https://host/me/a.git", "../../../b", None),
            ("git@host:me/a.git", "../b.git", Some("git@host:me/b.git")),
            ("git@host:a.git", "../../b.git", None),
            ("https://host/a.git", "https://other/b.git", Some("https://other/b.git")),
            ("https://host/a.git", "/etc", Some("/etc")),
        ] {
            assert_eq!(absolute(parent, url).as_deref(), expected, "{parent} {url}");
        }
    }

    #[test]
    fn paths_lead_nowhere_else() {
        assert!(is_path("a/b.git/.gitx"));
        for path in ["", "/a", "a/../b", "../a", "a//b", ".git", "a/.GIT/hooks", "-u", "./a"] {
            assert!(!is_path(path), "{path}");
        }
    }

    #[test]
    fn the_name_of_a_submodule_is_no_path() {
        let config =
            "submodule.a.b.path\nx\0submodule.a.b.url\nhttps://h/x\0submodule.../../y.path\nz\0core.x\ny\0";
        assert_eq!(urls(config), BTreeMap::from([("x".to_owned(), "https://h/x".to_owned())]));
        let link = format!("160000 commit {}\ta b\0100644 blob 1\tc\0", "1".repeat(40));
        assert_eq!(gitlinks(&link), [("a b".to_owned(), "1".repeat(40))]);
    }
}
