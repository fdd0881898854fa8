//! `docs/security.md` claims nothing without a test that exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::markdown::{read, root};

/// Every function of every Rust file, as `file::function`.
fn functions(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("a directory of the project").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a source file is text");
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.map(|name| format!("{file}::{name}")));
        }
    }
}

/// What stands between backticks and has the form of a test's name.
fn claimed(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).filter(|word| word.contains("::") && !word.contains(' ')).collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let mut known = BTreeSet::new();
    functions(root(), &mut known);
    let text = read("docs/security.md");
    let claims = claimed(&text);
    assert!(claims.len() >= 30, "{claims:?}");
    let missing: Vec<_> = claims.into_iter().filter(|claim| !known.contains(*claim)).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_attack_has_a_test() {
    let text = read("docs/security.md");
    let section = text.split("## Attacks that worked elsewhere").nth(1).expect("the section is there");
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(rows.len() >= 20, "{}", rows.len());
    for row in rows {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().expect("a row has cells");
        assert!(!claimed(last).is_empty(), "{row}");
    }
}
