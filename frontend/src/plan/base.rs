//! What stands behind a `FROM`, with its variables replaced.

use image::{Platform, ReferenceError};

use crate::ast::Word;
use crate::diagnostic::Diagnostic;
use crate::environment::{Environment, Variables};
use crate::expand::Expander;
use crate::lint::names_used;
use crate::suggest::Suggester;

/// How containerd's library shows what it takes for an operating system, and for another part of a platform.
const OS_PATTERN: &str = r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$";
const PART_PATTERN: &str = "^[A-Za-z0-9_.-]+$";

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
            text => {
                format!("failed to parse platform {}: {}: invalid argument", word.value, of_containerd(text))
            }
        };
        Diagnostic::error("InvalidPlatform", word.span.clone(), error.to_string())
            .with_help(help)
            .with_buildkit(words)
    })
}

/// What containerd's library says of a text that is no platform.
fn of_containerd(text: &str) -> String {
    const PARTS_MAX: usize = 3;
    let is_part = |part: &str, marks: &[u8]| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte))
    };
    let parts: Vec<&str> = text.split('/').collect();
    if parts.len() > PARTS_MAX {
        return format!("{text:?}: cannot parse platform specifier");
    }
    if !is_part(parts[0], b"_-") {
        return format!(
            "{:?} is an invalid OS component of {text:?}: OSAndVersion specifier component must match {OS_PATTERN:?}",
            parts[0]
        );
    }
    match parts.iter().find(|part| !is_part(part, b"_-.")) {
        Some(part) => format!(
            "{part:?} is an invalid component of {text:?}: platform specifier component must match {PART_PATTERN:?}"
        ),
        None => format!("{text:?}: unknown operating system or architecture"),
    }
}

/// What Go's library for references says.
pub(super) fn of_go(error: &ReferenceError) -> String {
    match error {
        ReferenceError::Format { .. } => "invalid reference format".to_owned(),
        ReferenceError::Uppercase { name } => {
            // What follows the first colon is no part of the name, wherever the tag begins.
            let name = name.split(':').next().unwrap_or_default();
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
