//! A regular expression of Go as one of the `regex` crate.
//!
//! Only what the translation of patterns can produce: literals, escapes, classes, `.*`, `?` and groups. The
//! two syntaxes differ in classes (ours knows nested classes and set operations) and in what `\d` and its
//! like mean (Go: ASCII).

use std::iter::Peekable;
use std::str::Chars;

/// Translates an expression; none when Go would refuse it, or when it uses `\p`, `\Q` or `\C`.
pub(super) fn translate(go: &str) -> Option<String> {
    let mut out = String::with_capacity(go.len() + 8);
    let mut chars = go.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push_str(&escape(&mut chars)?),
            '[' => out.push_str(&class(&mut chars)?),
            // Outside of a class it is an ordinary character in both.
            ']' => out.push_str("\\]"),
            c => out.push(c),
        }
    }
    Some(out)
}

fn escape(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let c = chars.next()?;
    if let Some(class) = perl_class(c) {
        return Some(class.to_owned());
    }
    Some(match c {
        'A' => "\\A".to_owned(),
        'z' => "\\z".to_owned(),
        'b' => "(?-u:\\b)".to_owned(),
        // A byte-wise `\B` may split a character, which the crate refuses; Go tests between characters.
        'B' => "\\B".to_owned(),
        other => literal(single(other, chars)?),
    })
}

/// `\d` and its like, ASCII as in Go.
fn perl_class(c: char) -> Option<&'static str> {
    Some(match c {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => "[\\t\\n\\x0C\\r ]",
        'S' => "[^\\t\\n\\x0C\\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

/// An escape that stands for one character.
fn single(c: char, chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    match c {
        'a' => Some('\u{7}'),
        'f' => Some('\u{c}'),
        't' => Some('\t'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        'v' => Some('\u{b}'),
        'x' => hexadecimal(chars),
        '0' => octal(0, chars),
        // One to seven need a second octal digit, else they would be back-references.
        '1'..='7' if chars.peek().is_some_and(|next| ('0'..='7').contains(next)) => {
            octal(c.to_digit(8)?, chars)
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c),
        _ => None,
    }
}

fn octal(first: u32, chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    let mut value = first;
    for _ in 0..2 {
        let Some(digit) = chars.next_if(|c| ('0'..='7').contains(c)).and_then(|c| c.to_digit(8)) else {
            break;
        };
        value = value * 8 + digit;
    }
    char::from_u32(value)
}

/// `\x7F`; the form with braces cannot come out of a pattern, whose braces are escaped.
fn hexadecimal(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    let high = chars.next()?.to_digit(16)?;
    let low = chars.next()?.to_digit(16)?;
    char::from_u32(high * 16 + low)
}

fn literal(c: char) -> String {
    regex::escape(c.encode_utf8(&mut [0; 4]))
}

/// Reads a class up to its `]`.
fn class(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut out = String::from("[");
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut is_first = true;
    loop {
        if !is_first && chars.next_if_eq(&']').is_some() {
            out.push(']');
            return Some(out);
        }
        is_first = false;
        let low = match member(chars)? {
            Member::Set(set) => {
                out.push_str(&set);
                continue;
            }
            Member::Char(low) => low,
        };
        out.push_str(&class_literal(low));
        let mut ahead = chars.clone();
        // A minus in front of the closing bracket is a character.
        if ahead.next() == Some('-') && ahead.peek().is_some_and(|c| *c != ']') {
            chars.next();
            let Member::Char(high) = member(chars)? else { return None };
            if high < low {
                return None;
            }
            out.push('-');
            out.push_str(&class_literal(high));
        }
    }
}

enum Member {
    Char(char),
    /// A class inside the class, ready to be used.
    Set(String),
}

fn member(chars: &mut Peekable<Chars<'_>>) -> Option<Member> {
    match chars.next()? {
        '[' if chars.peek() == Some(&':') => posix_class(chars),
        '\\' => {
            let c = chars.next()?;
            match perl_class(c) {
                Some(class) => Some(Member::Set(class.to_owned())),
                None => single(c, chars).map(Member::Char),
            }
        }
        c => Some(Member::Char(c)),
    }
}

/// What follows `[` when that is a colon: `:alpha:]`, or just characters when there is no `:]`.
fn posix_class(chars: &mut Peekable<Chars<'_>>) -> Option<Member> {
    let rest: String = chars.clone().collect();
    let Some(end) = rest.find(":]").filter(|end| *end > 0) else { return Some(Member::Char('[')) };
    let name = &rest[1..end];
    if !POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return None;
    }
    chars.nth(end + 1);
    Some(Member::Set(format!("[[:{name}:]]")))
}

/// The classes that both syntaxes know, all ASCII.
const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// A character inside a class, where our syntax gives more of them a meaning.
fn class_literal(c: char) -> String {
    match c {
        '[' | ']' | '\\' | '^' | '-' | '&' | '~' => format!("\\{c}"),
        c => c.to_string(),
    }
}
