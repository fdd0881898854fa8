//! Which commit a branch or a tag is.

use std::ffi::OsStr;

use cache::Store;
use graph::GitSource;

use super::command::{Git, ORIGIN};
use super::{Commit, GitAccess, GitError, history, named_commit};
use crate::fetch::FetchError;
use crate::fetch::patience::patiently;

/// What marks the commit behind a tag that is an object of its own.
const PEELED: &str = "^{}";

/// Finds the commit that a source means. The server is asked, unless the source names a whole commit. The beginning of a
/// commit's name is looked for in the whole history.
///
/// # Errors
///
/// [`GitError::Checksum`] when it is not the commit that the source wants.
pub(crate) async fn resolve(
    store: &Store,
    access: &GitAccess,
    source: &GitSource,
) -> Result<Commit, FetchError> {
    let git = Git::new(access, &source.remote);
    let by_name = |commit: Commit| Found { tag: commit.name.clone(), commit };
    let found = match named_commit(source) {
        Some(commit) => by_name(commit),
        None => match ask(&git, &source.reference).await {
            Err(error @ GitError::NoReference { .. }) => {
                let commit = history::find(store, access, source).await?;
                by_name(commit.ok_or(error)?)
            }
            settled => settled?,
        },
    };
    match &source.checksum {
        // A tag may be meant by its own name, as in BuildKit.
        Some(expected) if ![&found.commit.name, &found.tag].iter().any(|name| name.starts_with(expected)) => {
            let (remote, expected) = (git.shown(), expected.clone());
            Err(GitError::Checksum { remote, expected, actual: found.commit.name }.into())
        }
        _ => Ok(found.commit),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    commit: Commit,
    /// The object that the reference names: a tag, or the commit itself.
    tag: String,
}

async fn ask(git: &Git<'_>, reference: &str) -> Result<Found, GitError> {
    let wanted = if reference.is_empty() { "HEAD" } else { reference };
    let peeled = format!("{wanted}{PEELED}");
    let lines = patiently(|| list(git, [wanted, &peeled]), GitError::may_pass).await?;
    choose(&lines, wanted).ok_or_else(|| match reference {
        "" => GitError::Empty { remote: git.shown() },
        reference => GitError::NoReference { remote: git.shown(), reference: reference.to_owned() },
    })
}

/// The lines of git-ls-remote(1) for some names.
async fn list(git: &Git<'_>, names: [&str; 2]) -> Result<String, GitError> {
    // The repository in which somebody builds may have a remote of this name, and rewrite URLs.
    let nobodys = "--git-dir=/dev/null";
    let arguments = [nobodys, "ls-remote", "--quiet", "--", ORIGIN, names[0], names[1]].map(OsStr::new);
    let ended = git.try_run("ls-remote", &arguments).await?;
    match ended.status.success() {
        true => Ok(String::from_utf8_lossy(&ended.output).into_owned()),
        false => Err(refused(git, ended.said)),
    }
}

/// Why a server gave nothing, by what git says. Its words are those of `LC_ALL=C`.
pub(super) fn refused(git: &Git<'_>, said: String) -> GitError {
    const REFUSED: [&str; 8] = [
        "could not read Username",
        "could not read Password",
        "Authentication failed",
        "Permission denied",
        "Host key verification failed",
        "not found",
        "does not appear to be a git repository",
        "access denied or repository not exported",
    ];
    let remote = git.shown();
    match REFUSED.iter().any(|words| said.contains(words)) {
        true => GitError::Refused { remote, said },
        false => GitError::Unreachable { remote, said },
    }
}

/// The reference that is meant, of the lines of git-ls-remote(1): a branch before a tag before anything else below
/// `refs/`.
fn choose(lines: &str, wanted: &str) -> Option<Found> {
    let object =
        |name: &str| lines.lines().filter_map(|line| line.split_once('\t')).find(|(_, found)| *found == name);
    let below = |prefix: &str| format!("{prefix}{}", wanted.strip_prefix(prefix).unwrap_or(wanted));
    let names = [below("refs/heads/"), below("refs/tags/"), below("refs/"), wanted.to_owned()];
    let (name, tag) = names.iter().find_map(|name| object(name).map(|(object, _)| (name, object)))?;
    let commit = object(&format!("{name}{PEELED}")).map_or(tag, |(object, _)| object);
    let is_name =
        |name: &str| matches!(name.len(), 40 | 64) && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_name(commit) && is_name(tag)).then(|| Found {
        commit: Commit { name: commit.to_owned(), reference: Some(name.clone()) },
        tag: tag.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_go_before_tags_and_tags_are_peeled() {
        let object = |digit: &str| digit.repeat(40);
        let lines: String = [
            ("1", "HEAD"),
            ("2", "refs/heads/main"),
            ("3", "refs/heads/other/main"),
            ("4", "refs/tags/main"),
            ("5", "refs/tags/v1"),
            ("6", "refs/tags/v1^{}"),
            ("7", "refs/pull/7/head"),
        ]
        .iter()
        .map(|(digit, name)| format!("{}\t{name}\n", object(digit)))
        .collect();
        for (wanted, digit, name) in [
            ("HEAD", "1", "HEAD"),
            ("main", "2", "refs/heads/main"),
            ("heads/main", "2", "refs/heads/main"),
            ("refs/tags/main", "4", "refs/tags/main"),
            ("v1", "6", "refs/tags/v1"),
            ("refs/pull/7/head", "7", "refs/pull/7/head"),
            ("pull/7/head", "7", "refs/pull/7/head"),
        ] {
            let commit = Commit { name: object(digit), reference: Some(name.to_owned()) };
            assert_eq!(choose(&lines, wanted).map(|found| found.commit), Some(commit), "{wanted}");
        }
        assert_eq!(choose(&lines, "ain"), None);
        assert_eq!(choose("--exec=x\trefs/heads/main\n", "main"), None);
    }
}
