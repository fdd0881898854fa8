//! Every link of the documents leads to a file, and to a heading when it names one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::markdown;

#[test]
fn every_relative_link_resolves() {
    let mut broken = Vec::new();
    let mut checked = 0;
    for document in markdown::documents() {
        for link in links(&markdown::prose(&markdown::read(&document))) {
            checked += 1;
            if !resolves(&document, &link) {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    assert!(checked > 0, "no document has a link: the check looks at the wrong place");
}

#[test]
fn a_heading_becomes_an_anchor() {
    let text = "# The `key` of a *step*, v1\n```\n# not a heading\n```\n";
    assert_eq!(anchors(text), BTreeSet::from(["the-key-of-a-step-v1".to_owned()]));
}

/// The targets of inline links, without those into the network.
fn links(prose: &str) -> Vec<String> {
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).filter(|target| !target.contains("://")).collect()
}

fn resolves(document: &Path, link: &str) -> bool {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let directory = document.parent().expect("a document lies in a directory");
    let target = if path.is_empty() { document.to_owned() } else { directory.join(path) };
    if anchor.is_empty() {
        return target.exists();
    }
    fs::read_to_string(target).is_ok_and(|text| anchors(&text).contains(anchor))
}

/// The anchors of the headings, made as forges make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let fenced: BTreeSet<_> = markdown::fenced_lines(text).into_iter().collect();
    let headings = text.lines().filter(|line| line.starts_with('#') && !fenced.contains(line));
    headings.map(|heading| anchor(heading.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
