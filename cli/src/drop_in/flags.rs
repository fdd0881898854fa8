//! The flags of other builders, which are all of Go's libraries.

use crate::report::Report;

/// Whether a flag has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `--name`, `--name=false`.
    Switch,
    /// `--name value`, `--name=value`.
    Value,
}

/// A flag of a builder: its name, the letter for it, whether it has a value.
pub(super) type Flag = (&'static str, Option<char>, Kind);

/// A flag that was given, with its value; a switch has `true` or `false`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) name: &'static str,
    pub(super) value: String,
}

impl Given {
    pub(super) fn is_on(&self) -> bool {
        matches!(self.value.as_str(), "true" | "1" | "t" | "T" | "TRUE" | "True")
    }
}

/// The flags and the other words.
pub(super) fn parse(words: &[String], known: &[Flag]) -> Result<(Vec<Given>, Vec<String>), Report> {
    let (mut given, mut others) = (Vec::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            others.extend(words.cloned());
            break;
        }
        let Some(flag) = word.strip_prefix('-').filter(|flag| !flag.is_empty()) else {
            others.push(word.clone());
            continue;
        };
        let (name, joined) = split(flag);
        let is_it = |(long, short, _): &&Flag| {
            Some(*long) == flag.strip_prefix('-').map(|_| name) || short.is_some_and(|it| is_letter(flag, it))
        };
        let unknown = || Report::mistake(format!("unknown flag `{word}`"));
        let (name, short, kind) = known.iter().find(is_it).ok_or_else(unknown)?;
        let joined = match (joined, flag.strip_prefix('-'), short) {
            (None, None, Some(letter)) => flag.strip_prefix(*letter).filter(|rest| !rest.is_empty()),
            (joined, ..) => joined,
        };
        let value = match (kind, joined) {
            (_, Some(value)) => value.to_owned(),
            (Kind::Switch, None) => "true".to_owned(),
            (Kind::Value, None) => {
                let missing = || Report::mistake(format!("flag `{word}` needs a value"));
                words.next().cloned().ok_or_else(missing)?
            }
        };
        given.push(Given { name, value });
    }
    Ok((given, others))
}

/// The name, without its dashes, and what stands behind `=`.
fn split(flag: &str) -> (&str, Option<&str>) {
    let flag = flag.strip_prefix('-').unwrap_or(flag);
    flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)))
}

fn is_letter(flag: &str, letter: char) -> bool {
    !flag.starts_with('-') && flag.starts_with(letter)
}
