//! URLs of git repositories with a reference and a subdirectory, in the forms that BuildKit reads:
//!
//! ```text
//! https://host/repository.git#reference:subdirectory
//! https://host/repository.git?branch=main&subdir=docs
//! user@host:repository.git#reference
//! ```

use graph::{GitSource, GitTimes};

use super::query::{decoded, parameters};
use super::{RemoteError, check_url};
use crate::lower::clean;

/// A repository as a URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitReference {
    /// What the URL says, with the defaults for what it does not.
    pub source: GitSource,
    /// Whether the URL says that the `.git` is kept.
    pub keep_git_dir: Option<bool>,
}

type Result<T> = std::result::Result<T, RemoteError>;

/// Shortest beginning of a commit's name, as in BuildKit.
const COMMIT_DIGITS_MIN: usize = 1;
/// Digits of a commit in most repositories.
const COMMIT_DIGITS: usize = 40;
/// Digits of a commit in a repository with SHA-256.
const COMMIT_DIGITS_MAX: usize = 64;

/// Reads `scheme://host/path?query#fragment`.
pub(super) fn parse_url(text: &str) -> Result<GitReference> {
    let (remote, query, fragment) = split(text);
    check_url(remote)?;
    parse(remote, query, fragment)
}

/// Reads `user@host:path?query#fragment`; none for what does not look like that.
pub(super) fn parse_scp(text: &str) -> Option<Result<GitReference>> {
    let (remote, query, fragment) = split(text);
    let (user, rest) = remote.split_once('@')?;
    let (host, path) = rest.split_once(':')?;
    let is_user = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let looks_like_it =
        !user.is_empty() && !host.is_empty() && user.chars().all(is_user) && host.chars().all(is_host);
    looks_like_it.then(|| {
        if [user, host, path].iter().any(|part| part.starts_with('-')) {
            return Err(RemoteError::Host { url: remote.to_owned() });
        }
        if path.is_empty() || path.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(RemoteError::Characters { url: remote.to_owned() });
        }
        parse(remote, query, fragment)
    })
}

/// The URL without, the query, the fragment.
fn split(text: &str) -> (&str, &str, &str) {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (remote, query) = rest.split_once('?').unwrap_or((rest, ""));
    (remote, query, fragment)
}

fn parse(remote: &str, query: &str, fragment: &str) -> Result<GitReference> {
    let fragment = decoded(fragment).unwrap_or_else(|| fragment.to_owned());
    let (reference, subdirectory) = fragment.split_once(':').unwrap_or((&fragment, ""));
    let mut parts =
        Parts { reference: reference.to_owned(), subdirectory: subdirectory.to_owned(), ..Parts::default() };
    let mut seen = Vec::new();
    for (name, value) in parameters(query) {
        if seen.contains(&name) {
            return Err(RemoteError::Twice { name });
        }
        parts.take(&name, value.filter(|value| !value.is_empty()))?;
        seen.push(name);
    }
    parts.finish(remote)
}

/// What a URL has said so far.
#[derive(Default)]
struct Parts {
    reference: String,
    subdirectory: String,
    branch: Option<String>,
    tag: Option<String>,
    checksum: Option<String>,
    keep_git_dir: Option<bool>,
    submodules: Option<bool>,
    times: Option<GitTimes>,
    fetch_by_commit: bool,
}

impl Parts {
    fn take(&mut self, name: &str, value: Option<String>) -> Result<()> {
        let switch = |value: Option<String>| switch(name, value);
        match name {
            "keep-git-dir" => self.keep_git_dir = Some(switch(value)?),
            "submodules" => self.submodules = Some(switch(value)?),
            "fetch-by-commit" => self.fetch_by_commit = switch(value)?,
            "ref" | "subdir" | "branch" | "tag" | "checksum" | "commit" | "mtime" => {
                let value = value.ok_or_else(|| RemoteError::NoValue { name: name.to_owned() })?;
                self.take_text(name, value)?;
            }
            _ => return Err(RemoteError::UnknownQuery { name: name.to_owned() }),
        }
        Ok(())
    }

    fn take_text(&mut self, name: &str, value: String) -> Result<()> {
        match name {
            "ref" => agree("ref", &mut self.reference, value),
            "subdir" => agree("subdir", &mut self.subdirectory, value),
            "mtime" => {
                self.times = Some(times(value)?);
                Ok(())
            }
            "branch" => {
                self.branch = Some(full_name(&value, "refs/heads/"));
                Ok(())
            }
            "tag" => {
                self.tag = Some(full_name(&value, "refs/tags/"));
                Ok(())
            }
            _ => agree("checksum", self.checksum.get_or_insert_default(), value),
        }
    }

    fn finish(mut self, remote: &str) -> Result<GitReference> {
        if let (Some(branch), Some(tag)) = (&self.branch, &self.tag) {
            let (one, other) = (branch.clone(), tag.clone());
            return Err(RemoteError::Conflict { what: "ref", one, other });
        }
        if let Some(name) = self.branch.or(self.tag) {
            agree("ref", &mut self.reference, name)?;
        }
        if let Some(checksum) = &self.checksum {
            check_commit(checksum)?;
            if self.reference.is_empty() {
                self.reference.clone_from(checksum);
            }
        }
        check_reference(&self.reference)?;
        let is_whole = |checksum: &String| [COMMIT_DIGITS, COMMIT_DIGITS_MAX].contains(&checksum.len());
        if self.fetch_by_commit && !self.checksum.as_ref().is_some_and(is_whole) {
            return Err(RemoteError::NotWhole);
        }
        let source = GitSource {
            remote: remote.to_owned(),
            reference: self.reference,
            checksum: self.checksum,
            subdirectory: subdirectory(&self.subdirectory)?,
            keep_git_dir: self.keep_git_dir.unwrap_or(false),
            submodules: self.submodules.unwrap_or(true),
            fetch_by_commit: self.fetch_by_commit,
            times: self.times.unwrap_or_default(),
        };
        Ok(GitReference { source, keep_git_dir: self.keep_git_dir })
    }
}

fn agree(what: &'static str, known: &mut String, value: String) -> Result<()> {
    if !known.is_empty() && *known != value {
        return Err(RemoteError::Conflict { what, one: std::mem::take(known), other: value });
    }
    *known = value;
    Ok(())
}

fn full_name(name: &str, prefix: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

fn times(value: String) -> Result<GitTimes> {
    let all = [GitTimes::Commit, GitTimes::Checkout];
    let found = all.into_iter().find(|times| times.name() == value);
    found.ok_or(RemoteError::Times { value })
}

/// A parameter without a value is on. What else is read, is what Go's `strconv.ParseBool` reads.
fn switch(name: &str, value: Option<String>) -> Result<bool> {
    let Some(value) = value else { return Ok(true) };
    match value.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(RemoteError::NoSwitch { name: name.to_owned(), value }),
    }
}

/// The rules of git-check-ref-format(1), and nothing that is an option, a pattern or a refspec.
fn check_reference(reference: &str) -> Result<()> {
    let is_bad = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let has_bad_part = reference.split('/').any(|part| part.starts_with('.') || part.ends_with(".lock"));
    let is_wrong = reference.starts_with(['-', '+', '/'])
        || reference.ends_with(['/', '.'])
        || reference.contains("..")
        || reference.contains("//")
        || reference.contains("@{")
        || reference.contains(is_bad)
        || has_bad_part;
    match is_wrong {
        true => Err(RemoteError::Reference { reference: reference.to_owned() }),
        false => Ok(()),
    }
}

/// A commit's name, or the beginning of one.
pub(crate) fn check_commit(checksum: &str) -> Result<()> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let has_length = (COMMIT_DIGITS_MIN..=COMMIT_DIGITS_MAX).contains(&checksum.len());
    match has_length && checksum.bytes().all(is_digit) {
        true => Ok(()),
        false => Err(RemoteError::Commit { checksum: checksum.to_owned() }),
    }
}

/// A path below the root of the repository; empty for the root.
fn subdirectory(path: &str) -> Result<String> {
    let cleaned = clean(path.trim_start_matches('/'));
    if cleaned.split('/').any(|part| part == "..") || path.contains('\0') {
        return Err(RemoteError::Escapes { path: path.to_owned() });
    }
    Ok(if cleaned == "." { String::new() } else { cleaned })
}
