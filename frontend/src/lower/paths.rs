//! Paths as Go's `path` package cleans and joins them.

/// What begins something other than itself in a pattern of Go's `filepath.Match`.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// The shortest equal path: no `.`, no `..` that can be resolved, no double slashes; `.` when nothing is left.
pub(crate) fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (is_absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// A path as it is when absolute, else beneath `directory`.
pub(super) fn absolute(directory: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { clean(&format!("{directory}/{path}")) }
}

/// The destination of a `COPY`: absolute and clean, with a slash at the end when it names a directory.
pub(super) fn destination(directory: &str, path: &str) -> String {
    let names_directory = path.is_empty() || path == "." || path.ends_with('/') || path.ends_with("/.");
    let cleaned = clean(&absolute(directory, path));
    if names_directory && cleaned != "/" { format!("{cleaned}/") } else { cleaned }
}

/// A source of a `COPY`: relative to the root, and not above it.
pub(super) fn source(path: &str) -> String {
    let cleaned = clean(&format!("/{path}"));
    match cleaned.trim_start_matches('/') {
        "" => ".".to_owned(),
        relative => relative.to_owned(),
    }
}

/// A path as a source of a copy that names nothing else. As in Go a name without a wildcard is taken as it is written,
/// backslashes included; so wildcards stand in brackets, and backslashes are escaped only beside them.
pub(super) fn escape_pattern(path: &str) -> String {
    let escaped = |name: &str| {
        if !name.contains(WILDCARDS) {
            return name.to_owned();
        }
        let escape = |c: char| match c {
            '\\' => "[\\\\]".to_owned(),
            c if WILDCARDS.contains(&c) => format!("[{c}]"),
            c => c.to_string(),
        };
        name.chars().map(escape).collect()
    };
    source(path).split('/').map(escaped).collect::<Vec<_>>().join("/")
}

/// Whether a path has characters that mean something in a pattern.
pub(super) fn has_wildcards(path: &str) -> bool {
    path.contains(WILDCARDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_in_go() {
        for (path, expected) in [
            ("", "."),
            (".", "."),
            ("a//b/./c/..", "a/b"),
            ("../a", "../a"),
            ("../../a/..", "../.."),
            ("/../a", "/a"),
            ("/", "/"),
            ("a/..", "."),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn destinations_keep_their_slash() {
        for (directory, path, expected) in [
            ("/app", ".", "/app/"),
            ("/app", "./", "/app/"),
            ("/app", "b", "/app/b"),
            ("/app", "b/", "/app/b/"),
            ("/app", "/b/.", "/b/"),
            ("/", ".", "/"),
            ("/app", "/x/../y", "/y"),
            ("/app/", "../b", "/b"),
        ] {
            assert_eq!(destination(directory, path), expected, "{path}");
        }
    }

    #[test]
    fn sources_stay_beneath_the_root() {
        for (path, expected) in
            [("a", "a"), ("./a/", "a"), ("/a", "a"), (".", "."), ("../../a", "a"), ("", ".")]
        {
            assert_eq!(source(path), expected, "{path}");
        }
        for (path, expected) in
            [("/a*[b]", "a[*][[]b]"), ("a?/b\\c", "a[?]/b\\c"), ("a\\*", "a[\\\\][*]"), ("b]", "b]")]
        {
            assert_eq!(escape_pattern(path), expected, "{path}");
        }
    }
}
