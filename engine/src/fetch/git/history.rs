//! Commits by the beginning of their name.

use cache::Store;
use graph::GitSource;

use super::command::Git;
use super::repository::Repository;
use super::{Commit, GitAccess};
use crate::fetch::FetchError;

/// Fewest digits that are looked for: git itself shows no fewer.
const DIGITS_MIN: usize = 7;
/// One more would be a whole name.
const DIGITS_MAX: usize = 39;

/// The commit whose name begins with the reference of a source, if that can be the beginning of one, and of one only.
/// No server tells it: all commits are fetched to see.
pub(super) async fn find(
    store: &Store,
    access: &GitAccess,
    source: &GitSource,
) -> Result<Option<Commit>, FetchError> {
    let digits = &source.reference;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) || !digits.bytes().all(is_digit) {
        return Ok(None);
    }
    let layer = store.begin_layer()?;
    let directory = layer.scratch_path()?.join("history");
    let history = Repository::history(Git::new(access, &source.remote), directory).await?;
    let object = format!("{digits}^{{commit}}");
    let ended = history.try_run("rev-parse", &["rev-parse", "--verify", "--quiet", &object]).await?;
    let name = String::from_utf8_lossy(&ended.output).trim().to_owned();
    Ok(ended.status.success().then_some(Commit { name, reference: None }))
}
