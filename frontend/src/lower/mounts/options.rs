//! The options of one `--mount`, each with the grammar that BuildKit gives it.

use graph::CacheSharing;

use crate::lower::go_bool;
use crate::suggest::nearest;

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

pub(super) type OptionResult<T> = std::result::Result<T, (String, Option<String>)>;

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
                self.sharing = Some(match one_of("sharing", text, &SHARING)? {
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

    /// Keys that the type does not have.
    pub(super) fn check(&self, kind: &str, from: Option<&str>) -> std::result::Result<(), String> {
        let is_secret = matches!(kind, "secret" | "ssh");
        let has_owner = is_secret || kind == "cache";
        let misplaced = [
            ("mode", self.mode.is_some() && !has_owner),
            ("uid", self.owner.0.is_some() && !has_owner),
            ("gid", self.owner.1.is_some() && !has_owner),
            ("sharing", self.sharing.is_some() && kind != "cache"),
            ("size", self.size_bytes.is_some() && kind != "tmpfs"),
            ("required", self.required && !is_secret),
            ("env", self.env.is_some() && kind != "secret"),
            ("from", from.is_some() && is_secret),
            ("source", !self.source.is_empty() && kind == "ssh"),
        ];
        match misplaced.iter().find(|(_, is_misplaced)| *is_misplaced) {
            Some((key, _)) => Err(format!("a mount of type `{kind}` has no `{key}`")),
            None => Ok(()),
        }
    }
}

fn one_of(what: &str, text: &str, known: &[&'static str]) -> OptionResult<&'static str> {
    let lower = text.to_lowercase();
    match known.iter().find(|name| **name == lower) {
        Some(name) => Ok(name),
        None => {
            let help = match nearest(text, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("expected one of `{}`", known.join("`, `")),
            };
            Err((format!("unknown {what} `{text}`"), Some(help)))
        }
    }
}

fn invalid(key: &str, text: &str) -> (String, Option<String>) {
    (format!("invalid value `{text}` for `{key}` in `--mount`"), None)
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
