//! What `--from` means in a stage.

use std::ops::Range;

use super::{Names, Origin, Place};
use crate::diagnostic::Diagnostic;
use crate::environment::NoVariables;
use crate::expand::Expander;
use crate::suggest::Suggester;

/// What reads a stage.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FromReader<'a> {
    /// `COPY --from`.
    Copy,
    /// `RUN --mount=from=...`.
    Mount {
        /// Where it is mounted, as written.
        target: &'a str,
    },
}

impl Names {
    /// What `--from` means in a stage.
    pub(crate) fn from(
        &self,
        from: &str,
        span: &Range<usize>,
        current: usize,
        reader: FromReader<'_>,
        suggester: &mut Suggester,
    ) -> Result<Origin, Diagnostic> {
        // What a quote or escape character means here, does not depend on the directive.
        let expanded = Expander::new('\\').expand(from, &NoVariables);
        if expanded.is_ok_and(|expansion| expansion.text != from) {
            let message = "`--from` does not expand variables";
            let help = "name a stage with `FROM` and an `ARG` in front of the first `FROM`".to_owned();
            let words = "variable expansion is not supported for --from, define a new stage with FROM using ARG from \
                         global scope as a workaround";
            return Err(Diagnostic::error("InvalidFrom", span.clone(), message)
                .with_help(help)
                .with_buildkit(words));
        }
        let stage = match from.parse::<i64>().map(|number| (number, usize::try_from(number))) {
            Ok((_, Ok(index))) if index < self.bases.len() => Some(index),
            Ok((number, _)) => {
                let message = format!("no stage with the number {number}: there are {}", self.bases.len());
                return Err(Diagnostic::error("UnknownStage", span.clone(), message)
                    .with_buildkit(format!("invalid stage index {number}")));
            }
            Err(_) => self.stage(from),
        };
        match stage {
            Some(stage) if stage == current => {
                let message = format!("circular dependency: the stage copies from itself (`{from}`)");
                Err(Diagnostic::error("CircularDependency", span.clone(), message)
                    .with_buildkit(format!("circular dependency detected on stage: {}", self.shown(stage))))
            }
            Some(stage) if stage > current => Err(self.later(from, stage, current, reader, span)),
            Some(stage) => self.stage_files(stage),
            None => {
                let place = Place { stage: current, span };
                self.outside(from, &self.target_platform, &place, suggester)
            }
        }
    }

    /// The mistake of reading a stage that is further down: an order that another would mend, or a circle.
    fn later(
        &self,
        from: &str,
        stage: usize,
        current: usize,
        reader: FromReader<'_>,
        span: &Range<usize>,
    ) -> Diagnostic {
        if let Some(circle) = self.circle.as_ref().filter(|it| it.has(stage) && it.has(current)) {
            let words = format!("circular dependency detected on stage: {}", self.shown(circle.found_from));
            let message = format!("circular dependency: the stage `{from}` copies from this one");
            return Diagnostic::error("CircularDependency", span.clone(), message).with_buildkit(words);
        }
        let words = match reader {
            FromReader::Copy => format!(
                "cannot copy from stage {from:?}, it needs to be defined before current stage {:?}",
                self.shown(current)
            ),
            FromReader::Mount { target } => format!(
                "cannot mount from stage {from:?} to {target:?}, stage needs to be defined before current command"
            ),
        };
        Diagnostic::error("LaterStage", span.clone(), format!("the stage `{from}` is defined further down"))
            .with_help("move it in front of this one".to_owned())
            .with_buildkit(words)
    }

    /// A stage as BuildKit names it.
    fn shown(&self, stage: usize) -> String {
        let name = self.stages.iter().find(|(_, index)| *index == stage).map(|(name, _)| name.clone());
        name.unwrap_or_else(|| format!("stage-{stage}"))
    }
}
