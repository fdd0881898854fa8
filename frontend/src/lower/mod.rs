//! Turns a plan into a build graph and an image config, with the meaning that BuildKit gives each
//! instruction.

mod add;
mod base;
mod chmod;
mod config;
mod copy;
mod devices;
mod display;
mod golang;
mod mounts;
mod paths;
mod ports;
mod progress;
mod run;
mod signal;
mod sources;
mod stage;
mod taken;
mod variables;
mod windows;

use std::collections::HashMap;
use std::ops::Range;

use graph::{BuildGraph, Label, Location, Op, Vertex, VertexId};
use image::{ImageConfig, Platform};

use crate::ast::{CommandLine, Instruction, Kind};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::limits::LOWERED_BYTES_MAX;
use crate::lint;
use crate::plan::{Bases, Plan, Purpose, Reach};
pub(crate) use add::{git_source, http_checksum};
pub(crate) use paths::clean;
pub use run::is_proxy_setting;
use sources::SourceKey;
use stage::StageState;
pub(crate) use taken::{Taken, TakenMount};

/// A plan as operations, and the image that they make.
#[derive(Debug, Clone)]
pub struct Lowered {
    /// The operations. Every vertex is needed for the target.
    pub graph: BuildGraph,
    /// The file system of the result.
    pub target: VertexId,
    /// The config of the result, history of the base included. The layers and the times are not known yet:
    /// `rootfs` is empty, `created` is unset, in the history too.
    pub config: ImageConfig,
    /// For each history entry that is not the base's, the last of `config.history`: the vertex whose layer it
    /// describes. None for entries without a layer.
    pub history_vertices: Vec<Option<VertexId>>,
    /// What is worth knowing, but no reason to stop, beside the plan's warnings.
    pub warnings: Vec<Diagnostic>,
}

pub(crate) fn lower(plan: &Plan, bases: &Bases) -> Result<Lowered, Vec<Diagnostic>> {
    let reach = plan.reach(plan.targets(Purpose::Build), bases)?;
    let mut lowering = Lowering::new(plan, bases, &reach, Purpose::Build);
    lowering.all_stages();
    lowering.finish()
}

/// What lowering finds out when nothing is built.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    /// Findings, errors included, in the order of the text.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// What the stages take.
    pub(crate) taken: Taken,
    /// For each stage, whether it is needed.
    pub(crate) stages: Vec<bool>,
}

/// Lowers to answer a question. Bases that are not there are taken for empty images.
pub(crate) fn examine(plan: &Plan, bases: &Bases, purpose: Purpose) -> Examined {
    let reach = match plan.reach(plan.targets(purpose), bases) {
        Ok(reach) => reach,
        Err(diagnostics) => return Examined { diagnostics, ..Examined::default() },
    };
    let mut lowering = Lowering::new(plan, bases, &reach, purpose);
    lowering.all_stages();
    lowering.report_violations();
    let Lowering { diagnostics, taken, .. } = lowering;
    Examined { diagnostics: diagnostics.into_sorted(), taken, stages: reach.stages.clone() }
}

/// A graph in the making.
struct Lowering<'p> {
    plan: &'p Plan,
    bases: &'p Bases,
    reach: &'p Reach,
    graph: BuildGraph,
    /// Sources by what they are, so that each is in the graph once.
    sources: HashMap<SourceKey, VertexId>,
    /// Parts of contexts that are mounted, by vertex and path.
    mounted: HashMap<(VertexId, String), VertexId>,
    /// Finished stages.
    stages: Vec<Option<StageState>>,
    diagnostics: Diagnostics,
    purpose: Purpose,
    /// What the stages take, for those who ask.
    taken: Taken,
    /// What is left of [`LOWERED_BYTES_MAX`].
    budget_bytes: usize,
}

impl<'p> Lowering<'p> {
    fn new(plan: &'p Plan, bases: &'p Bases, reach: &'p Reach, purpose: Purpose) -> Self {
        Self {
            plan,
            bases,
            reach,
            graph: BuildGraph::new(),
            sources: HashMap::new(),
            mounted: HashMap::new(),
            stages: vec![None; plan.stages.len()],
            diagnostics: Diagnostics::new(plan.checks.clone()),
            purpose,
            taken: Taken::default(),
            budget_bytes: LOWERED_BYTES_MAX,
        }
    }
}

impl Lowering<'_> {
    fn all_stages(&mut self) {
        let reach = self.reach;
        for index in (0..reach.stages.len()).filter(|index| reach.stages[*index]) {
            self.stage(index);
            if self.budget_bytes == 0 {
                break;
            }
        }
    }

    fn stage(&mut self, index: usize) {
        let Some(mut state) = self.start(index) else { return };
        let reach = self.reach;
        let plan = self.plan;
        for trigger in &reach.triggers[index] {
            state.progress.is_trigger = true;
            self.diagnostics.is_elsewhere = true;
            self.instruction(&mut state, trigger);
        }
        state.progress.is_trigger = false;
        self.diagnostics.is_elsewhere = false;
        let is_replaced = plan.names.is_replaced(index);
        for instruction in plan.stages[index].instructions.iter().filter(|_| !is_replaced) {
            self.instruction(&mut state, instruction);
            if self.budget_bytes == 0 {
                return;
            }
        }
        self.stages[index] = Some(state);
    }

    fn instruction(&mut self, state: &mut StageState, instruction: &Instruction) {
        self.check(state, instruction);
        let result = match &instruction.kind {
            Kind::Add(add) => self.add(state, instruction, add),
            Kind::Arg(args) => self.arg(state, instruction, args),
            Kind::Cmd(command) => self.cmd(state, command),
            Kind::Copy(copy) => self.copy(state, instruction, copy),
            Kind::Entrypoint(command) => self.entrypoint(state, command),
            Kind::Env(pairs) => self.env(state, pairs),
            Kind::Expose(ports) => self.expose(state, ports),
            Kind::From(_) => Ok(()),
            Kind::Healthcheck(healthcheck) => self.healthcheck(state, healthcheck),
            Kind::Label(pairs) => self.label(state, pairs),
            Kind::Maintainer(name) => self.maintainer(state, name),
            Kind::Onbuild(onbuild) => self.onbuild(state, onbuild),
            Kind::Run(run) => self.run(state, instruction, run),
            Kind::Shell(argv) => self.shell(state, argv),
            Kind::Stopsignal(signal) => self.stopsignal(state, signal),
            Kind::User(user) => self.user(state, user),
            Kind::Volume(volumes) => self.volume(state, volumes),
            Kind::Workdir(path) => self.workdir(state, instruction, path),
        };
        if let Err(diagnostic) = result {
            self.diagnostics.push(*diagnostic);
        }
    }

    /// The checks that look at one instruction and the stage around it.
    fn check(&mut self, state: &mut StageState, instruction: &Instruction) {
        let keyword = &instruction.keyword;
        let earlier = state.used_once.note(&instruction.kind, keyword);
        earlier.into_iter().for_each(|finding| self.diagnostics.push_for(finding, &instruction.span));
        match &instruction.kind {
            Kind::Cmd(CommandLine::Shell(_)) | Kind::Entrypoint(CommandLine::Shell(_))
                if state.config.config.shell.as_ref().is_none_or(Vec::is_empty) =>
            {
                self.diagnostics.push(lint::json_args_recommended(keyword));
            }
            Kind::Env(pairs) | Kind::Label(pairs) => {
                for pair in pairs.iter().filter(|pair| pair.legacy) {
                    self.diagnostics.push(lint::legacy_key_value_format(keyword, pair));
                }
            }
            _ => {}
        }
    }

    /// An error when findings are to be errors and there are some.
    fn report_violations(&mut self) {
        if !self.plan.checks.options.error {
            return;
        }
        let mut violated = self.diagnostics.violated();
        violated.extend(self.plan.warnings().iter().map(|warning| warning.rule));
        violated.retain(|name| lint::rule(name).is_some_and(lint::Rule::is_binding));
        if !violated.is_empty() {
            let names = violated.into_iter().collect::<Vec<_>>().join(", ");
            let message = format!("lint violation found for rules: {names}");
            self.diagnostics.push(Diagnostic::error("CheckViolation", 0..0, message));
        }
    }

    fn finish(mut self) -> Result<Lowered, Vec<Diagnostic>> {
        self.report_violations();
        let target = self.stages[self.plan.target].take();
        let Some(state) = target.filter(|_| !self.diagnostics.has_errors()) else {
            return Err(self.diagnostics.into_sorted());
        };
        let labels = &self.plan.options.labels;
        let tip = state.tip;
        let (mut config, history_vertices) = state.into_config();
        config.config.labels.extend(labels.iter().cloned());
        if let Some(platform) = &self.plan.options.asked_platform {
            set_platform(&mut config, platform);
        }
        Ok(Lowered {
            graph: self.graph,
            target: tip,
            config,
            history_vertices,
            warnings: self.diagnostics.into_sorted(),
        })
    }

    /// Takes from the budget; an error when there is none left.
    fn spend(&mut self, bytes: usize, span: &Range<usize>) -> Result<(), Box<Diagnostic>> {
        self.budget_bytes = self.budget_bytes.saturating_sub(bytes);
        if self.budget_bytes > 0 {
            return Ok(());
        }
        let message = format!("the build needs more than {LOWERED_BYTES_MAX} bytes of text");
        Err(Box::new(Diagnostic::error("TooLarge", span.clone(), message)))
    }

    /// Adds a step to a stage; its result is what the stage continues.
    fn step(
        &mut self,
        state: &mut StageState,
        op: Op,
        inputs: Vec<VertexId>,
        name: &str,
        instruction: &Instruction,
    ) -> VertexId {
        let label = Label {
            name: state.progress.next_for(&state.env, name),
            stage: state.progress.stage_label(),
            location: Some(Location { span: instruction.span.clone(), line: instruction.line }),
        };
        let no_cache = self.plan.runs_again(state.index);
        let vertex = self.graph.add(Vertex { op, inputs, label, no_cache });
        state.tip = vertex;
        vertex
    }
}

/// Says what platform an image is for. A variant that is not asked for stays when the rest is the same.
fn set_platform(config: &mut ImageConfig, platform: &Platform) {
    let is_same = config.os == platform.os && config.architecture == platform.architecture;
    config.os.clone_from(&platform.os);
    config.architecture.clone_from(&platform.architecture);
    if !is_same || platform.variant.is_some() {
        config.variant.clone_from(&platform.variant);
    }
}

/// The label of a vertex that no instruction stands for.
fn internal(what: &str) -> Label {
    Label { name: format!("[internal] {what}"), stage: String::new(), location: None }
}

/// What Go's `strconv.ParseBool` takes for a boolean.
fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}
