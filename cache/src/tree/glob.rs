//! Go's `filepath.Match` for single names: `*`, `?`, `[a-z]`, `[^a-z]` and `\`.

/// A pattern that Go does not accept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadPattern;

/// Whether a component of a source has to be matched rather than looked up.
pub(crate) fn is_pattern(component: &[u8]) -> bool {
    let mut bytes = component.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

/// Whether the name of a file matches a pattern for names; none when Go does not accept the pattern.
pub fn name_matches(pattern: &[u8], name: &[u8]) -> Option<bool> {
    Pattern::new(pattern).ok().map(|pattern| pattern.matches(name))
}

/// A parsed pattern for one component.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Any,
    One,
    Char(u32),
    Class { is_negated: bool, ranges: Vec<(u32, u32)> },
}

impl Pattern {
    pub(crate) fn new(pattern: &[u8]) -> Result<Self, BadPattern> {
        let mut chars = decode(pattern).into_iter().peekable();
        let mut pieces = Vec::new();
        while let Some(char) = chars.next() {
            pieces.push(match AsciiOr::from(char) {
                AsciiOr::Byte(b'*') => Piece::Any,
                AsciiOr::Byte(b'?') => Piece::One,
                AsciiOr::Byte(b'\\') => Piece::Char(chars.next().ok_or(BadPattern)?),
                AsciiOr::Byte(b'[') => class(&mut chars)?,
                _ => Piece::Char(char),
            });
        }
        pieces.dedup_by(|next, before| *next == Piece::Any && *before == Piece::Any);
        Ok(Self(pieces))
    }

    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        let name = decode(name);
        let (mut piece, mut at) = (0, 0);
        // Where to go on when the rest does not match: the last `*` takes one more.
        let mut retry: Option<(usize, usize)> = None;
        while piece < self.0.len() || at < name.len() {
            match self.0.get(piece) {
                Some(Piece::Any) => {
                    retry = Some((piece, at));
                    piece += 1;
                    continue;
                }
                Some(one) if name.get(at).is_some_and(|char| one.takes(*char)) => {
                    piece += 1;
                    at += 1;
                    continue;
                }
                _ => {}
            }
            match retry {
                Some((any, from)) if from < name.len() => {
                    retry = Some((any, from + 1));
                    (piece, at) = (any + 1, from + 1);
                }
                _ => return false,
            }
        }
        true
    }
}

impl Piece {
    fn takes(&self, char: u32) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Char(own) => *own == char,
            Self::Class { is_negated, ranges } => {
                ranges.iter().any(|(low, high)| (low..=high).contains(&&char)) != *is_negated
            }
        }
    }
}

enum AsciiOr {
    Byte(u8),
    Other,
}

impl From<u32> for AsciiOr {
    fn from(char: u32) -> Self {
        u8::try_from(char).map_or(Self::Other, Self::Byte)
    }
}

/// Reads a class behind its bracket.
fn class(chars: &mut std::iter::Peekable<std::vec::IntoIter<u32>>) -> Result<Piece, BadPattern> {
    let is = |char: Option<&u32>, byte: u8| char == Some(&u32::from(byte));
    let is_negated = is(chars.peek(), b'^');
    if is_negated {
        chars.next();
    }
    let mut ranges = Vec::new();
    loop {
        if is(chars.peek(), b']') && !ranges.is_empty() {
            chars.next();
            return Ok(Piece::Class { is_negated, ranges });
        }
        let low = class_char(chars)?;
        let mut high = low;
        if is(chars.peek(), b'-') {
            chars.next();
            high = class_char(chars)?;
        }
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::vec::IntoIter<u32>>) -> Result<u32, BadPattern> {
    let char = chars.next().ok_or(BadPattern)?;
    match AsciiOr::from(char) {
        AsciiOr::Byte(b'-' | b']') => Err(BadPattern),
        AsciiOr::Byte(b'\\') => chars.next().ok_or(BadPattern),
        _ => Ok(char),
    }
}

/// Beyond all characters: bytes that are no UTF-8 stand for themselves.
const LOOSE_BYTE: u32 = 0x11_0000;

fn decode(bytes: &[u8]) -> Vec<u32> {
    let mut chars = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        chars.extend(chunk.valid().chars().map(u32::from));
        chars.extend(chunk.invalid().iter().map(|byte| LOOSE_BYTE + u32::from(*byte)));
    }
    chars
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern.as_bytes()).expect("a good pattern").matches(name.as_bytes())
    }

    /// The cases are those of the documentation of Go's path/filepath, and the usual traps.
    #[test]
    fn as_in_go() {
        for (pattern, name) in [
            ("abc", "abc"),
            ("*", "abc"),
            ("*", ""),
            ("*c", "abc"),
            ("a*", "a"),
            ("a*b?c*x", "abxbbxdbxebxczzx"),
            ("ab[c]", "abc"),
            ("ab[b-d]", "abc"),
            ("ab[^e-g]", "abc"),
            ("a\\*b", "a*b"),
            ("a?b", "a\u{263a}b"),
            ("a[^a]b", "a\u{263a}b"),
            ("[a-\u{3b6}]*", "\u{3b1}"),
            ("[\\]a]", "]"),
            ("[\\-x]", "-"),
            ("**", "x"),
            ("*.txt", ".txt"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*c", "abcd"),
            ("a*b?c*x", "abxbbxdbxebxczzy"),
            ("ab[^c]", "abc"),
            ("ab[e-g]", "abc"),
            ("a\\*b", "ab"),
            ("a???b", "a\u{263a}b"),
            ("[a-c]", "d"),
            ("", "a"),
            ("a", ""),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        for bad in ["[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "a[", "\\", "[a-b-c]"] {
            assert_eq!(Pattern::new(bad.as_bytes()), Err(BadPattern), "{bad}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = "a*".repeat(100) + "b";
        assert!(!matches(&pattern, &"a".repeat(200)));
    }

    #[test]
    fn what_is_a_pattern() {
        assert!(is_pattern(b"*.c") && is_pattern(b"a?") && is_pattern(b"[ab]"));
        assert!(!is_pattern(b"plain") && !is_pattern(b"a\\*b") && !is_pattern(b"a]"));
    }

    #[test]
    fn bytes_that_are_no_text() {
        let pattern = Pattern::new(b"a?c").expect("a good pattern");
        assert!(pattern.matches(b"a\xffc"));
        assert!(!pattern.matches(b"a\xff\xfec"));
    }
}
