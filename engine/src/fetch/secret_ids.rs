//! Which secrets a server is of interest for.

use super::{auth, git};

/// Those that say who we are for the repository.
pub(crate) fn of_repository(remote: &str) -> Vec<String> {
    let Some(host) = host_of(remote) else { return Vec::new() };
    let names = [git::HEADER, git::TOKEN];
    names.iter().flat_map(|name| [(*name).to_owned(), format!("{name}.{host}")]).collect()
}

/// Those that say who we are for the server of a file.
pub(crate) fn of_file(url: &str) -> Vec<String> {
    let Some(authority) = host_of(url) else { return Vec::new() };
    let places = [authority, auth::host(authority)];
    let names = [auth::HEADER, auth::TOKEN];
    names.iter().flat_map(|name| places.iter().map(move |place| format!("{name}{place}"))).collect()
}

/// Host and port of a URL of HTTP that does not say itself who we are.
fn host_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    (matches!(scheme, "http" | "https") && !authority.contains('@')).then_some(authority)
}
