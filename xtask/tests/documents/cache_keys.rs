//! `docs/cache-keys.md` names every field that the key of an operation is made of, or leaves out.
//!
//! The code destructures what it hashes, so that a new field does not compile without a decision. Here the
//! decision is read from those patterns and compared with the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::markdown;

/// (type, field) -> whether it is in the key.
type Decisions = BTreeMap<(String, String), bool>;

const CODE: [&str; 3] = ["graph/src/digest.rs", "graph/src/digest/file.rs", "graph/src/digest/process.rs"];
/// The crates whose digests are, or enter, keys.
const CRATES_WITH_KEYS: [&str; 4] = ["cache", "engine", "graph", "solver"];
const DOCUMENT: &str = "docs/cache-keys.md";

#[test]
fn the_table_is_what_the_code_destructures() {
    let code: Decisions = CODE.iter().flat_map(|file| destructured(&markdown::read(file))).collect();
    assert!(code.len() > 10, "{CODE:?} is not read right: {code:?}");
    assert_eq!(
        documented(&markdown::read(DOCUMENT)),
        code,
        "`true` is in the key; left {DOCUMENT}, right {CODE:?}"
    );
}

/// A change of meaning is a new name, which somebody has to describe.
#[test]
fn every_kind_of_digest_is_described() {
    let code: BTreeSet<_> = CRATES_WITH_KEYS.iter().flat_map(|name| kinds_in_crate(name)).collect();
    assert!(code.len() > 10, "the code is not read right: {code:?}");
    let described = kinds(&markdown::read(DOCUMENT), '`');
    assert_eq!(described, code, "left {DOCUMENT}, right the code");
}

#[test]
fn a_kind_is_a_quoted_name_with_a_version() {
    let code = r#"new("run/v1").field("a/v", x); const A: &str = "layer content/v12"; "/usr/v1" "V/v1""#;
    assert_eq!(kinds(code, '"'), BTreeSet::from(["run/v1".to_owned(), "layer content/v12".to_owned()]));
}

#[test]
fn patterns_are_read_with_their_type() {
    let code = "
impl Run {
    fn digest(&self) -> Digest {
        let Self { argv, proxy: _ } =
            self;
        match source {
            Source::Input { path, read_only } => hasher
                .field(path),
        }
    }
}
#[cfg(test)]
mod tests { let Self { no } = self; }
";
    let decided = |kind: &str, field: &str, is_in: bool| ((kind.to_owned(), field.to_owned()), is_in);
    let expected = [
        decided("Run", "argv", true),
        decided("Run", "proxy", false),
        decided("Source::Input", "path", true),
        decided("Source::Input", "read_only", true),
    ];
    assert_eq!(destructured(code), Decisions::from(expected));
}

/// The patterns of the code before its tests. Of two patterns of a type, the one that hashes a field wins.
fn destructured(code: &str) -> Decisions {
    let code = code.split("#[cfg(test)]").next().unwrap_or(code);
    let mut decisions = Decisions::new();
    let mut owner = "";
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if let Some(header) = line.strip_prefix("impl ") {
            owner = header.trim_end_matches(" {");
        }
        let mut line = line.trim().to_owned();
        // A long pattern goes on in the next lines.
        while line.starts_with("let Self {") && !line.ends_with(';') {
            let Some(next) = lines.next() else { break };
            line = format!("{line} {}", next.trim());
        }
        let Some((kind, fields)) = pattern(&line, owner) else { continue };
        for field in fields.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let (name, is_in) = field.strip_suffix(": _").map_or((field, true), |name| (name, false));
            *decisions.entry((kind.to_owned(), name.to_owned())).or_default() |= is_in;
        }
    }
    decisions
}

/// The type and the fields of `let Self { .. } = self;` or of a match arm's `Type::Variant { .. } =>`.
fn pattern<'a>(line: &'a str, owner: &'a str) -> Option<(&'a str, &'a str)> {
    if let Some(rest) = line.strip_prefix("let Self { ") {
        return Some((owner, rest.strip_suffix(" } = self;")?));
    }
    let (pattern, _) = line.split_once(" } =>")?;
    let (kind, fields) = pattern.split_once(" { ")?;
    kind.contains("::").then_some((kind, fields))
}

fn documented(document: &str) -> Decisions {
    let rows = markdown::table(document, &["Type", "Field", "In the key"]);
    let decision = |row: &Vec<String>| match row[2].as_str() {
        "yes" => true,
        "no" => false,
        other => panic!("{DOCUMENT}: `{other}` is neither yes nor no"),
    };
    let name = |cell: &str| cell.trim_matches('`').to_owned();
    rows.iter().skip(1).map(|row| ((name(&row[0]), name(&row[1])), decision(row))).collect()
}

fn kinds_in_crate(name: &str) -> BTreeSet<String> {
    let files = rust_files(&markdown::root().join(name).join("src"));
    let code = files.iter().map(markdown::read);
    code.flat_map(|code| kinds(code.split("#[cfg(test)]").next().unwrap_or_default(), '"')).collect()
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a crate has sources") {
        let path = entry.expect("a directory can be read to its end").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files
}

/// The texts between two of `quote` that look like `name/v1`.
fn kinds(text: &str, quote: char) -> BTreeSet<String> {
    let is_name = |letter: char| letter.is_ascii_lowercase() || " -".contains(letter);
    let is_kind = |text: &&str| {
        let Some((name, version)) = text.split_once("/v") else { return false };
        let has_version = !version.is_empty() && version.bytes().all(|digit| digit.is_ascii_digit());
        !name.is_empty() && name.chars().all(is_name) && has_version
    };
    text.split(quote).filter(is_kind).map(str::to_owned).collect()
}
