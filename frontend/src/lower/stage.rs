//! A stage in the making: where its files stand, and the image that it would be.

use std::borrow::Cow;
use std::ops::Range;

use graph::{Label, Location, VertexId};
use image::{History, ImageConfig};

use super::progress::Progress;
use super::windows::{self, PathError};
use super::{Lowering, SourceKey, paths};
use crate::ast::{Instruction, Kind, Stage};
use crate::diagnostic::Diagnostic;
use crate::environment::{Environment, Variables};
use crate::lint::UsedOnce;
use crate::plan::Origin;

/// What BuildKit writes into each history entry.
const HISTORY_COMMENT: &str = "buildkit.dockerfile.v0";

/// `PATH` of images that have none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The directory in which an image starts that says nothing of it.
const ROOT: &str = "/";

/// What a stage without anything in it takes in memory, about.
const STATE_BYTES: usize = 10 << 10;

/// What a history entry takes in memory beside its command, about: itself, its comment, two allocations, its vertex.
const HISTORY_ENTRY_BYTES: usize =
    size_of::<History>() + HISTORY_COMMENT.len() + 2 * 16 + size_of::<VertexId>();

/// One stage.
#[derive(Debug, Clone)]
pub(super) struct StageState {
    /// The stage's place in the file.
    pub(super) index: usize,
    /// The file system so far.
    pub(super) tip: VertexId,
    /// What `RUN` sees and expansion uses: image, `ENV` and `ARG`.
    pub(super) env: Environment,
    /// `Env` of the image.
    pub(super) image_env: Environment,
    /// The config so far, without `Env`.
    pub(super) config: ImageConfig,
    /// Vertices of the history entries that are ours.
    history_vertices: Vec<Option<VertexId>>,
    /// `ARG`s in scope with their values.
    pub(super) args: Vec<(String, Option<String>)>,
    /// Whether the stage itself has a `CMD`.
    pub(super) has_cmd: bool,
    /// Whether a `WORKDIR` was set in this Dockerfile.
    pub(super) has_workdir: bool,
    pub(super) progress: Progress,
    /// Instructions of which only the last counts.
    pub(super) used_once: UsedOnce,
    /// The config of the base is not known, and is taken for empty.
    pub(super) base_is_unknown: bool,
}

impl StageState {
    /// Adds a history entry; `vertex` is the step whose layer it describes.
    pub(super) fn record(&mut self, created_by: String, vertex: Option<VertexId>) {
        self.config.history.push(History {
            created_by,
            comment: HISTORY_COMMENT.to_owned(),
            empty_layer: vertex.is_none(),
            ..History::default()
        });
        self.history_vertices.push(vertex);
    }

    /// The finished config.
    pub(super) fn into_config(mut self) -> (ImageConfig, Vec<Option<VertexId>>) {
        self.config.config.env = self.image_env.to_config();
        (self.config, self.history_vertices)
    }

    /// Whether the image is one of Windows.
    pub(super) fn is_windows(&self) -> bool {
        self.config.os == "windows"
    }

    /// The directory in which relative paths start.
    pub(super) fn cwd(&self) -> Cow<'_, str> {
        match self.config.config.working_dir.as_str() {
            "" => ROOT.into(),
            directory if self.is_windows() => windows::with_slashes(directory).into(),
            directory => directory.into(),
        }
    }

    /// A path of the image as it is on Linux.
    pub(super) fn path<'p>(&self, path: &'p str) -> Result<Cow<'p, str>, PathError> {
        if self.is_windows() { windows::path(path).map(Cow::Owned) } else { Ok(path.into()) }
    }

    fn size_bytes(&self) -> usize {
        let entry_bytes = |entry: &History| HISTORY_ENTRY_BYTES + entry.created_by.len();
        let history: usize = self.config.history.iter().map(entry_bytes).sum();
        STATE_BYTES + self.env.size_bytes() + self.image_env.size_bytes() + history
    }
}

impl Lowering<'_> {
    /// The state of a stage before its first instruction; none when its base has errors.
    pub(super) fn start(&mut self, index: usize) -> Option<StageState> {
        let plan = self.plan;
        let stage = &plan.stages[index];
        let origin = plan.names.base_of(index).ok()?;
        let progress = Progress {
            stage: self.shown_name(index),
            platform: self.shown_platform(origin),
            total: self.step_count(index, origin),
            ..Progress::default()
        };
        let started = match origin {
            Origin::Stage(base) => self.start_from_stage(*base, &stage.span),
            origin => self.start_from_origin(origin, progress.clone(), stage),
        };
        match started {
            Ok(mut state) => {
                // A base that is an image has already shown its first step.
                state.index = index;
                state.progress = Progress { index: state.progress.index, ..progress };
                if matches!(origin, Origin::Stage(_)) {
                    state.progress.index = 0;
                }
                prepare(&mut state);
                Some(state)
            }
            Err(diagnostic) => {
                self.diagnostics.push(*diagnostic);
                None
            }
        }
    }

    fn start_from_stage(&mut self, base: usize, span: &Range<usize>) -> Result<StageState, Box<Diagnostic>> {
        // A base with errors has reported them.
        let silent = || Box::new(Diagnostic::error("UnknownStage", span.clone(), "the base has errors"));
        let size_bytes = self.stages[base].as_ref().map(StageState::size_bytes).ok_or_else(silent)?;
        self.spend(size_bytes, span)?;
        let mut state = self.stages[base].clone().ok_or_else(silent)?;
        // Triggers work in the stage itself, not in those that are built on it.
        state.config.config.on_build.clear();
        state.has_cmd = false;
        state.used_once = UsedOnce::default();
        Ok(state)
    }

    fn start_from_origin(
        &mut self,
        origin: &Origin,
        mut progress: Progress,
        stage: &Stage,
    ) -> Result<StageState, Box<Diagnostic>> {
        let platform = &self.plan.options.target_platform;
        let mut base_is_unknown = false;
        let (tip, config) = match origin {
            Origin::Image { reference, platform, name } => {
                let key = (reference.clone(), platform.clone());
                base_is_unknown = !self.bases.contains_key(&key);
                let config = self.image_config(&key, name, stage)?;
                let label = Label {
                    name: progress.next(&format!("FROM {reference}")),
                    stage: progress.stage_label(),
                    location: Some(Location { span: stage.span.clone(), line: stage.line }),
                };
                (self.source(SourceKey::Image(key.0, key.1), || label), config)
            }
            other => {
                progress.index += usize::from(matches!(other, Origin::Context(_) | Origin::Remote { .. }));
                let mut config = ImageConfig::empty(platform);
                // What has no image starts in the root, and says so, as in BuildKit.
                ROOT.clone_into(&mut config.config.working_dir);
                (self.base_files(other, &stage.span)?, config)
            }
        };
        let image_env = Environment::from_config(&config.config.env);
        let mut state = StageState {
            index: 0,
            tip,
            env: Environment::default(),
            image_env,
            config,
            history_vertices: Vec::new(),
            args: Vec::new(),
            has_cmd: false,
            has_workdir: false,
            progress,
            used_once: UsedOnce::default(),
            base_is_unknown,
        };
        if let Origin::Context(name) | Origin::Remote { name, .. } = origin {
            // The files are a layer, and every layer has its entry.
            state.record(format!("FROM {name}"), Some(tip));
        }
        Ok(state)
    }

    /// A single stage has no name in progress, unless files are copied from elsewhere, as in BuildKit.
    fn shown_name(&self, index: usize) -> String {
        if self.plan.stages.len() == 1 && !self.reach.reads_outside {
            return String::new();
        }
        match &self.plan.stages[index].from.name {
            Some(name) => name.value.clone(),
            None => format!("stage-{index}"),
        }
    }

    /// For which platform a stage is, when there are several to tell apart.
    fn shown_platform(&self, origin: &Origin) -> String {
        let options = &self.plan.options;
        if !options.shows_platforms {
            return String::new();
        }
        match origin {
            Origin::Image { platform, .. } => platform.to_string(),
            Origin::Stage(base) => {
                self.stages[*base].as_ref().map(|state| state.progress.platform.clone()).unwrap_or_default()
            }
            Origin::Scratch | Origin::Context(_) | Origin::Remote { .. } => {
                options.target_platform.to_string()
            }
        }
    }

    fn step_count(&self, index: usize, origin: &Origin) -> usize {
        let is_step = |instruction: &&Instruction| {
            matches!(instruction.kind, Kind::Add(_) | Kind::Copy(_) | Kind::Run(_) | Kind::Workdir(_))
        };
        let own = self.plan.stages[index].instructions.iter().filter(is_step).count();
        let from =
            usize::from(matches!(origin, Origin::Image { .. } | Origin::Context(_) | Origin::Remote { .. }));
        from + own + self.reach.triggers[index].len()
    }
}

/// What every stage does first, whatever it starts from.
fn prepare(state: &mut StageState) {
    // Windows finds its programs without.
    if state.image_env.get("PATH").is_none() && !state.is_windows() {
        state.image_env.set("PATH", DEFAULT_PATH);
    }
    // `ARG`s of a base stage stay visible, but its `ENV` wins over them again.
    for (name, value) in state.image_env.pairs() {
        state.env.set(name, value);
    }
    let directory = &state.config.config.working_dir;
    if !directory.is_empty() {
        state.config.config.working_dir = match state.is_windows() {
            // As in BuildKit: a relative directory of a base, which no Dockerfile can make, is one in itself.
            false => paths::absolute(&paths::absolute(ROOT, directory), directory),
            true => match windows::path(directory) {
                Ok(path) => windows::with_backslashes(&paths::absolute(ROOT, &path)),
                // Whoever made the base has made the mistake: it stays as it is.
                Err(_) => directory.clone(),
            },
        };
    }
}
