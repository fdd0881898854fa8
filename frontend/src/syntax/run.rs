//! `RUN` and its flags.

use super::command::command_line;
use super::request::Request;
use crate::ast::{Kind, Mount, Run, Word};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::suggest::{meant, nearest, suggested};

const FLAGS: &[&str] = &["mount", "network", "security", "device"];

/// Keys of `--mount` that need a value.
const VALUE_KEYS: &[&str] = &[
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "id",
    "sharing",
    "mode",
    "uid",
    "gid",
    "size",
    "env",
];

/// Keys of `--mount` that can stand alone.
const SWITCH_KEYS: &[&str] = &["readonly", "ro", "readwrite", "rw", "required"];

/// All of them, in the order in which BuildKit takes the first that is near enough.
const KEYS_TO_SUGGEST: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

pub(super) fn run(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    let mut flags = request.flags(FLAGS, diagnostics)?;
    let command = command_line(request, request.arguments, diagnostics)?;
    let mounts = flags.values("mount", diagnostics);
    let count = mounts.len();
    let mounts: Vec<_> = mounts.into_iter().filter_map(|word| mount(&word, diagnostics)).collect();
    let network = flags.value("network", diagnostics);
    let security = flags.value("security", diagnostics);
    let network_is_good = check(network.as_ref(), &["default", "none", "host"], "network", diagnostics);
    let security_is_good = check(security.as_ref(), &["sandbox", "insecure"], "security", diagnostics);
    if mounts.len() < count || !network_is_good || !security_is_good {
        return None;
    }
    let devices = flags.values("device", diagnostics);
    let documents = std::mem::take(&mut request.documents);
    Some(Kind::Run(Box::new(Run { command, documents, mounts, network, security, devices })))
}

fn check(value: Option<&Word>, known: &[&str], flag: &str, diagnostics: &mut Diagnostics) -> bool {
    let Some(word) = value else { return true };
    if known.contains(&word.value.as_str()) {
        return true;
    }
    let message = format!("unknown {flag} mode `{}`", word.value);
    let expected = known.iter().map(|mode| format!("`{mode}`")).collect::<Vec<_>>().join(", ");
    let help = match nearest(&word.value, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("expected one of {expected}"),
    };
    let words = match flag {
        "security" => format!("security {:?} is not valid", word.value),
        _ => format!("invalid {flag} mode {:?}", word.value),
    };
    diagnostics.push(
        Diagnostic::error("InvalidFlagValue", word.span.clone(), message)
            .with_help(help)
            .with_buildkit(words),
    );
    false
}

fn mount(word: &Word, diagnostics: &mut Diagnostics) -> Option<Mount> {
    let Some(fields) = csv(&word.value) else {
        let message = "a quote in `--mount` is not closed";
        diagnostics.push(Diagnostic::error("InvalidMount", word.span.clone(), message));
        return None;
    };
    let mut options = Vec::new();
    for field in fields {
        match option(&field) {
            Ok(option) => options.push(option),
            Err(OptionError { rule, message, help, words }) => {
                diagnostics.push(
                    Diagnostic::error(rule, word.span.clone(), message).with_help(help).with_buildkit(words),
                );
                return None;
            }
        }
    }
    Some(Mount { span: word.span.clone(), options })
}

/// What is wrong with an option of a mount.
struct OptionError {
    rule: &'static str,
    message: String,
    help: Option<String>,
    /// What BuildKit says.
    words: String,
}

fn option(field: &str) -> Result<(String, Option<String>), OptionError> {
    let (key, value) = match field.split_once('=') {
        Some((key, value)) => (key.to_lowercase(), Some(value.to_owned())),
        None => (field.to_lowercase(), None),
    };
    let takes_value = VALUE_KEYS.contains(&&*key);
    if !takes_value && !SWITCH_KEYS.contains(&&*key) {
        let near = nearest(&key, VALUE_KEYS.iter().chain(SWITCH_KEYS).copied());
        let meant = meant(suggested(&key, KEYS_TO_SUGGEST));
        return Err(OptionError {
            rule: "InvalidMountKey",
            message: format!("`--mount` has no key `{key}`"),
            help: near.map(|near| format!("did you mean `{near}`?")),
            words: match value {
                Some(_) => format!("unexpected key '{key}' in '{field}'{meant}"),
                None => format!("invalid field '{field}' must be a key=value pair"),
            },
        });
    }
    if takes_value && value.is_none() {
        return Err(OptionError {
            rule: "InvalidMountKey",
            message: format!("`{key}` in `--mount` needs a value: `{key}=...`"),
            help: None,
            words: format!("invalid field '{field}' must be a key=value pair"),
        });
    }
    let has_variable = |value: &str| value.contains('$') && !value.ends_with('$');
    if key == "from" && value.as_deref().is_some_and(has_variable) {
        let help = "name a stage with `FROM` and an `ARG` in front of the first `FROM`";
        return Err(OptionError {
            rule: "InvalidMount",
            message: "`from` in `--mount` does not expand variables".to_owned(),
            help: Some(help.to_owned()),
            words: "'from' doesn't support variable expansion, define alias stage instead".to_owned(),
        });
    }
    Ok((key, value))
}

/// One record of comma-separated values (RFC 4180); none when a quote is not closed.
pub(crate) fn csv(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut chars = text.chars().peekable();
    let mut at_start = true;
    while let Some(c) = chars.next() {
        match c {
            ',' => {
                fields.push(std::mem::take(&mut field));
                at_start = true;
                continue;
            }
            '"' if at_start => loop {
                match chars.next()? {
                    '"' if chars.next_if_eq(&'"').is_none() => break,
                    c => field.push(c),
                }
            },
            c => field.push(c),
        }
        at_start = false;
    }
    fields.push(field);
    Some(fields)
}
