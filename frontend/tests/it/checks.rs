//! Every file in `testdata/frontend/checks` is a rule: Dockerfiles, and what the rule finds in them.
//!
//! `UPDATE_FIXTURES=1 cargo nextest run -p slipway-frontend checks` writes what comes out into the files;
//! read the difference before you commit it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use frontend::lint::{RULES, rule};

use crate::support::Case;

const TITLE: &str = "=== ";
const DOCKERFILE: &str = "--- Dockerfile\n";
const EXPECTED: &str = "--- finds\n";

/// What the checks find, one finding a line: lines, rule, detail, help.
fn findings(case: &Case) -> String {
    let check = case.inquiry().check(&case.bases);
    let mut out = String::new();
    for finding in &check.findings {
        let (first, last) = finding.lines.clone().into_inner();
        let marked = case.dockerfile.get(finding.span.clone()).expect("a place in the text");
        let _ = write!(out, "{first}-{last} {marked:?} {}: {}", finding.rule.name, finding.detail);
        out.push_str(&finding.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default());
        out.push('\n');
    }
    for error in &check.errors {
        let _ = writeln!(out, "error {}: {}", error.rule, error.message);
    }
    out
}

/// One fixture with what is found now in place of what is expected.
fn renewed(title_and_case: &str) -> String {
    let (input, _) = title_and_case.split_once(EXPECTED).unwrap_or((title_and_case, ""));
    let (head, dockerfile) = input.split_once(DOCKERFILE).expect("a Dockerfile");
    let mut case = Case::new(dockerfile);
    head.lines().skip(1).filter(|line| !line.is_empty()).for_each(|line| case.set(line));
    format!("{input}{EXPECTED}{}", findings(&case))
}

#[test]
fn every_rule_finds_what_its_fixtures_say() {
    let update = std::env::var_os("UPDATE_FIXTURES").is_some();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/frontend/checks");
    let mut covered = BTreeSet::new();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&directory).expect("the fixtures are there") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a fixture");
        let now: String = text
            .split(TITLE)
            .filter(|case| !case.is_empty())
            .map(|case| format!("{TITLE}{}", renewed(case)))
            .collect();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if rule(&name).is_some() {
            assert!(now.contains(&format!(" {name}: ")), "`{name}` never finds anything");
        }
        covered.insert(name);
        if now != text && update {
            fs::write(&path, &now).expect("fixtures can be written");
        } else if now != text {
            wrong.push(format!("{}\n{now}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let missing: Vec<_> = RULES.iter().filter(|rule| !covered.contains(rule.name)).collect();
    assert!(missing.is_empty(), "rules without fixtures: {missing:?}");
}
