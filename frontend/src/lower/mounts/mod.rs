//! `RUN --mount`.

mod agent;
mod options;
mod secret;

use graph::{CacheBase, ContextSource, Location, Mount, MountSource, SecretEnv, VertexId};

use super::stage::StageState;
use super::{Lowering, paths};
use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::plan::{FromReader, Origin};
pub(super) use options::Options;
use options::Wrong;

/// The image that is empty.
const SCRATCH: &str = "scratch";
/// The build argument that keeps the caches of one group of builds apart from those of others.
const CACHE_NAMESPACE: &str = "BUILDKIT_CACHE_MOUNT_NS";
/// The bits of a mode that a directory has.
const MODE_BITS: u32 = 0o7777;

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// What a process gets beside its root, as far as its mounts say.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// Where the instruction is.
    pub(super) location: Option<Location>,
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
        let wrong = |wrong: Wrong| wrong.at(mount);
        let options = self.mount_options(state, mount)?;
        let kind = options.kind.as_deref().unwrap_or("bind");
        options.check(kind, mount.from()).map_err(wrong)?;
        for key in options.ignored(kind, mount.from()) {
            let message = format!("`{key}` means nothing for a mount of type `{kind}`");
            self.diagnostics.push(Diagnostic::warning("IgnoredMountOption", mount.span.clone(), message));
        }
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
            "tmpfs" => MountSource::Tmpfs {
                // As in BuildKit, and for the kernel: no limit of its own.
                size_bytes: options.size_bytes.filter(|size| *size > 0),
                read_only: options.read_only.unwrap_or(false),
            },
            "cache" => self.cache(state, mount, &options, surroundings)?,
            _ => self.bind(state, mount, &options, surroundings)?,
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
                let message = format!("the value of `{key}` in `--mount` has a zero byte");
                return Err(Wrong::new(message).at(mount));
            }
            options.set(key, value.as_deref()).map_err(|wrong| wrong.at(mount))?;
        }
        Ok(options)
    }

    fn bind(
        &mut self,
        state: &StageState,
        mount: &ast::Mount,
        options: &Options,
        surroundings: &mut Surroundings,
    ) -> Result<MountSource> {
        let main = || Origin::Context(ContextSource::MAIN.to_owned());
        let origin = mount.from().map_or_else(|| Ok(main()), |from| self.from(state, mount, from))?;
        let (input, path) = self.directory(&origin, mount, options, surroundings)?;
        Ok(MountSource::Input { input, path, read_only: options.read_only.unwrap_or(true) })
    }

    /// A cache begins empty, or as a copy of what `from` and `source` name. Without `from`, `source` is the part of the cache
    /// that is mounted: others made it, and with it who owns it.
    fn cache(
        &mut self,
        state: &StageState,
        mount: &ast::Mount,
        options: &Options,
        surroundings: &mut Surroundings,
    ) -> Result<MountSource> {
        let base = match mount.from().filter(|from| *from != SCRATCH) {
            Some(from) => {
                let origin = self.from(state, mount, from)?;
                let (input, path) = self.directory(&origin, mount, options, surroundings)?;
                Some(CacheBase { input, path })
            }
            None => None,
        };
        let path = match &base {
            Some(_) => "/".to_owned(),
            None => paths::clean(&format!("/{}", options.source)),
        };
        let is_whole = path == "/";
        let id = if options.id.is_empty() { paths::clean(&options.target) } else { options.id.clone() };
        let namespace = self.plan.options.build_args.get(CACHE_NAMESPACE).filter(|name| !name.is_empty());
        Ok(MountSource::Cache {
            id: namespace.map_or_else(|| id.clone(), |namespace| format!("{namespace}/{id}")),
            base,
            path,
            sharing: options.sharing.unwrap_or_default(),
            uid: options.owner.0.filter(|_| is_whole),
            gid: options.owner.1.filter(|_| is_whole),
            mode: options.mode.map(|mode| mode & MODE_BITS).filter(|_| is_whole),
            read_only: options.read_only.unwrap_or(false),
        })
    }

    fn from(&mut self, state: &StageState, mount: &ast::Mount, from: &str) -> Result<Origin> {
        let suggester = &mut self.diagnostics.suggester;
        let reader = FromReader::Mount { target: mount.target() };
        self.plan.names.from(from, &mount.span, state.index, reader, suggester).map_err(Box::new)
    }

    /// What `source` names of an origin, as an input and a path in it.
    fn directory(
        &mut self,
        origin: &Origin,
        mount: &ast::Mount,
        options: &Options,
        surroundings: &mut Surroundings,
    ) -> Result<(usize, String)> {
        let path = paths::clean(&format!("/{}", options.source));
        let files = self.origin(origin, &mount.span)?;
        let files = match origin {
            Origin::Context(_) => self.mountable(files, &path, surroundings.location.clone()),
            _ => files,
        };
        surroundings.inputs.push(files);
        Ok((surroundings.inputs.len() - 1, path))
    }
}

/// An absolute path below the root: the working directory where none is written, as in BuildKit.
fn target(state: &StageState, written: &str) -> std::result::Result<String, Wrong> {
    let target = paths::clean(&format!("/{}", paths::absolute(&state.cwd(), written)));
    if target != "/" {
        return Ok(target);
    }
    let message = match written {
        "" => "a mount needs a target: `target=PATH`".to_owned(),
        written => format!("the target of a mount cannot be `/` (`target={written}`)"),
    };
    Err(Wrong::new(message).known_as("invalid mount target \"/\""))
}
