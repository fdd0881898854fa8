//! The options of one `--mount`, each with the grammar that BuildKit gives it.

use graph::CacheSharing;

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::lower::go_bool;
use crate::suggest::{meant, nearest, suggested};

const TYPES: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];
const SHARING: [&str; 3] = ["shared", "private", "locked"];

/// The options of one mount, variables expanded.
#[derive(Debug, Default)]
pub(in crate::lower) struct Options {
    pub(super) kind: Option<String>,
    pub(in crate::lower) source: String,
    pub(in crate::lower) target: String,
    pub(super) read_only: Option<bool>,
    pub(in crate::lower) id: String,
    pub(super) sharing: Option<CacheSharing>,
    pub(super) owner: (Option<u32>, Option<u32>),
    pub(super) mode: Option<u32>,
    pub(super) size_bytes: Option<u64>,
    pub(in crate::lower) required: bool,
    pub(super) env: Option<String>,
}

/// What is wrong with a mount.
#[derive(Debug)]
pub(in crate::lower) struct Wrong {
    message: String,
    help: Option<String>,
    /// What BuildKit says, where it says something else.
    buildkit: Option<String>,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, buildkit: None }
    }

    /// The same with what BuildKit says.
    pub(super) fn known_as(self, words: impl Into<String>) -> Self {
        Self { buildkit: Some(words.into()), ..self }
    }

    /// The finding.
    pub(super) fn at(self, mount: &ast::Mount) -> Box<Diagnostic> {
        let found = Diagnostic::error("InvalidMount", mount.span.clone(), self.message).with_help(self.help);
        Box::new(match self.buildkit {
            Some(words) => found.with_buildkit(words),
            None => found,
        })
    }
}

pub(super) type OptionResult<T> = std::result::Result<T, Wrong>;

impl Options {
    pub(super) fn set(&mut self, key: &str, value: Option<&str>) -> OptionResult<()> {
        let text = value.unwrap_or_default();
        match key {
            "type" => self.kind = Some(one_of("mount type", text, &TYPES)?.to_owned()),
            "source" | "src" => text.clone_into(&mut self.source),
            "target" | "dst" | "destination" => text.clone_into(&mut self.target),
            "readonly" | "ro" => self.read_only = Some(switch(key, value)?),
            "readwrite" | "rw" => self.read_only = Some(!switch(key, value)?),
            "required" => self.required = switch(key, value)?,
            "id" => text.clone_into(&mut self.id),
            "sharing" => {
                self.sharing = Some(match one_of("sharing value", text, &SHARING)? {
                    "private" => CacheSharing::Private,
                    "locked" => CacheSharing::Locked,
                    _ => CacheSharing::Shared,
                });
            }
            "mode" => self.mode = Some(number(key, text, 8)?),
            "uid" => self.owner.0 = Some(number(key, text, 10)?),
            "gid" => self.owner.1 = Some(number(key, text, 10)?),
            "size" => self.size_bytes = Some(size(text).ok_or_else(|| invalid(key, text))?),
            "env" => self.env = Some(text.to_owned()),
            // The parser knows no other key than `from`, which is read elsewhere.
            _ => {}
        }
        Ok(())
    }

    /// Refuses keys that the type does not have.
    pub(super) fn check(&self, kind: &str, from: Option<&str>) -> OptionResult<()> {
        let is_secret = matches!(kind, "secret" | "ssh");
        let has_owner = is_secret || kind == "cache";
        let misplaced = [
            ("mode", self.mode.is_some() && !has_owner),
            ("uid", self.owner.0.is_some() && !has_owner),
            ("gid", self.owner.1.is_some() && !has_owner),
            ("sharing", self.sharing.is_some() && kind != "cache"),
            ("size", self.size_bytes.is_some() && kind != "tmpfs"),
            ("required", self.required && !is_secret),
            ("from", from.is_some() && kind == "secret"),
            ("source", !self.source.is_empty() && kind == "ssh"),
        ];
        match misplaced.iter().find(|(_, is_misplaced)| *is_misplaced) {
            Some((key, _)) => {
                let found = Wrong::new(format!("a mount of type `{kind}` has no `{key}`"));
                Err(found.known_as(misplaced_words(kind, key)))
            }
            None => Ok(()),
        }
    }

    /// Keys that the type does not have, and that change nothing, as in BuildKit.
    pub(super) fn ignored(&self, kind: &str, from: Option<&str>) -> Vec<&'static str> {
        let without_files = matches!(kind, "tmpfs" | "ssh");
        let keys = [
            ("env", self.env.is_some() && kind != "secret"),
            ("id", !self.id.is_empty() && matches!(kind, "bind" | "tmpfs")),
            ("from", from.is_some() && without_files),
            ("source", !self.source.is_empty() && without_files),
        ];
        keys.into_iter().filter(|(_, is_ignored)| *is_ignored).map(|(key, _)| key).collect()
    }
}

/// What BuildKit says of a key that a type of mount does not have.
fn misplaced_words(kind: &str, key: &str) -> String {
    match (kind, key) {
        ("secret", "sharing") => "secret mount should not define sharing".to_owned(),
        (_, "sharing") => format!("invalid cache sharing set for {kind} mount"),
        (_, "from") => format!("{kind} mount should not have a from"),
        (_, "source") => format!("{kind} does not support source"),
        (_, "size" | "required") => format!("unexpected key '{key}' for mount type '{kind}'"),
        _ => format!("{key} not allowed for {kind:?} type mounts"),
    }
}

fn one_of(what: &str, text: &str, known: &[&'static str]) -> OptionResult<&'static str> {
    let lower = text.to_lowercase();
    match known.iter().find(|name| **name == lower) {
        Some(name) => Ok(name),
        None => {
            let near = nearest(text, known.iter().copied());
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("expected one of `{}`", known.join("`, `")),
            };
            let meant = meant(suggested(text, known.iter().copied()));
            let words = format!("unsupported {what} {text:?}{meant}");
            Err(Wrong { help: Some(help), ..Wrong::new(format!("unknown {what} `{text}`")).known_as(words) })
        }
    }
}

fn invalid(key: &str, text: &str) -> Wrong {
    let words = match key {
        "mode" | "uid" | "gid" => format!("invalid value {text} for {key}"),
        _ => format!("invalid value for {key}: {text}"),
    };
    Wrong::new(format!("invalid value `{text}` for `{key}` in `--mount`")).known_as(words)
}

/// Digits and nothing else.
fn number(key: &str, text: &str, radix: u32) -> OptionResult<u32> {
    let digits = text.chars().all(|c| c.is_digit(radix)).then_some(text);
    digits.and_then(|digits| u32::from_str_radix(digits, radix).ok()).ok_or_else(|| invalid(key, text))
}

/// A Go boolean; the key alone means yes.
fn switch(key: &str, value: Option<&str>) -> OptionResult<bool> {
    match value {
        None => Ok(true),
        Some(text) => go_bool(text).ok_or_else(|| invalid(key, text)),
    }
}

/// `64m`, `1.5GiB`, `1024`: bytes in powers of 1024.
fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        "p" | "pb" | "pib" => 1 << 50,
        _ => return None,
    };
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor),
        Err(_) => number.parse::<f64>().ok().map(|number| (number * factor as f64) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_powers_of_1024() {
        for (text, expected) in [
            ("0", Some(0)),
            ("100", Some(100)),
            ("64m", Some(64 << 20)),
            ("1.5k", Some(1536)),
            ("2 GiB", Some(2 << 30)),
            ("", None),
            ("m", None),
            ("1x", None),
            ("99999999999999p", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}
