//! The README begins with the two commands, and every chore that a document names exists.

use std::process::Command;

use crate::markdown;

#[test]
fn the_readme_begins_with_the_two_commands() {
    let readme = markdown::read("README.md");
    let shown = markdown::fenced_lines(&readme);
    let commands: Vec<_> = shown.iter().map(|line| line.split('#').next().unwrap_or(line).trim()).collect();
    assert_eq!(commands[..2], ["cargo xtask demo", "cargo xtask test"]);
}

#[test]
fn every_chore_that_is_named_exists() {
    let usage = usage();
    let mut named = 0;
    let files = markdown::documents().into_iter().chain([markdown::root().join(".ci/run")]);
    for file in files {
        let text = markdown::read(&file);
        for chore in text.split("cargo xtask ").skip(1).filter_map(first_word) {
            named += 1;
            let exists = usage.lines().any(|line| line.trim_start().starts_with(&format!("{chore} ")));
            assert!(exists, "{} names `cargo xtask {chore}`, which does not exist", file.display());
        }
    }
    assert!(named > 0, "no document names a chore: the check looks at the wrong place");
}

#[test]
fn an_unknown_chore_is_refused_with_the_usage() {
    let output = xtask("demolish");
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.starts_with("xtask: no such command: `demolish`\nusage: "), "{complaint}");
}

fn usage() -> String {
    String::from_utf8(xtask("help").stdout).expect("the usage is UTF-8")
}

fn xtask(argument: &str) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).arg(argument).output().expect("the binary of this crate starts")
}

/// The word at the start of `text`; none when it is a placeholder.
fn first_word(text: &str) -> Option<&str> {
    let end = text.find(|letter: char| !letter.is_ascii_lowercase()).unwrap_or(text.len());
    Some(&text[..end]).filter(|word| !word.is_empty())
}
