//! Splits the text of an instruction: keyword, flags, words, JSON arrays, here-document markers.

use nom::bytes::complete::{tag, take_while};
use nom::combinator::opt;
use nom::{IResult, Parser};

use super::surrogates;
use crate::environment::NoVariables;
use crate::expand::{Expander, Quotes};
use crate::limits::WORDS_MAX;

/// Blanks between words, as BuildKit's parser has them: a space that is none of these is part of a word.
pub(crate) fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// Splits a line into its first word and the rest.
pub(crate) fn keyword(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| is_blank(char::from(byte))).unwrap_or(text.len());
    match text.split_at(end) {
        ("", _) => ("", text),
        (keyword, rest) => (keyword, rest.trim_start_matches(is_blank)),
    }
}

/// A `--name` or `--name=value` in front of the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawFlag<'l> {
    /// As written.
    pub(crate) raw: &'l str,
    /// Without quotes and escapes.
    pub(crate) text: String,
}

/// Takes the flags from the front of the arguments; returns what follows them.
pub(crate) fn flags(text: &str) -> (Vec<RawFlag<'_>>, &str) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let (raw, unquoted, after) = flag_word(rest);
        if unquoted == "--" {
            return (flags, after.trim());
        }
        flags.push(RawFlag { raw, text: unquoted });
        rest = after.trim_start();
    }
    (flags, rest.trim())
}

/// One word with its quotes and escapes removed. The escape character is always the backslash here.
fn flag_word(text: &str) -> (&str, String, &str) {
    let mut out = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            ('\\', _) => out.extend(chars.next().map(|(_, escaped)| escaped)),
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            (c, None) if c.is_whitespace() => return (&text[..at], out, &text[at..]),
            (c, _) => out.push(c),
        }
    }
    (text, out, "")
}

/// The words between blanks; quotes mean nothing. No more than one too many.
pub(crate) fn plain_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_blank).filter(|word| !word.is_empty()).take(WORDS_MAX + 1)
}

/// The words between blanks outside of quotes, quotes and escapes kept. No more than one too many.
pub(crate) fn quoted_words(text: &str, escape: char) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if words.len() > WORDS_MAX {
            return words;
        }
        if start.is_none() && !c.is_whitespace() {
            start = Some(at);
        }
        match quote {
            None if c.is_whitespace() => words.extend(start.take().map(|start| &text[start..at])),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            // Single quotes protect the escape character too.
            _ if c == escape && quote != Some('\'') => {
                chars.next();
            }
            _ => {}
        }
    }
    words.extend(start.map(|start| &text[start..]));
    words
}

/// What the arguments are as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    /// A list of strings.
    Strings(Vec<String>),
    /// A list, but not of strings only.
    OtherList,
    /// Something else.
    No,
}

/// Reads the exec form.
pub(crate) fn json(text: &str) -> Json {
    if !text.starts_with('[') {
        return Json::No;
    }
    if let Ok(strings) = serde_json::from_str(text) {
        return Json::Strings(strings);
    }
    let text = &surrogates::replaced(text);
    if let Ok(strings) = serde_json::from_str(text) {
        return Json::Strings(strings);
    }
    match serde_json::from_str::<Vec<serde_json::Value>>(text) {
        Ok(_) => Json::OtherList,
        Err(_) => Json::No,
    }
}

/// `<<NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The word as written.
    pub(crate) written: String,
    pub(crate) name: String,
    pub(crate) expand: bool,
    pub(crate) chomp: bool,
}

/// The here-document markers of a whole line, quoted parts of it left out.
pub(super) fn markers(line: &str) -> Vec<Marker> {
    if !line.contains("<<") {
        return Vec::new();
    }
    let lexer = Expander {
        quotes: Quotes::Keep,
        keep_escapes: true,
        keep_unset: true,
        joins_markers: true,
        ..Expander::new('\\')
    };
    let words = lexer.expand(line, &NoVariables).map(|expansion| expansion.words).unwrap_or_default();
    words.iter().filter_map(|word| marker(word)).collect()
}

/// Reads one word as a marker: `[0-9]*<<-?NAME`, the name quoted or not, blanks in front of it or not.
pub(crate) fn marker(word: &str) -> Option<Marker> {
    if !word.contains("<<") {
        return None;
    }
    let mut head = (take_while(|c: char| c.is_ascii_digit()), tag("<<"), opt(tag("-")));
    let parsed: IResult<&str, (&str, &str, Option<&str>)> = head.parse(word);
    let (name, (_, _, dash)) = parsed.ok()?;
    let name = name.trim_start();
    if name.is_empty() || name.contains('<') {
        return None;
    }
    let removing = Expander { keep_unset: true, ..Expander::new('\\') };
    let keeping = Expander { quotes: Quotes::Keep, ..removing };
    let unquoted = removing.expand(name, &NoVariables).ok()?.words;
    let quoted = keeping.expand(name, &NoVariables).ok()?.words;
    let quotes = |words: &[String]| words.iter().flat_map(|word| word.matches(['\'', '"'])).count();
    let [only] = &unquoted[..] else { return None };
    Some(Marker {
        written: word.to_owned(),
        name: only.clone(),
        expand: quotes(&unquoted) == quotes(&quoted),
        chomp: dash.is_some(),
    })
}
