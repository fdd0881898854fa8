//! What the target needs: stages, images, contexts.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use image::{ImageConfig, Platform, Reference};

use super::{BaseImage, FromReader, Names, Origin};
use crate::ast::{Instruction, Kind, Stage, Word};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::limits::TRIGGERS_MAX;
use crate::remote;
use crate::syntax::parse_trigger;

/// What the target needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    /// For each stage, whether it is needed.
    pub(crate) stages: Vec<bool>,
    /// For each stage, the instructions that `ONBUILD` of its base puts in front of its own.
    pub(crate) triggers: Vec<Vec<Instruction>>,
    /// The images, in the order of the file.
    pub(crate) images: Vec<BaseImage>,
    /// Named contexts.
    pub(crate) contexts: BTreeSet<String>,
    /// Whether the main context is read.
    pub(crate) needs_context: bool,
    /// Whether files are copied from what is no stage.
    pub(crate) reads_outside: bool,
    trigger_count: usize,
}

impl Reach {
    /// Follows what `targets` need. Stages name only stages in front of them, so one pass from the end does.
    pub(crate) fn new(
        stages: &[Arc<Stage>],
        names: &Names,
        targets: Range<usize>,
        bases: &BTreeMap<(Reference, Platform), ImageConfig>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut reach = Self {
            stages: vec![false; stages.len()],
            triggers: vec![Vec::new(); stages.len()],
            ..Self::default()
        };
        reach.stages[targets.clone()].fill(true);
        for index in (0..targets.end).rev() {
            if reach.stages[index] {
                reach.visit(stages, names, index, bases, diagnostics);
            }
        }
        reach.images.sort_by_key(|image| image.span.start);
        let mut seen = HashSet::new();
        reach.images.retain(|image| seen.insert((image.reference.clone(), image.platform.clone())));
        reach
    }

    fn visit(
        &mut self,
        stages: &[Arc<Stage>],
        names: &Names,
        index: usize,
        bases: &BTreeMap<(Reference, Platform), ImageConfig>,
        diagnostics: &mut Diagnostics,
    ) {
        let stage = &stages[index];
        let base = match names.base_of(index) {
            Ok(base) => base,
            Err(diagnostic) => return diagnostics.push(diagnostic),
        };
        self.add(base, &stage.from.base.span);
        if names.is_replaced(index) {
            return;
        }
        let texts: Vec<&str> = match base {
            Origin::Stage(base) => stage_triggers(&stages[*base]).collect(),
            Origin::Image { reference, platform, .. } => bases
                .get(&(reference.clone(), platform.clone()))
                .map(|config| config.config.on_build.iter().map(String::as_str).collect())
                .unwrap_or_default(),
            Origin::Scratch | Origin::Context(_) | Origin::Remote { .. } => Vec::new(),
        };
        self.trigger_count = self.trigger_count.saturating_add(texts.len());
        if self.trigger_count > TRIGGERS_MAX {
            let message = format!("the bases have more than {TRIGGERS_MAX} `ONBUILD` triggers");
            return diagnostics.push(Diagnostic::error("TooMany", stage.from.base.span.clone(), message));
        }
        self.triggers[index] = triggers(&texts, stage, diagnostics);
        for instruction in &stage.instructions {
            self.instruction(instruction, names, index, diagnostics);
        }
        for trigger in std::mem::take(&mut self.triggers[index]) {
            self.instruction(&trigger, names, index, diagnostics);
            self.triggers[index].push(trigger);
        }
    }

    fn instruction(
        &mut self,
        instruction: &Instruction,
        names: &Names,
        index: usize,
        diagnostics: &mut Diagnostics,
    ) {
        match &instruction.kind {
            Kind::Copy(copy) => match &copy.from {
                Some(from) => {
                    self.from(&from.value, &from.span, names, index, FromReader::Copy, diagnostics);
                }
                None => self.needs_context |= !copy.sources.is_empty(),
            },
            Kind::Add(add) => {
                let is_local = |source: &Word| remote::of_source(&source.value).is_none();
                self.needs_context |= add.sources.iter().any(is_local);
            }
            Kind::Run(run) => {
                for mount in &run.mounts {
                    match mount.from() {
                        Some(from) => {
                            let reader = FromReader::Mount { target: mount.target() };
                            self.from(from, &mount.span, names, index, reader, diagnostics);
                        }
                        None => self.needs_context |= is_bind(&mount.options),
                    }
                }
            }
            _ => {}
        }
    }

    fn from(
        &mut self,
        from: &str,
        span: &Range<usize>,
        names: &Names,
        index: usize,
        reader: FromReader<'_>,
        diagnostics: &mut Diagnostics,
    ) {
        match names.from(from, span, index, reader, &mut diagnostics.suggester) {
            Ok(origin) => {
                self.reads_outside |= !matches!(origin, Origin::Stage(_));
                self.add(&origin, span);
            }
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }

    fn add(&mut self, origin: &Origin, span: &Range<usize>) {
        match origin {
            Origin::Scratch | Origin::Remote { .. } => {}
            Origin::Stage(stage) => self.stages[*stage] = true,
            Origin::Context(name) => {
                self.contexts.insert(name.clone());
            }
            Origin::Image { reference, platform, name } => self.images.push(BaseImage {
                reference: reference.clone(),
                platform: platform.clone(),
                span: span.clone(),
                name: name.clone(),
            }),
        }
    }
}

fn is_bind(options: &[(String, Option<String>)]) -> bool {
    let kind = options.iter().rev().find(|(key, _)| key == "type");
    // A variable can turn out to be `bind`.
    kind.and_then(|(_, value)| value.as_deref())
        .is_none_or(|kind| kind.eq_ignore_ascii_case("bind") || kind.contains('$'))
}

fn stage_triggers(stage: &Stage) -> impl Iterator<Item = &str> {
    stage.instructions.iter().filter_map(|instruction| match &instruction.kind {
        Kind::Onbuild(onbuild) => Some(onbuild.trigger.as_str()),
        _ => None,
    })
}

fn triggers(texts: &[&str], stage: &Stage, diagnostics: &mut Diagnostics) -> Vec<Instruction> {
    let mut triggers = Vec::new();
    for text in texts {
        match parse_trigger(text, &stage.span, stage.line) {
            Ok(Instruction { kind: Kind::From(_), .. }) => {
                let message = format!("`{text}` cannot be a trigger");
                diagnostics.push(
                    Diagnostic::error("InvalidTrigger", stage.span.clone(), message)
                        .with_buildkit("*instructions.Stage is not a command type"),
                );
            }
            Ok(instruction) => triggers.push(instruction),
            Err(found) => found.into_iter().for_each(|mut diagnostic| {
                diagnostic.message = format!("in the trigger `{text}` of the base: {}", diagnostic.message);
                diagnostics.push(diagnostic);
            }),
        }
    }
    triggers
}
