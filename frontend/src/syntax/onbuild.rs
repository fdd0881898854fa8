//! `ONBUILD`.

use super::request::Request;
use super::{instruction_kind, tokens};
use crate::ast::{Instruction, Kind, Onbuild};
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};

/// Instructions that no trigger may be.
const NO_TRIGGERS: [&str; 3] = ["ONBUILD", "FROM", "MAINTAINER"];

pub(super) fn onbuild(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    request.no_flags(diagnostics)?;
    request.need_arguments("an instruction", diagnostics)?;
    let (keyword, rest) = tokens::keyword(request.arguments);
    if let Some(refused) = NO_TRIGGERS.iter().find(|refused| keyword.eq_ignore_ascii_case(refused)) {
        let message = format!("`{refused}` cannot be a trigger");
        let words = match *refused {
            "ONBUILD" => "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned(),
            refused => format!("{refused} isn't allowed as an ONBUILD trigger"),
        };
        diagnostics.push(
            Diagnostic::error("InvalidTrigger", request.line.span_of(keyword), message).with_buildkit(words),
        );
        return None;
    }
    let documents = request.documents.clone();
    let mut inner = Request::new(request.line, keyword, rest, request.escape, documents);
    let mut found = Diagnostics::default();
    let kind = instruction_kind(&mut inner, &mut found);
    found.into_sorted().into_iter().for_each(|it| diagnostics.push(of_children(it)));
    let code = request.arguments.to_owned();
    let instruction = kind.map(|kind| Box::new(Instruction { code, ..inner.into_instruction(kind) }));
    Some(Kind::Onbuild(Onbuild { trigger: trigger(request), instruction }))
}

/// BuildKit keeps a trigger without reading it. So a mistake in it does no harm here.
fn of_children(found: Diagnostic) -> Diagnostic {
    let message = format!("no image can be built on this one: {}", found.message);
    Diagnostic { severity: Severity::Warning, message, ..found }
}

/// The trigger as the image config keeps it: on one line, here-documents below.
fn trigger(request: &Request<'_>) -> String {
    let mut trigger = request.arguments.to_owned();
    for document in &request.documents {
        trigger.push('\n');
        trigger.push_str(&document.content);
        trigger.push_str(&document.name);
    }
    trigger
}
