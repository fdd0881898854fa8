//! `NAME=VALUE` and `NAME`, as labels and options of drivers are written.

/// A name alone has an empty value.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').unwrap_or((text, "")) {
        ("", _) => Err("expected NAME=VALUE".to_owned()),
        (name, value) => Ok((name.to_owned(), value.to_owned())),
    }
}
