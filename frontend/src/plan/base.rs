//! What stands behind a `FROM`, with its variables replaced.

use image::{Platform, ReferenceError};

use crate::ast::Word;
use crate::diagnostic::Diagnostic;
use crate::environment::{Environment, Variables};
use crate::expand::Expander;
use crate::lint::names_used;
use crate::suggest::Suggester;

pub(super) fn expand(
    word: &Word,
    expander: &Expander,
    variables: &Environment,
) -> Result<String, Diagnostic> {
    let expansion = expander.expand(&word.value, variables);
    expansion.map(|expansion| expansion.text).map_err(|error| error.diagnostic(&word.value, &word.span))
}

pub(super) fn platform(
    word: &Word,
    expander: &Expander,
    global_args: &Environment,
    suggester: &mut Suggester,
) -> Result<Platform, Diagnostic> {
    let text = expand(word, expander, global_args)?;
    text.parse().map_err(|error: image::PlatformError| {
        let help = unset_help(word, expander, global_args, suggester);
        let words = match text.as_str() {
            "" => format!("empty platform value from expression {}", word.value),
            _ => format!("failed to parse platform {}: {text:?}: invalid argument", word.value),
        };
        Diagnostic::error("InvalidPlatform", word.span.clone(), error.to_string())
            .with_help(help)
            .with_buildkit(words)
    })
}

/// What Go's library for references says.
pub(super) fn of_go(error: &ReferenceError) -> String {
    match error {
        ReferenceError::Format { .. } => "invalid reference format".to_owned(),
        ReferenceError::Uppercase { name } => {
            format!("invalid reference format: repository name ({name}) must be lowercase")
        }
        ReferenceError::TooLong { .. } => error.to_string(),
    }
}

/// Says which variable of an expression has no value.
pub(super) fn unset_help(
    word: &Word,
    expander: &Expander,
    variables: &Environment,
    suggester: &mut Suggester,
) -> Option<String> {
    let expansion = expander.expand(&word.value, variables).ok()?;
    let unset = expansion.unset.into_iter().next();
    let Some(unset) = unset else {
        let used = names_used(&word.value, expander.escape, variables);
        let empty = used.iter().find(|name| variables.get(name).is_some_and(str::is_empty))?;
        return Some(format!("`{empty}` is empty"));
    };
    Some(match suggester.nearest(&unset, variables.names()) {
        Some(near) => format!("`{unset}` has no value; did you mean `{near}`?"),
        None => {
            format!("`{unset}` has no value; declare it with `ARG {unset}=...` in front of the first `FROM`")
        }
    })
}
