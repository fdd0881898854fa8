//! Every file beneath `testdata/frontend`, `checks` left out, is a case: options, a Dockerfile, and what it
//! becomes.
//!
//! `UPDATE_FIXTURES=1 cargo nextest run -p slipway-frontend fixtures` writes what comes out into the files;
//! read the difference before you commit it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Case;

const EXPECTED: &str = "--- becomes\n";
const DOCKERFILE: &str = "--- Dockerfile\n";

/// The rules of the build checks have fixtures of their own, see `checks.rs`.
const CHECKS: &str = "checks";

fn fixtures() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/frontend");
    let mut paths = Vec::new();
    let mut directories = vec![directory];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("the fixtures are there") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                paths.push(path);
            } else if !path.ends_with(CHECKS) {
                directories.push(path);
            }
        }
    }
    paths.sort();
    paths
}

/// Splits a fixture into the case, and the text in front of what is expected.
fn read(text: &str) -> (Case, &str) {
    let (input, _) = text.split_once(EXPECTED).unwrap_or((text, ""));
    let (options, dockerfile) = input.split_once(DOCKERFILE).expect("a Dockerfile");
    let mut case = Case::new(dockerfile);
    options.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).for_each(|line| case.set(line));
    (case, input)
}

#[test]
fn fixtures_become_what_they_say() {
    let update = std::env::var_os("UPDATE_FIXTURES").is_some();
    let mut wrong = Vec::new();
    for path in fixtures() {
        let text = fs::read_to_string(&path).expect("a fixture");
        let (case, input) = read(&text);
        let now = format!("{input}{EXPECTED}{}", case.show());
        if now == text {
            continue;
        }
        if update {
            fs::write(&path, &now).expect("fixtures can be written");
        } else {
            wrong.push(format!("{}\n{}", path.display(), difference(&text, &now)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The lines that differ, those of the file with `-`, those of now with `+`.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("-{line}"));
    let added = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+{line}"));
    gone.chain(added).collect::<Vec<_>>().join("\n")
}
