//! Names of steps as BuildKit's progress shows them.

use graph::SecretEnv;

use super::stage::StageState;
use crate::environment::{Environment, Variables};
use crate::expand::{Expander, Quotes};

/// What stands for the value of a secret, as in BuildKit.
const MASK: &str = "****";

/// An instruction with its variables expanded and its keyword in upper case.
pub(super) fn name(expander: Expander, state: &StageState, code: &str) -> String {
    with_variables(expander, &state.env, code)
}

fn with_variables(expander: Expander, variables: &dyn Variables, code: &str) -> String {
    let text = if expander.is_plain(code) {
        code.to_owned()
    } else {
        expander.expand(code, variables).map_or_else(|_| code.to_owned(), |expansion| expansion.text)
    };
    upper_keyword(&text)
}

/// The variables of a process, those that are secrets without their values.
struct Masked<'a> {
    env: &'a Environment,
    secrets: &'a [SecretEnv],
}

impl Variables for Masked<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        if self.secrets.iter().any(|secret| secret.name == name) { Some(MASK) } else { self.env.get(name) }
    }
}

/// A `RUN`: quotes stay, and so do the shell's own variables. Here-documents show their first line.
pub(super) fn run_name(
    escape: char,
    state: &StageState,
    code: &str,
    document: Option<&str>,
    secrets: &[SecretEnv],
) -> String {
    let shown = match document {
        Some(document) => format!("{code} ({})", summary(document)),
        None => code.to_owned(),
    };
    let expander = Expander { quotes: Quotes::Keep, keep_unset: true, ..Expander::new(escape) };
    with_variables(expander, &Masked { env: &state.env, secrets }, &shown)
}

fn summary(document: &str) -> String {
    let mut lines = document.trim().lines();
    let first = lines.next().unwrap_or_default();
    let more = if lines.next().is_some() { "..." } else { "" };
    format!("{first}{more}")
}

fn upper_keyword(text: &str) -> String {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    format!("{}{}", text[..end].to_uppercase(), &text[end..])
}
