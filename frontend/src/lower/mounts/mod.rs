//! `RUN --mount`.

mod agent;
mod options;
mod secret;

use graph::{ContextSource, Mount, MountSource, SecretEnv, VertexId};

use super::stage::StageState;
use super::{Lowering, paths};
use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::plan::Origin;
pub(super) use options::Options;

/// Mode of a new cache directory.
const CACHE_MODE: u32 = 0o755;

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// What a process gets beside its root, as far as its mounts say.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// The inputs of the vertex.
    pub(super) inputs: Vec<VertexId>,
    pub(super) mounts: Vec<Mount>,
    pub(super) secret_env: Vec<SecretEnv>,
    /// Where the agents are, as far as there are any.
    pub(super) agents: Vec<String>,
}

impl Lowering<'_> {
    /// Lowers one mount.
    pub(super) fn mount(
        &mut self,
        state: &StageState,
        mount: &ast::Mount,
        surroundings: &mut Surroundings,
    ) -> Result<()> {
        let wrong = |message: String| wrong(mount, message);
        let options = self.mount_options(state, mount)?;
        let kind = options.kind.as_deref().unwrap_or("bind");
        options.check(kind, mount.from()).map_err(wrong)?;
        if kind == "secret" {
            self.take_mount(state.index, kind, &options, mount);
            return secret::lower(state, &options, surroundings).map_err(wrong);
        }
        if kind == "ssh" {
            self.take_mount(state.index, kind, &options, mount);
            return agent::lower(state, &options, surroundings).map_err(wrong);
        }
        let target = target(state, &options.target).map_err(wrong)?;
        let source = match kind {
            "tmpfs" => MountSource::Tmpfs { size_bytes: options.size_bytes },
            "cache" => {
                let from = mount.from().filter(|from| *from != "scratch");
                if from.is_some() || !matches!(&*paths::source(&options.source), ".") {
                    let message = "`from` and `source` of a cache mount are not supported by this version";
                    return Err(Box::new(Diagnostic::error("UnsupportedFlag", mount.span.clone(), message)));
                }
                options.cache()
            }
            _ => self.bind(state, mount, &options, &mut surroundings.inputs)?,
        };
        surroundings.mounts.push(Mount { target, source });
        Ok(())
    }

    fn mount_options(&mut self, state: &StageState, mount: &ast::Mount) -> Result<Options> {
        let mut options = Options::default();
        for (key, value) in &mount.options {
            let value = match value {
                Some(value) => {
                    let word = ast::Word { value: value.clone(), span: mount.span.clone() };
                    Some(self.expand(state, &word)?)
                }
                None => None,
            };
            // No path and no name of the kernel's has one.
            if value.as_deref().is_some_and(|value| value.contains('\0')) {
                return Err(wrong(mount, format!("the value of `{key}` in `--mount` has a zero byte")));
            }
            options.set(key, value.as_deref()).map_err(|(message, help)| {
                Box::new(Diagnostic::error("InvalidMount", mount.span.clone(), message).with_help(help))
            })?;
        }
        Ok(options)
    }

    fn bind(
        &mut self,
        state: &StageState,
        mount: &ast::Mount,
        options: &Options,
        inputs: &mut Vec<VertexId>,
    ) -> Result<MountSource> {
        let origin = match mount.from() {
            Some(from) => {
                let current = state.index;
                self.plan
                    .names
                    .from(from, &mount.span, current, '\\', &mut self.diagnostics.suggester)
                    .map_err(Box::new)?
            }
            None => Origin::Context(ContextSource::MAIN.to_owned()),
        };
        let path = paths::clean(&format!("/{}", options.source));
        let files = self.origin(&origin, &mount.span)?;
        let files = match origin {
            Origin::Context(_) => self.mountable(files, &path),
            _ => files,
        };
        let input = inputs.len();
        inputs.push(files);
        Ok(MountSource::Input { input, path, read_only: options.read_only.unwrap_or(true) })
    }
}

fn wrong(mount: &ast::Mount, message: String) -> Box<Diagnostic> {
    Box::new(Diagnostic::error("InvalidMount", mount.span.clone(), message))
}

/// An absolute path below the root.
fn target(state: &StageState, written: &str) -> std::result::Result<String, String> {
    let target = paths::clean(&format!("/{}", paths::absolute(state.cwd(), written)));
    if target == "/" {
        return Err(format!("the target of a mount cannot be `/` (`target={written}`)"));
    }
    Ok(target)
}

impl Options {
    fn cache(&self) -> MountSource {
        let id = if self.id.is_empty() { paths::clean(&self.target) } else { self.id.clone() };
        MountSource::Cache {
            id,
            sharing: self.sharing.unwrap_or_default(),
            owner: (self.owner.0.unwrap_or(0), self.owner.1.unwrap_or(0)),
            mode: self.mode.unwrap_or(CACHE_MODE),
            read_only: self.read_only.unwrap_or(false),
        }
    }
}
