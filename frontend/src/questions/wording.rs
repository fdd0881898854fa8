//! Mistakes in the words of BuildKit, for programs that look for them.

use super::Inquiry;
use crate::Diagnostic;

/// The message of a mistake as the JSON of a check has it. `line` is that of its instruction.
pub(super) fn message(error: &Diagnostic, inquiry: &Inquiry, line: Option<usize>) -> String {
    let text = &inquiry.source.text;
    let marked = text.get(error.span.clone()).unwrap_or_default();
    match (error.rule, line) {
        ("Empty", _) if text.is_empty() => "the Dockerfile cannot be empty".to_owned(),
        ("Empty", _) => "file with no instructions".to_owned(),
        ("NoStage", None) => "dockerfile contains no stages to build".to_owned(),
        ("NoStage", Some(_)) => "no build stage in current context".to_owned(),
        (rule, Some(line)) if inquiry.parsed.has_errors() => {
            let said = match rule {
                "UnknownInstruction" => format!("unknown instruction: {marked}{}", meant(error)),
                "UnknownFlag" => {
                    let flag = marked.split('=').next().unwrap_or_default();
                    format!("unknown flag: {flag}{}", meant(error).replace("--", ""))
                }
                _ => error.message.clone(),
            };
            format!("dockerfile parse error on line {line}: {said}")
        }
        _ => error.message.clone(),
    }
}

/// ` (did you mean RUN?)`, when we are sure.
fn meant(error: &Diagnostic) -> String {
    let help = error.help.as_deref().filter(|help| help.starts_with("did you mean"));
    help.map(|help| format!(" ({})", help.replace('`', ""))).unwrap_or_default()
}
