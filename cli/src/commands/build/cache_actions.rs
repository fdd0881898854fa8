//! `type=gha` of `--cache-from` and `--cache-to`, with the attributes of BuildKit.

use engine::remote_cache::{ActionsPlace, ActionsToken};

use super::caches::{CacheError, Pairs};
use super::destination::wrong;
use super::environment::Environment;

/// The type.
pub(super) const KIND: &str = "gha";
/// The attributes that say where a cache is.
pub(super) const PLACE_OPTIONS: &[&str] = &["scope", "url_v2", "token", "version"];
/// The scope when nobody gives one, as in BuildKit.
const SCOPE_DEFAULT: &str = "buildkit";
/// The version of the service: there is no other any more.
const VERSION: &str = "2";

/// The cache that may be written.
pub(super) fn written(pairs: &Pairs, environment: &Environment) -> Result<ActionsPlace, CacheError> {
    let place = place(pairs, environment)?;
    Ok(ActionsPlace { branch: place.token.written_branch(), ..place })
}

/// The caches that may be read, our own first.
pub(super) fn read(pairs: &Pairs, environment: &Environment) -> Result<Vec<ActionsPlace>, CacheError> {
    let place = place(pairs, environment)?;
    let branches = place.token.read_branches().into_iter();
    Ok(branches.map(|branch| ActionsPlace { branch, ..place.clone() }).collect())
}

fn place(pairs: &Pairs, environment: &Environment) -> Result<ActionsPlace, CacheError> {
    let needed = |needed| CacheError::NoPlace { kind: KIND.to_owned(), needed };
    if let Some(version) = pairs.get("version").filter(|version| *version != VERSION) {
        return Err(wrong("version", version, VERSION).into());
    }
    let url = pairs.get("url_v2").or_else(|| environment.get(&["ACTIONS_RESULTS_URL"]));
    let url = url.ok_or_else(|| needed("`url_v2=URL`, or ACTIONS_RESULTS_URL in the environment"))?;
    let token = pairs.get("token").or_else(|| environment.get(&["ACTIONS_RUNTIME_TOKEN"]));
    let token = token.ok_or_else(|| needed("`token=TEXT`, or ACTIONS_RUNTIME_TOKEN in the environment"))?;
    Ok(ActionsPlace {
        url: url.to_owned(),
        token: ActionsToken(token.to_owned()),
        scope: pairs.get("scope").unwrap_or(SCOPE_DEFAULT).to_owned(),
        branch: String::new(),
    })
}
