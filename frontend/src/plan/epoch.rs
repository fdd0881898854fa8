//! `SOURCE_DATE_EPOCH`: the time of a result, see <https://reproducible-builds.org/specs/source-date-epoch/>, or whose
//! time it is.

use std::ops::Range;

use graph::HttpSource;

use super::{PlanOptions, arguments};
use crate::ast::{Arg, Copy, Dockerfile, Kind, Stage};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::{Environment, Variables};
use crate::expand::Expander;
use crate::lower::{git_source, http_checksum};
use crate::remote::{self, Remote};

/// The build argument with the time.
pub(super) const EPOCH: &str = "SOURCE_DATE_EPOCH";
/// The word for the time of the main build context.
const CONTEXT: &str = "context";
/// What a stage starts from that stands for a source.
const SCRATCH: &str = "scratch";
/// The rule that is broken.
const RULE: &str = "InvalidEpoch";

/// `SOURCE_DATE_EPOCH`, before a plan is made and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Epoch {
    /// What the build argument says, else an `ARG` in front of the first `FROM`.
    #[default]
    AsWritten,
    /// That is known by now: seconds since 1970, or none. It takes the place of what is written.
    Known(Option<i64>),
}

/// Whose time a result has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EpochSource {
    /// The main build context.
    Context,
    /// The context that the user calls so.
    Named(String),
    /// What a stage adds from elsewhere, and nothing else.
    Remote(Remote),
}

/// Whose time the result of a build has; none when it is a number, or there is none.
///
/// # Errors
///
/// When it is that of a stage which does more than to add one file or repository from elsewhere.
pub fn epoch_source(
    dockerfile: &Dockerfile,
    options: &PlanOptions,
) -> Result<Option<EpochSource>, Diagnostic> {
    // Mistakes are the plan's to tell.
    let global = arguments::global(dockerfile, options, &mut Diagnostics::default());
    match options.source_date_epoch {
        Epoch::AsWritten => source_of(written(options, &global), dockerfile, options, &global),
        Epoch::Known(_) => Ok(None),
    }
}

/// What is known takes the place of what the user gives, and given as nothing the time is not given.
pub(super) fn settle(options: &mut PlanOptions) {
    match (options.source_date_epoch, options.build_args.get_mut(EPOCH)) {
        (Epoch::Known(time), Some(given)) => *given = time.map(|time| time.to_string()).unwrap_or_default(),
        (Epoch::AsWritten, Some(given)) if given.is_empty() => drop(options.build_args.remove(EPOCH)),
        _ => {}
    }
}

/// The time, as far as the Dockerfile and the options tell it.
pub(super) fn epoch(
    dockerfile: &Dockerfile,
    options: &PlanOptions,
    global: &Environment,
) -> Result<Option<i64>, Diagnostic> {
    if let Epoch::Known(time) = options.source_date_epoch {
        return Ok(time);
    }
    let text = written(options, global);
    if text.is_empty() || source_of(text, dockerfile, options, global)?.is_some() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let message = format!("`{EPOCH}` is not a time: `{text}`");
        let help = "give seconds since 1970, such as `1700000000`, or `context`";
        Diagnostic::error(RULE, declared(dockerfile, options), message).with_help(help.to_owned())
    })
}

/// Where the Dockerfile says it, if the user does not.
fn declared(dockerfile: &Dockerfile, options: &PlanOptions) -> Range<usize> {
    let args = dockerfile.global_args.iter().flat_map(|instruction| match &instruction.kind {
        Kind::Arg(args) => args.as_slice(),
        _ => &[],
    });
    let is_given = options.build_args.contains_key(EPOCH);
    let declared = args.rev().find(|arg| !is_given && arg.name.value == EPOCH);
    declared.map_or(0..0, |arg| arg.name.span.clone())
}

fn written<'a>(options: &'a PlanOptions, global: &'a Environment) -> &'a str {
    let given = options.build_args.get(EPOCH).map(String::as_str).filter(|text| !text.is_empty());
    given.or_else(|| global.get(EPOCH)).unwrap_or_default()
}

fn source_of(
    text: &str,
    dockerfile: &Dockerfile,
    options: &PlanOptions,
    global: &Environment,
) -> Result<Option<EpochSource>, Diagnostic> {
    if text.is_empty() || text.parse::<i64>().is_ok() {
        return Ok(None);
    }
    if text == CONTEXT {
        return Ok(Some(EpochSource::Context));
    }
    if let Some(name) = options.named_contexts.keys().find(|name| name.eq_ignore_ascii_case(text)) {
        return Ok(Some(EpochSource::Named(name.clone())));
    }
    let is_meant = |stage: &&std::sync::Arc<Stage>| {
        stage.from.name.as_ref().is_some_and(|name| name.value.eq_ignore_ascii_case(text))
    };
    let Some(stage) = dockerfile.stages.iter().find(is_meant) else { return Ok(None) };
    let reader = Reader { expander: Expander::new(dockerfile.escape), options, env: global.clone() };
    reader.source(stage).map(|remote| Some(EpochSource::Remote(remote)))
}

/// Reads a stage that stands for a source.
struct Reader<'a> {
    expander: Expander,
    options: &'a PlanOptions,
    env: Environment,
}

type Result<T, E = Diagnostic> = std::result::Result<T, E>;

impl Reader<'_> {
    fn source(mut self, stage: &Stage) -> Result<Remote> {
        let base = &stage.from.base;
        if self.expand(&base.value, &base.span)? != SCRATCH {
            return Err(wrong(&base.span, "starts from another image than `scratch`"));
        }
        let mut found = None;
        for instruction in &stage.instructions {
            match &instruction.kind {
                Kind::Arg(args) => args.iter().try_for_each(|arg| self.declare(arg))?,
                Kind::Add(_) if found.is_some() => {
                    return Err(wrong(&instruction.span, "adds more than one thing"));
                }
                Kind::Add(add) => found = Some(self.added(add, &instruction.span)?),
                _ => return Err(wrong(&instruction.keyword.span, "does more than to add something")),
            }
        }
        found.ok_or_else(|| wrong(&stage.span, "adds nothing"))
    }

    fn declare(&mut self, arg: &Arg) -> Result<()> {
        let name = &arg.name.value;
        let value = match (self.options.build_args.get(name), &arg.value) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => Some(self.expand(&default.value, &default.span)?),
            (None, None) => None,
        };
        value.into_iter().for_each(|value| self.env.set(name, &value));
        Ok(())
    }

    fn added(&self, add: &Copy, span: &Range<usize>) -> Result<Remote> {
        let ([word], []) = (add.sources.as_slice(), add.documents.as_slice()) else {
            return Err(wrong(span, "adds more than one thing"));
        };
        let source = self.expand(&word.value, &word.span)?;
        let remote = remote::of_source(&source).transpose();
        let remote = remote.map_err(|error| Diagnostic::error(RULE, word.span.clone(), error.to_string()))?;
        let checksum = add.checksum.as_ref();
        let checksum = checksum.map(|word| self.expand(&word.value, &word.span)).transpose()?;
        match remote {
            Some(Remote::Http(http)) => {
                let checksum = checksum.map(|checksum| http_checksum(add, word, &checksum)).transpose();
                let checksum = checksum.map_err(|wrong| *wrong)?;
                let filename = remote::file_name(&source);
                Ok(Remote::Http(HttpSource { filename, checksum, ..http }))
            }
            Some(Remote::Git(git)) => {
                let keep_git_dir = git.keep_git_dir;
                let source = git_source(add, word, git, checksum.as_deref()).map_err(|wrong| *wrong)?;
                Ok(Remote::Git(remote::GitReference { source, keep_git_dir }))
            }
            None => Err(wrong(&word.span, "adds something from here")),
        }
    }

    fn expand(&self, text: &str, span: &Range<usize>) -> Result<String> {
        let expanded = self.expander.expand(text, &self.env);
        expanded.map(|expansion| expansion.text).map_err(|error| error.diagnostic(text, span))
    }
}

fn wrong(span: &Range<usize>, what: &str) -> Diagnostic {
    let message = format!("the stage that `{EPOCH}` names {what}");
    let help = "it may start from `scratch`, declare arguments, and add one URL or repository";
    Diagnostic::error(RULE, span.clone(), message).with_help(help.to_owned())
}
