//! Texts that name files elsewhere: URLs of files and of git repositories, as BuildKit tells them apart.

mod git;
mod query;

use graph::HttpSource;

pub use git::GitReference;
pub(crate) use git::check_commit;
pub use query::decoded;

/// Schemes of files.
const HTTP_SCHEMES: [&str; 2] = ["http", "https"];
/// Schemes of repositories, beside those of files.
const GIT_SCHEMES: [&str; 2] = ["git", "ssh"];
/// What marks a repository among the URLs of files: the end of its path.
const GIT_SUFFIX: &str = ".git";
/// The one host whose repositories are known without a scheme.
const GITHUB: &str = "github.com/";

/// Files elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// A file of an HTTP server.
    Http(HttpSource),
    /// A git repository.
    Git(GitReference),
}

/// What is wrong with a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// There is no host, or none that could be one.
    #[error("`{url}` has no valid host")]
    Host {
        /// The URL, without its password.
        url: String,
    },
    /// A transport that is not for repositories elsewhere.
    #[error("`{url}` is not the URL of a git repository")]
    Transport {
        /// The URL, without its password.
        url: String,
    },
    /// Blanks and control characters.
    #[error("`{url}` has characters that no URL has")]
    Characters {
        /// The URL, without its password.
        url: String,
    },
    /// A name that git does not allow for a branch or tag, or that it would take for something else.
    #[error("`{reference}` cannot be a git reference")]
    Reference {
        /// The name.
        reference: String,
    },
    /// A commit's name has other characters.
    #[error("`{checksum}` is no commit: it is 1 to 64 of the digits 0-9 and a-f")]
    Commit {
        /// The text.
        checksum: String,
    },
    /// A subdirectory that would not be one.
    #[error("the subdirectory `{path}` leads out of the repository")]
    Escapes {
        /// The path.
        path: String,
    },
    /// A parameter that there is not.
    #[error(
        "unexpected query `{name}`, expected branch, checksum, commit, fetch-by-commit, keep-git-dir, mtime, ref, \
         subdir, submodules or tag"
    )]
    UnknownQuery {
        /// Its name.
        name: String,
    },
    /// A parameter without a value that needs one.
    #[error("query `{name}` has no value")]
    NoValue {
        /// Its name.
        name: String,
    },
    /// A parameter that is there more than once.
    #[error("query `{name}` has multiple values")]
    Twice {
        /// Its name.
        name: String,
    },
    /// A parameter that is neither true nor false.
    #[error("invalid {name} value: `{value}`, expected true or false")]
    NoSwitch {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A time that files of a repository cannot have.
    #[error("invalid mtime value: `{value}`, expected checkout or commit")]
    Times {
        /// What was given.
        value: String,
    },
    /// Only a commit can be fetched by its name.
    #[error("query `fetch-by-commit` needs a query `checksum` with all digits of a commit")]
    NotWhole,
    /// Two parts of a URL say different things.
    #[error("{what} conflicts: `{one}` and `{other}`")]
    Conflict {
        /// Of what.
        what: &'static str,
        /// What one of them says.
        one: String,
        /// And the other.
        other: String,
    },
}

impl RemoteError {
    /// The same in BuildKit's words, where it says something else and says it before it builds.
    pub(crate) fn buildkit(&self) -> Option<String> {
        Some(match self {
            Self::UnknownQuery { name } => format!("unexpected query {name:?}"),
            Self::NoValue { name } => format!("query {name:?} has no value"),
            Self::Twice { name } => format!("query {name:?} has multiple values"),
            Self::NoSwitch { name, value } => format!("invalid {name} value: {value:?}"),
            Self::Conflict { what, one, other } => format!("{what} conflicts: {one:?} vs {other:?}"),
            _ => return None,
        })
    }
}

/// What a source of `ADD` names elsewhere; none for a file of the build context.
pub fn of_source(text: &str) -> Option<Result<Remote, RemoteError>> {
    if text.starts_with("./") || text.starts_with("../") {
        return None;
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let path = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
        let scheme = scheme.to_ascii_lowercase();
        let text = &format!("{scheme}://{rest}");
        let is_http = HTTP_SCHEMES.contains(&scheme.as_str());
        let is_git = GIT_SCHEMES.contains(&scheme.as_str()) || (is_http && path.ends_with(GIT_SUFFIX));
        return match (is_git, is_http) {
            (true, _) => Some(git::parse_url(text).map(Remote::Git)),
            (false, true) => Some(http(text).map(Remote::Http)),
            (false, false) => None,
        };
    }
    git::parse_scp(text).map(|parsed| parsed.map(Remote::Git))
}

/// What a build context names elsewhere: what a source does, and repositories of `github.com/` without a scheme.
pub fn of_context(text: &str) -> Option<Result<Remote, RemoteError>> {
    if text.starts_with(GITHUB) {
        return Some(git::parse_url(&format!("https://{text}")).map(Remote::Git));
    }
    of_source(text)
}

/// A git repository at a URL that need not say that it is one.
///
/// # Errors
///
/// When it cannot be one.
pub fn of_repository(text: &str) -> Result<GitReference, RemoteError> {
    let transport = || RemoteError::Transport { url: graph::redacted(text) };
    match text.split_once("://") {
        Some((scheme, _)) if HTTP_SCHEMES.contains(&scheme) || GIT_SCHEMES.contains(&scheme) => {
            git::parse_url(text)
        }
        Some(_) => Err(transport()),
        None => git::parse_scp(text).ok_or_else(transport)?,
    }
}

/// Whether a text is the address of a git repository, without a reference: of a transport that is known, and nothing
/// that git or ssh would take for something else.
///
/// # Errors
///
/// When it is not.
pub fn check_repository(address: &str) -> Result<(), RemoteError> {
    match address.split_once("://") {
        Some((scheme, _)) if HTTP_SCHEMES.contains(&scheme) || GIT_SCHEMES.contains(&scheme) => {
            check_url(address)
        }
        Some(_) => Err(RemoteError::Transport { url: graph::redacted(address) }),
        None => match git::parse_scp(address) {
            Some(parsed) => parsed.map(|_| ()),
            None => Err(RemoteError::Transport { url: graph::redacted(address) }),
        },
    }
}

fn http(text: &str) -> Result<HttpSource, RemoteError> {
    check_url(text)?;
    Ok(HttpSource::new(text))
}

/// The name of the file at a URL, by the end of its path, if it has one that can be the name of a file.
pub fn file_name(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let path = decoded(rest.split_once('/')?.1)?;
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let is_name = !matches!(name.as_str(), "" | "." | "..") && !name.contains('\0');
    is_name.then_some(name)
}

/// Neither git nor anything that it starts may take a part of a URL for an option.
fn check_url(url: &str) -> Result<(), RemoteError> {
    if url.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(RemoteError::Characters { url: graph::redacted(url) });
    }
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    match host.is_empty()
        || host.starts_with(['-', ':'])
        || user.starts_with('-')
        || !host.chars().all(is_host)
    {
        true => Err(RemoteError::Host { url: graph::redacted(url) }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
