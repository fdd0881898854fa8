//! `slipway build --check` and `--call`: questions about the Dockerfile, answered without building.

use std::str::FromStr;

use engine::questions::{Inquiry, Requests};
use engine::{BuildError, BuildRequest};

use super::inquire::{Asked, ask};
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};

/// What to do with a Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Build,
    Check,
    Outline,
    Targets,
    /// Which of these there are.
    Describe,
}

/// `METHOD[,format=text|json][,ignorestatus=true]`, as buildx reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    method: Method,
    is_json: bool,
    /// Findings are no failure.
    ignores_status: bool,
}

impl Call {
    /// `--check`.
    pub(super) const CHECK: Self = Self { method: Method::Check, is_json: false, ignores_status: false };

    /// Whether an image is asked for, and not an answer.
    pub(super) fn is_build(self) -> bool {
        self.method == Method::Build
    }
}

/// Why a text is no [`Call`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// There is no such method.
    #[error("unknown method `{0}`, expected build, check, outline, targets or subrequests.describe")]
    Method(String),
    /// There is no such option, or it has no such value.
    #[error("invalid option `{0}`, expected format=text, format=json or ignorestatus=true")]
    Option(String),
}

impl FromStr for Call {
    type Err = CallError;

    fn from_str(text: &str) -> Result<Self, CallError> {
        let (method, options) = text.split_once(',').unwrap_or((text, ""));
        let method = match method {
            "build" => Method::Build,
            "check" | "lint" => Method::Check,
            "outline" => Method::Outline,
            "targets" => Method::Targets,
            "subrequests.describe" => Method::Describe,
            other => return Err(CallError::Method(other.to_owned())),
        };
        let mut call = Self { method, is_json: false, ignores_status: false };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("format", "json")) => call.is_json = true,
                Some(("format", "text")) => call.is_json = false,
                Some(("ignorestatus", "true" | "1")) => call.ignores_status = true,
                Some(("ignorestatus", "false" | "0")) => call.ignores_status = false,
                _ => return Err(CallError::Option(option.to_owned())),
            }
        }
        Ok(call)
    }
}

/// Answers on standard output.
pub(super) fn answer(call: Call, request: &BuildRequest, global: &Global) -> Result<Exit, Report> {
    if call.method == Method::Describe {
        let text = if call.is_json { format!("{}\n", Requests.json()) } else { Requests.text() };
        return console::print(&text);
    }
    let Ok(Asked { context, engine }) = ask(request, global)? else { return Ok(Exit::Interrupted) };
    let inquiry = Inquiry::new(request, &context, engine.as_ref())?;
    let text = match (call.method, call.is_json) {
        (Method::Build | Method::Check | Method::Describe, _) => return check(call, &inquiry),
        (Method::Outline, true) => format!("{}\n", inquiry.outline()?.json()),
        (Method::Outline, false) => inquiry.outline()?.text(),
        (Method::Targets, true) => format!("{}\n", inquiry.targets()?.json()),
        (Method::Targets, false) => inquiry.targets()?.text(),
    };
    console::print(&text)
}

/// Findings make the command fail, as with buildx.
fn check(call: Call, inquiry: &Inquiry) -> Result<Exit, Report> {
    let check = inquiry.check();
    let text = if call.is_json { format!("{}\n", check.json()) } else { check.text() };
    let written = console::print(&text)?;
    if written != Exit::Success || call.ignores_status || check.is_clean() {
        return Ok(written);
    }
    if check.errors.is_empty() || call.is_json {
        return Ok(Exit::Failure);
    }
    Err(Report::from(BuildError::Dockerfile { rendered: check.error_text() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_options() {
        let read = |text: &str| text.parse::<Call>();
        let call = |method, is_json, ignores_status| Call { method, is_json, ignores_status };
        for (text, expected) in [
            ("build", call(Method::Build, false, false)),
            ("check", Call::CHECK),
            ("lint,format=text", Call::CHECK),
            ("outline,format=json", call(Method::Outline, true, false)),
            ("targets,ignorestatus=true,format=json", call(Method::Targets, true, true)),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
        for (text, expected) in [
            (
                "chekc",
                "unknown method `chekc`, expected build, check, outline, targets or subrequests.describe",
            ),
            (
                "check,format=xml",
                "invalid option `format=xml`, expected format=text, format=json or ignorestatus=true",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), expected);
        }
    }
}
