//! The table of imports in `ARCHITECTURE.md` is what the manifests say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::markdown;

/// For each crate, by the name of its directory, those of our crates that it uses.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn crates_import_only_what_the_map_allows() {
    let (allowed, used) = (allowed(), used(&["normal", "build"]));
    for (name, imports) in &used {
        let Some(allowed) = allowed.get(name) else { panic!("`{name}` has no row in ARCHITECTURE.md") };
        assert_eq!(imports, allowed, "`{name}` changed its imports: discuss, then edit ARCHITECTURE.md");
    }
    assert_eq!(names(&used), names(&allowed), "a row of ARCHITECTURE.md names no crate");
}

#[test]
fn tests_reach_no_further_than_their_crate() {
    let allowed = allowed();
    for (name, imports) in used(&["dev"]) {
        let beyond: Vec<_> = imports.difference(&allowed[&name]).filter(|import| **import != name).collect();
        assert!(beyond.is_empty(), "the tests of `{name}` import {beyond:?}");
    }
}

fn names(imports: &Imports) -> BTreeSet<&String> {
    imports.keys().collect()
}

fn allowed() -> Imports {
    let table = markdown::table(&markdown::read("ARCHITECTURE.md"), &["image", "graph", "frontend"]);
    let (header, rows) = table.split_first().expect("a table has a header");
    let marked = |row: &Vec<String>| {
        let columns = header.iter().zip(row).skip(1);
        columns.filter(|(_, mark)| *mark == "x").map(|(column, _)| column.clone()).collect()
    };
    rows.iter().map(|row| (row[0].clone(), marked(row))).collect()
}

/// What the manifests say, for dependencies of these kinds.
fn used(kinds: &[&str]) -> Imports {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("metadata has packages");
    packages.iter().map(|package| (directory(package), imports(package, kinds))).collect()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(markdown::root())
        .output()
        .expect("cargo is there, it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON")
}

fn directory(package: &Value) -> String {
    let manifest = Path::new(package["manifest_path"].as_str().expect("a package has a manifest"));
    let directory = manifest.parent().and_then(Path::file_name).expect("a manifest lies in a directory");
    directory.to_string_lossy().into_owned()
}

fn imports(package: &Value, kinds: &[&str]) -> BTreeSet<String> {
    let dependencies = package["dependencies"].as_array().expect("a package has dependencies");
    let ours = dependencies.iter().filter_map(|dependency| {
        let kind = dependency["kind"].as_str().unwrap_or("normal");
        let path = Path::new(dependency["path"].as_str()?);
        kinds
            .contains(&kind)
            .then(|| path.file_name().expect("a crate has a directory").to_string_lossy().into())
    });
    ours.collect()
}
