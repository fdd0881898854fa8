//! `RUN --mount`.

use graph::{CacheSharing, ContextSource, Mount, MountSource, VertexId};

use super::stage::StageState;
use super::{Lowering, paths};
use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::plan::Origin;
use crate::suggest::nearest;

/// Mode of a new cache directory.
const CACHE_MODE: u32 = 0o755;

const TYPES: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];
const SHARING: [&str; 3] = ["shared", "private", "locked"];

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// The options of one mount, variables expanded.
#[derive(Debug, Default)]
pub(super) struct Options {
    kind: Option<String>,
    pub(super) source: String,
    pub(super) target: String,
    read_only: Option<bool>,
    pub(super) id: String,
    sharing: Option<CacheSharing>,
    owner: (Option<u32>, Option<u32>),
    mode: Option<u32>,
    size_bytes: Option<u64>,
    pub(super) required: bool,
    env: Option<String>,
}

impl Lowering<'_> {
    /// Lowers one mount; what it reads is added to `inputs`.
    pub(super) fn mount(
        &mut self,
        state: &StageState,
        mount: &ast::Mount,
        inputs: &mut Vec<VertexId>,
    ) -> Result<Mount> {
        let wrong =
            |message: String| Box::new(Diagnostic::error("InvalidMount", mount.span.clone(), message));
        let options = self.mount_options(state, mount)?;
        let kind = options.kind.as_deref().unwrap_or("bind");
        options.check(kind).map_err(wrong)?;
        if matches!(kind, "secret" | "ssh") {
            self.take_mount(state.index, kind, &options, mount);
            let message = format!("`RUN --mount=type={kind}` is not supported by this version");
            return Err(Box::new(Diagnostic::error("UnsupportedFlag", mount.span.clone(), message)));
        }
        let target = paths::clean(&format!("/{}", paths::absolute(state.cwd(), &options.target)));
        if target == "/" {
            return Err(wrong(format!("the target of a mount cannot be `/` (`target={}`)", options.target)));
        }
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
            _ => self.bind(state, mount, &options, inputs)?,
        };
        Ok(Mount { target, source })
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

type OptionResult<T> = std::result::Result<T, (String, Option<String>)>;

impl Options {
    fn set(&mut self, key: &str, value: Option<&str>) -> OptionResult<()> {
        let text = value.unwrap_or_default();
        match key {
            "type" => self.kind = Some(one_of("mount type", text, &TYPES)?.to_owned()),
            "source" | "src" => text.clone_into(&mut self.source),
            "target" | "dst" | "destination" => text.clone_into(&mut self.target),
            "readonly" | "ro" => self.read_only = Some(switch(key, value)?),
            "readwrite" | "rw" => self.read_only = Some(!switch(key, value)?),
            "required" => self.required = switch(key, value)?,
            "id" => text.clone_into(&mut self.id),
            "sharing" => {
                self.sharing = Some(match one_of("sharing", text, &SHARING)? {
                    "private" => CacheSharing::Private,
                    "locked" => CacheSharing::Locked,
                    _ => CacheSharing::Shared,
                });
            }
            "mode" => self.mode = Some(u32::from_str_radix(text, 8).map_err(|_| invalid(key, text))?),
            "uid" => self.owner.0 = Some(text.parse().map_err(|_| invalid(key, text))?),
            "gid" => self.owner.1 = Some(text.parse().map_err(|_| invalid(key, text))?),
            "size" => self.size_bytes = Some(size(text).ok_or_else(|| invalid(key, text))?),
            "env" => self.env = Some(text.to_owned()),
            // The parser knows no other key than `from`, which is read elsewhere.
            _ => {}
        }
        Ok(())
    }

    /// Keys that the type does not have.
    fn check(&self, kind: &str) -> std::result::Result<(), String> {
        let is_secret = matches!(kind, "secret" | "ssh");
        let has_owner = is_secret || kind == "cache";
        let misplaced = [
            ("mode", self.mode.is_some() && !has_owner),
            ("uid", self.owner.0.is_some() && !has_owner),
            ("gid", self.owner.1.is_some() && !has_owner),
            ("sharing", self.sharing.is_some() && kind != "cache"),
            ("size", self.size_bytes.is_some() && kind != "tmpfs"),
            ("required", self.required && !is_secret),
            ("env", self.env.is_some() && kind != "secret"),
        ];
        match misplaced.iter().find(|(_, is_misplaced)| *is_misplaced) {
            Some((key, _)) => Err(format!("a mount of type `{kind}` has no `{key}`")),
            None => Ok(()),
        }
    }

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

fn one_of(what: &str, text: &str, known: &[&'static str]) -> OptionResult<&'static str> {
    let lower = text.to_lowercase();
    match known.iter().find(|name| **name == lower) {
        Some(name) => Ok(name),
        None => {
            let near = nearest(text, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            Err((format!("unknown {what} `{text}`"), near))
        }
    }
}

fn invalid(key: &str, text: &str) -> (String, Option<String>) {
    (format!("invalid value `{text}` for `{key}` in `--mount`"), None)
}

/// A Go boolean; the key alone means yes.
fn switch(key: &str, value: Option<&str>) -> OptionResult<bool> {
    match value {
        None | Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(true),
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(false),
        Some(other) => Err(invalid(key, other)),
    }
}

/// `64m`, `1.5GiB`, `1024`: bytes in powers of 1024.
fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        "p" | "pb" | "pib" => 1 << 50,
        _ => return None,
    };
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor),
        Err(_) => number.parse::<f64>().ok().map(|number| (number * factor as f64) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_powers_of_1024() {
        for (text, expected) in [
            ("0", Some(0)),
            ("100", Some(100)),
            ("64m", Some(64 << 20)),
            ("1.5k", Some(1536)),
            ("2 GiB", Some(2 << 30)),
            ("", None),
            ("m", None),
            ("1x", None),
            ("99999999999999p", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}
