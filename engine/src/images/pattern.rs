//! Patterns for image names, as `path.Match` of Go's library reads them.

use image::Reference;

/// A pattern: `*` and `?` match anything but `/`, `[a-z]` and `[^a-z]` match one character of a class, and a
/// backslash takes the next character as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Star,
    One,
    Char(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Pattern {
    /// Reads a pattern; none when a class or an escape is not finished.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            parts.push(match char {
                '*' => Part::Star,
                '?' => Part::One,
                '\\' => Part::Char(chars.next()?),
                '[' => class(&mut chars)?,
                char => Part::Char(char),
            });
        }
        // Two stars match what one does; without them matching takes no exponential time.
        parts.dedup_by(|a, b| *a == Part::Star && *b == Part::Star);
        Some(Self(parts))
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        let chars: Vec<char> = text.chars().collect();
        // Where to go on when a part does not match: after the last star, one character later.
        let (mut part, mut at, mut star) = (0, 0, None);
        loop {
            if self.0.get(part) == Some(&Part::Star) {
                star = Some((part + 1, at));
                part += 1;
                continue;
            }
            let step = match (self.0.get(part), chars.get(at)) {
                (None, None) => return true,
                (Some(part), Some(char)) => part.matches(*char),
                _ => false,
            };
            if step {
                (part, at) = (part + 1, at + 1);
                continue;
            }
            match star {
                Some((after, from)) if chars.get(from).is_some_and(|char| *char != '/') => {
                    star = Some((after, from + 1));
                    (part, at) = (after, from + 1);
                }
                _ => return false,
            }
        }
    }

    /// Whether an image name matches, as Docker shows it, with or without its tag.
    pub fn matches_reference(&self, reference: &Reference) -> bool {
        self.matches(&reference.familiar()) || self.matches(&reference.familiar_name())
    }
}

impl Part {
    fn matches(&self, char: char) -> bool {
        match self {
            Self::Star => false,
            Self::One => char != '/',
            Self::Char(own) => *own == char,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&char)) != *negated
            }
        }
    }
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Part> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Part::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let high = match chars.next_if_eq(&'-') {
            Some(_) => class_char(chars)?,
            None => low,
        };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        char => Some(char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_go_does() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a/b", false),
            ("a???b", "a☺☻☹b", true),
            ("[a-ζ]*", "α", true),
            ("[\\-x]", "-", true),
            ("", "", true),
            ("", "a", false),
            ("**a", "xa", true),
        ] {
            let parsed = Pattern::parse(pattern).expect("a pattern");
            assert_eq!(parsed.matches(text), expected, "{pattern} {text}");
        }
        for wrong in ["[", "[^", "[^bc", "a[", "[]a]", "[-]", "[x-]", "[-x]", "a\\", "[a-b-c]"] {
            assert_eq!(Pattern::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hostile_patterns_take_no_time() {
        let pattern = Pattern::parse(&"a*".repeat(500)).expect("a pattern");
        assert!(!pattern.matches(&("a".repeat(10_000) + "/")));
    }

    #[test]
    fn names_match_with_and_without_tag() {
        let reference: Reference = "debian:12".parse().expect("a reference");
        for (pattern, expected) in
            [("debian", true), ("debian:*", true), ("deb*", true), ("*:12", true), ("docker.io/*", false)]
        {
            let pattern = Pattern::parse(pattern).expect("a pattern");
            assert_eq!(pattern.matches_reference(&reference), expected, "{pattern:?}");
        }
    }
}
