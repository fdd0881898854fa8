//! `COPY`, and what `ADD` has in common with it.

use graph::{ContextSource, File, FileAction, Op, VertexId};

use super::stage::StageState;
use super::{Lowering, chmod, display, paths};
use crate::ast::{Copy, HereDocument, Instruction, Word};
use crate::diagnostic::Diagnostic;
use crate::expand::{Expander, Quotes};
use crate::lint;
use crate::plan::FromReader;
use crate::remote::{self, Remote};

/// Mode of a file from a here-document.
const DOCUMENT_MODE: u32 = 0o644;

/// Some of the sources of an instruction, in the order in which they are copied.
pub(super) enum Piece {
    /// Paths of the context, or of what `--from` names, as written.
    Paths(Vec<String>),
    /// Files from elsewhere.
    Remote {
        /// The vertex that brings them.
        input: VertexId,
        /// Which of its files.
        pattern: String,
        /// An archive or what is in it.
        unpack: bool,
        /// As written.
        url: String,
        /// As people may see it.
        shown: String,
    },
}

pub(super) type Result<T> = std::result::Result<T, Box<Diagnostic>>;

impl Lowering<'_> {
    pub(super) fn copy(
        &mut self,
        state: &mut StageState,
        instruction: &Instruction,
        copy: &Copy,
    ) -> Result<()> {
        let sources = self.expand_all(state, &copy.sources)?;
        for (source, word) in sources.iter().zip(&copy.sources) {
            if let Some(remote) = remote::of_source(source) {
                let message = format!("`COPY` takes no URLs: `{source}`");
                let kind = if matches!(remote, Ok(Remote::Git(_))) { "git ref" } else { "URL" };
                return Err(Box::new(
                    Diagnostic::error("InvalidSource", word.span.clone(), message)
                        .with_help("use `ADD`".to_owned())
                        .with_buildkit(format!("source can't be a {kind} for COPY")),
                ));
            }
        }
        if copy.from.is_none() {
            sources
                .iter()
                .zip(&copy.sources)
                .for_each(|(source, word)| self.check_ignored(source, word, "Copy"));
        }
        let pieces = if sources.is_empty() { Vec::new() } else { vec![Piece::Paths(sources)] };
        self.files(state, instruction, copy, &pieces, "COPY")
    }

    /// One layer for all sources.
    pub(super) fn files(
        &mut self,
        state: &mut StageState,
        instruction: &Instruction,
        copy: &Copy,
        pieces: &[Piece],
        keyword: &str,
    ) -> Result<()> {
        let destination = self.expand(state, &copy.destination)?;
        let template = self.template(state, copy, &destination)?;
        let mut created_by = keyword.to_owned();
        let flags = [("--chown=", &template.owner), ("--chmod=", &template.mode)];
        created_by.push_str(if copy.parents { " --parents" } else { "" });
        for (flag, value) in flags {
            created_by.push_str(&value.as_ref().map(|value| format!(" {flag}{value}")).unwrap_or_default());
        }
        let (mut inputs, mut actions) = (vec![state.tip], Vec::new());
        for piece in pieces {
            let (input, sources, unpack) = match piece {
                Piece::Paths(sources) => {
                    sources.iter().for_each(|source| created_by.push_str(&format!(" {source}")));
                    let normal = |source: &String| {
                        let path = state.path(source).map_err(|error| error.at(&instruction.span))?;
                        Ok(normal_source(&path, copy.parents))
                    };
                    let normal = sources.iter().map(normal).collect::<Result<_>>()?;
                    (self.copied_from(state, copy)?, normal, copy.unpack.unwrap_or(keyword == "ADD"))
                }
                Piece::Remote { input, pattern, unpack, shown, .. } => {
                    created_by.push_str(&format!(" {shown}"));
                    (*input, vec![pattern.clone()], *unpack)
                }
            };
            actions.push(graph::Copy { input: inputs.len(), sources, unpack, ..template.clone() });
            inputs.push(input);
        }
        for document in &copy.documents {
            created_by.push_str(&format!(" <<{}", document.name));
            let input = self.copied_document(state, document)?;
            let sources = vec![paths::escape_pattern(&document.name)];
            actions.push(graph::Copy { input: inputs.len(), sources, parents: false, ..template.clone() });
            inputs.push(input);
        }
        created_by.push_str(&format!(" {destination} # buildkit"));
        let op = Op::File(File { actions: actions.into_iter().map(FileAction::Copy).collect() });
        let mut name = display::name(self.plan.expander(), state, &instruction.code);
        for piece in pieces {
            if let Piece::Remote { url, shown, .. } = piece {
                name = name.replace(url, shown);
            }
        }
        let vertex = self.step(state, op, inputs, &name, instruction);
        state.record(created_by, Some(vertex));
        Ok(())
    }

    /// What all copies of an instruction have in common.
    fn template(&mut self, state: &StageState, copy: &Copy, destination: &str) -> Result<graph::Copy> {
        let owner = self.expand_option(state, copy.chown.as_ref())?;
        let mode = self.expand_option(state, copy.chmod.as_ref())?;
        if let (Some(mode), Some(word)) = (&mode, &copy.chmod) {
            chmod::check(mode).map_err(|message| {
                let found = Diagnostic::error("InvalidChmod", word.span.clone(), message);
                Box::new(found.with_buildkit(chmod::buildkit(mode)))
            })?;
        }
        let path = state.path(destination).map_err(|error| error.at(&copy.destination.span))?;
        Ok(graph::Copy {
            destination: paths::destination(&state.cwd(), &path),
            owner,
            mode,
            exclude: self.expand_all(state, &copy.exclude)?,
            parents: copy.parents,
            link: copy.link,
            ..graph::Copy::default()
        })
    }

    /// Reports a source that the ignore file hides.
    pub(super) fn check_ignored(&mut self, source: &str, word: &Word, verb: &str) {
        let Some(patterns) = &self.plan.ignored else { return };
        let hidden = lint::copy_ignored_file(verb, word, source, patterns);
        hidden.into_iter().for_each(|finding| self.diagnostics.push(finding));
    }

    fn copied_from(&mut self, state: &StageState, copy: &Copy) -> Result<VertexId> {
        match &copy.from {
            Some(Word { value, span }) => {
                let origin = self
                    .plan
                    .names
                    .from(value, span, state.index, FromReader::Copy, &mut self.diagnostics.suggester)
                    .map_err(Box::new)?;
                self.origin(&origin, span)
            }
            None => Ok(self.context(ContextSource::MAIN)),
        }
    }

    /// A here-document as a file system with one file: copied from there, it follows the rules of any source,
    /// so an existing directory as destination receives it.
    fn copied_document(&mut self, state: &StageState, document: &HereDocument) -> Result<VertexId> {
        if document.name.contains('/') || matches!(&*document.name, "." | "..") {
            let message = format!("`{}` cannot be the name of a file", document.name);
            return Err(Box::new(Diagnostic::error("InvalidHereDocument", document.marker.clone(), message)));
        }
        let mut text = document.text();
        if document.expand {
            let expander = Expander { quotes: Quotes::Ignore, ..Expander::new('\\') };
            text = self.expand_with(expander, state, &text, &document.marker)?.text;
        }
        Ok(self.document(&document.name, text.into_bytes(), DOCUMENT_MODE))
    }
}

/// With `--parents` the source is kept as written: `/./` in it means something.
fn normal_source(source: &str, parents: bool) -> String {
    if parents { source.to_owned() } else { paths::source(source) }
}
