//! Any ignore file and any path: both ways of matching agree, and nothing that counts is pruned.

#![no_main]

use frontend::ignore::{Parents, Patterns};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (text, path) = input;
    let (patterns, errors) = Patterns::parse(text);
    for error in errors {
        assert!(text.get(error.span.clone()).is_some(), "{error:?}");
    }
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | "." | "..")).collect();
    let mut parents = Parents::default();
    let mut pruned_at = None;
    for end in 1..=names.len() {
        let path = names[..end].join("/");
        let (decision, below) = patterns.descend(&parents, &path);
        assert_eq!(decision, patterns.matches(&path), "{path}");
        if let Some(directory) = &pruned_at {
            assert!(decision.is_excluded(), "{directory} holds {path}");
        } else if patterns.can_prune(&path) {
            pruned_at = Some(path);
        }
        parents = below;
    }
});
