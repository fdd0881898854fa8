//! Where in the cache service of GitHub Actions a remote cache is.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use image::Digest;
use serde::Deserialize;

/// The version of the layout in BuildKit's keys.
const VERSION: &str = "1";
/// Digits of the digest of a branch in a key.
const BRANCH_DIGITS: usize = 8;
/// The bit of a permission to write.
const WRITE: u32 = 2;

/// A cache of one branch, as BuildKit names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionsPlace {
    /// Where the service is.
    pub url: String,
    /// Who we are.
    pub token: ActionsToken,
    /// Several caches of one branch are told apart by this.
    pub scope: String,
    /// The branch, as the token names it: `refs/heads/main`. The service itself lets a job read those of its own branch, of
    /// the branch that a pull request goes to and of the main branch, and write its own.
    pub branch: String,
}

/// A token of the service.
#[derive(Clone, PartialEq, Eq)]
pub struct ActionsToken(pub String);

impl fmt::Debug for ActionsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActionsToken")
    }
}

/// A branch that a token is good for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Branch {
    scope: String,
    permission: u32,
}

#[derive(Deserialize)]
struct Claims {
    /// A JSON text within the JSON.
    ac: String,
}

impl ActionsToken {
    /// The claims of a JSON web token (RFC 7519) say which branches it is good for; a token of another kind is good for one
    /// without a name.
    fn branches(&self) -> Vec<Branch> {
        let parse = || {
            let claims = URL_SAFE_NO_PAD.decode(self.0.split('.').nth(1)?.trim_end_matches('=')).ok()?;
            let claims: Claims = serde_json::from_slice(&claims).ok()?;
            serde_json::from_str(&claims.ac).ok()
        };
        let one = || vec![Branch { scope: String::new(), permission: WRITE }];
        parse().filter(|branches: &Vec<_>| !branches.is_empty()).unwrap_or_else(one)
    }

    /// The branch that may be written; the last one, as in BuildKit.
    pub fn written_branch(&self) -> String {
        let mut branches = self.branches().into_iter().filter(|branch| branch.permission & WRITE != 0);
        branches.next_back().map(|branch| branch.scope).unwrap_or_default()
    }

    /// The branches that may be read, our own first.
    pub fn read_branches(&self) -> Vec<String> {
        let own = self.written_branch();
        let others = self.branches().into_iter().map(|branch| branch.scope).filter(|it| *it != own);
        std::iter::once(own.clone()).chain(others).collect()
    }
}

impl ActionsPlace {
    /// The key of the catalogue, which a number follows.
    pub(super) fn catalogue_key(&self) -> String {
        let branch = Digest::of(self.branch.as_bytes()).hex();
        format!("index-{}-{VERSION}-{}#", self.scope, &branch[..BRANCH_DIGITS])
    }

    /// The key of a blob.
    pub(super) fn blob_key(digest: &impl fmt::Display) -> String {
        format!("buildkit-blob-{VERSION}-{digest}")
    }
}

impl fmt::Display for ActionsPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, branch, .. } = self;
        match branch.as_str() {
            "" => write!(f, "gha:{scope}"),
            branch => write!(f, "gha:{scope} of {branch}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_say_which_branches_are_read_and_written() {
        let token = |claims: &str| ActionsToken(format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims)));
        let both = token(
            r#"{"ac":"[{\"Scope\":\"refs/heads/main\",\"Permission\":1},{\"Scope\":\"refs/pull/1/merge\",\"Permission\":3}]"}"#,
        );
        assert_eq!(both.written_branch(), "refs/pull/1/merge");
        assert_eq!(both.read_branches(), ["refs/pull/1/merge", "refs/heads/main"]);
        for other in ["", "a", "a.b.c", "a.!.c"] {
            assert_eq!(ActionsToken(other.to_owned()).read_branches(), [""], "{other}");
        }
        assert_eq!(token("{}").read_branches(), [""]);
        assert_eq!(format!("{both:?}"), "ActionsToken");
    }

    #[test]
    fn keys_are_those_of_buildkit() {
        let place = ActionsPlace {
            url: String::new(),
            token: ActionsToken(String::new()),
            scope: "buildkit".to_owned(),
            branch: "refs/heads/main".to_owned(),
        };
        assert_eq!(place.catalogue_key(), "index-buildkit-1-f921bd05#");
    }
}
