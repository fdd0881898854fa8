//! `--name=value` in front of the arguments of an instruction.

use std::ops::Range;

use super::line::Line;
use super::tokens::RawFlag;
use crate::ast::Word;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::suggest::{meant, nearest, suggested};

/// Flags that may be given more than once.
const REPEATABLE: [&str; 3] = ["mount", "device", "exclude"];

/// The flags of one instruction.
pub(super) struct Flags {
    found: Vec<Flag>,
}

struct Flag {
    name: String,
    value: Option<Word>,
    span: Range<usize>,
}

impl Flags {
    /// Checks names; none when one of them is wrong.
    pub(super) fn new(
        raw: &[RawFlag<'_>],
        line: &Line<'_>,
        keyword: &str,
        known: &'static [&'static str],
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mut flags = Self { found: Vec::new() };
        let mut good = true;
        for flag in raw {
            let flag = Flag::new(flag, line);
            if let Err(diagnostic) = flags.check(&flag, keyword, known) {
                diagnostics.push(diagnostic);
                good = false;
            }
            flags.found.push(flag);
        }
        good.then_some(flags)
    }

    fn check(&self, flag: &Flag, keyword: &str, known: &[&str]) -> Result<(), Diagnostic> {
        let name = &flag.name;
        if !known.contains(&name.as_str()) {
            let message = format!("`{}` has no flag `--{name}`", keyword.to_ascii_uppercase());
            let near = nearest(name, known.iter().copied());
            let help = near.map(|near| format!("did you mean `--{near}`?"));
            let meant = meant(suggested(name, known.iter().copied()));
            return Err(Diagnostic::error("UnknownFlag", flag.span.clone(), message)
                .with_help(help)
                .with_buildkit(format!("unknown flag: --{name}{meant}")));
        }
        let earlier = self.found.iter().find(|earlier| earlier.name == *name);
        match earlier {
            Some(earlier) if !REPEATABLE.contains(&name.as_str()) => {
                let message = format!("`--{name}` is given twice");
                Err(Diagnostic::error("DuplicateFlag", flag.span.clone(), message)
                    .with_secondary(earlier.span.clone(), "first here")
                    .with_buildkit(format!("duplicate flag specified: --{name}")))
            }
            _ => Ok(()),
        }
    }

    /// The value of a flag that must have one.
    pub(super) fn value(&mut self, name: &str, diagnostics: &mut Diagnostics) -> Option<Word> {
        self.values(name, diagnostics).pop()
    }

    /// All values of a flag that must have them.
    pub(super) fn values(&mut self, name: &str, diagnostics: &mut Diagnostics) -> Vec<Word> {
        let mut values = Vec::new();
        for flag in self.found.iter().filter(|flag| flag.name == name) {
            match &flag.value {
                Some(value) => values.push(value.clone()),
                None => {
                    let message = format!("`--{name}` needs a value: `--{name}=...`");
                    diagnostics.push(
                        Diagnostic::error("MissingFlagValue", flag.span.clone(), message)
                            .with_buildkit(no_value(name)),
                    );
                }
            }
        }
        values
    }

    /// A flag that is on or off; none when it is not given.
    pub(super) fn switch(&mut self, name: &str, diagnostics: &mut Diagnostics) -> Option<bool> {
        let flag = self.found.iter().find(|flag| flag.name == name)?;
        let value = flag.value.as_ref().map(|value| value.value.to_lowercase());
        match value.as_deref() {
            None | Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => {
                let message = format!("`--{name}` is `true` or `false`, not `{other}`");
                let words = match other {
                    "" => no_value(name),
                    other => format!("expecting boolean value for flag --{name}, not: {other}"),
                };
                diagnostics.push(
                    Diagnostic::error("InvalidFlagValue", flag.span.clone(), message).with_buildkit(words),
                );
                None
            }
        }
    }
}

impl Flag {
    fn new(flag: &RawFlag<'_>, line: &Line<'_>) -> Self {
        let text = flag.text.strip_prefix("--").unwrap_or(&flag.text);
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let written_value = flag.raw.split_once('=').map_or(flag.raw, |(_, value)| value);
        let value = value.map(|value| Word { value: value.to_owned(), span: line.span_of(written_value) });
        Self { name: name.to_owned(), value, span: line.span_of(flag.raw) }
    }
}

/// What BuildKit says of a flag without a value.
fn no_value(name: &str) -> String {
    format!("missing a value on flag: --{name}")
}
