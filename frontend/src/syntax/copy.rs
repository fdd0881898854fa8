//! `COPY` and `ADD`.

use super::flags::Flags;
use super::request::{self, Request};
use super::tokens;
use super::values::json_or_words;
use crate::ast::{Copy, HereDocument, Kind, Word};
use crate::diagnostic::{Diagnostic, Diagnostics};

const ADD_FLAGS: &[&str] = &["chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"];
const COPY_FLAGS: &[&str] = &["from", "chown", "chmod", "link", "exclude", "parents"];

pub(super) fn add(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    let flags = request.flags(ADD_FLAGS, diagnostics)?;
    read(request, flags, diagnostics).map(|copy| Kind::Add(Box::new(copy)))
}

pub(super) fn copy(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    let flags = request.flags(COPY_FLAGS, diagnostics)?;
    read(request, flags, diagnostics).map(|copy| Kind::Copy(Box::new(copy)))
}

fn read(request: &Request<'_>, mut flags: Flags, diagnostics: &mut Diagnostics) -> Option<Copy> {
    request.need_arguments("a source and a destination", diagnostics)?;
    let mut words = json_or_words(request, diagnostics)?;
    let keyword = request.keyword.to_ascii_uppercase();
    if words.len() < 2 {
        let message = format!("`{keyword}` needs a source and a destination");
        diagnostics.push(
            Diagnostic::error("MissingArgument", request.arguments_span(), message)
                .with_buildkit(request::missing(&keyword)),
        );
        return None;
    }
    let destination = words.pop().expect("there are at least two words");
    if tokens::marker(&destination.value).is_some() {
        let message = format!("the destination of `{keyword}` cannot be a here-document");
        diagnostics.push(
            Diagnostic::error("InvalidHereDocument", destination.span, message)
                .with_buildkit(format!("{keyword} cannot accept a heredoc as a destination")),
        );
        return None;
    }
    let (sources, documents) = sort_out(words, &request.documents);
    Some(Copy {
        sources,
        documents,
        destination,
        from: flags.value("from", diagnostics).filter(|from| !from.value.is_empty()),
        chown: flags.value("chown", diagnostics).filter(|chown| !chown.value.is_empty()),
        chmod: flags.value("chmod", diagnostics).filter(|chmod| !chmod.value.is_empty()),
        exclude: flags.values("exclude", diagnostics),
        link: flags.switch("link", diagnostics).unwrap_or(false),
        parents: flags.switch("parents", diagnostics).unwrap_or(false),
        checksum: flags.value("checksum", diagnostics),
        keep_git_dir: flags.switch("keep-git-dir", diagnostics),
        unpack: flags.switch("unpack", diagnostics),
    })
}

/// Tells paths from here-documents.
fn sort_out(words: Vec<Word>, documents: &[HereDocument]) -> (Vec<Word>, Vec<HereDocument>) {
    let mut sources = Vec::new();
    let mut found = Vec::new();
    for word in words {
        // Of documents with the same name the last one counts, as in BuildKit.
        let document = tokens::marker(&word.value)
            .and_then(|marker| documents.iter().rev().find(|document| document.name == marker.name));
        match document {
            Some(document) => found.push(document.clone()),
            None => sources.push(word),
        }
    }
    (sources, found)
}
