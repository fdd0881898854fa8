//! Any text and any value: expanded in every way. Nothing panics, and results are bounded.

#![no_main]

use frontend::Variables;
use frontend::expand::{Expander, Quotes};
use frontend::limits::EXPANSION_BYTES_MAX;
use libfuzzer_sys::fuzz_target;

/// `v` has the value, `e` is empty, all others are not set.
struct One<'a>(&'a str);

impl Variables for One<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        match name {
            "v" => Some(self.0),
            "e" => Some(""),
            _ => None,
        }
    }
}

fuzz_target!(|input: (&str, &str)| {
    let (text, value) = input;
    for escape in ['\\', '`'] {
        for quotes in [Quotes::Remove, Quotes::Keep, Quotes::Ignore] {
            for keep in [false, true] {
                let expander =
                    Expander { escape, quotes, keep_escapes: keep, keep_unset: keep, joins_markers: keep };
                if let Ok(expansion) = expander.expand(text, &One(value)) {
                    assert!(expansion.text.len() <= EXPANSION_BYTES_MAX + text.len());
                    if expander.is_plain(text) {
                        assert_eq!(expansion.text, text);
                    }
                }
            }
        }
    }
});
