//! Instructions that change the config only, and `WORKDIR`.

use graph::{File, FileAction, MakeDirectory, Op};
use serde_json::Value;

use super::stage::StageState;
use super::{Lowering, display, golang, paths, ports, signal, windows};
use crate::ast::{CommandLine, Healthcheck, Instruction, Onbuild, Pair, Word};
use crate::diagnostic::Diagnostic;
use crate::lint;
use crate::syntax::EMPTY_VOLUME;

/// The shell of images that name none.
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The same for images of Windows.
const WINDOWS_SHELL: [&str; 3] = ["cmd", "/S", "/C"];

/// Mode of a directory that `WORKDIR` makes.
const DIRECTORY_MODE: u32 = 0o755;

/// What an exposed port takes in memory, about.
const PORT_BYTES: usize = 100;

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// Go marks membership in a set by an empty object.
fn present() -> Value {
    Value::Object(serde_json::Map::new())
}

/// The arguments of a command; the shell form goes through the image's shell.
pub(super) fn argv(state: &StageState, command: &CommandLine) -> Vec<String> {
    match command {
        CommandLine::Exec(argv) => argv.clone(),
        CommandLine::Shell(line) => with_shell(state, &line.value),
    }
}

/// A line for the image's shell.
pub(super) fn with_shell(state: &StageState, line: &str) -> Vec<String> {
    let shell = state.config.config.shell.clone().filter(|shell| !shell.is_empty());
    let usual: &[&str] = if state.is_windows() { &WINDOWS_SHELL } else { &DEFAULT_SHELL };
    let mut argv = shell.unwrap_or_else(|| usual.iter().map(|&word| word.to_owned()).collect());
    argv.push(line.to_owned());
    argv
}

impl Lowering<'_> {
    pub(super) fn cmd(&mut self, state: &mut StageState, command: &CommandLine) -> Result<()> {
        let argv = argv(state, command);
        state.record(format!("CMD {}", golang::quoted_list(&argv)), None);
        state.config.config.cmd = Some(argv).filter(|argv| !argv.is_empty());
        state.config.config.args_escaped = true;
        state.has_cmd = true;
        Ok(())
    }

    pub(super) fn entrypoint(&mut self, state: &mut StageState, command: &CommandLine) -> Result<()> {
        let argv = argv(state, command);
        state.record(format!("ENTRYPOINT {}", golang::quoted_list(&argv)), None);
        state.config.config.entrypoint = Some(argv).filter(|argv| !argv.is_empty());
        if !state.has_cmd {
            // The base's arguments were meant for the base's entry point.
            state.config.config.cmd = None;
        }
        Ok(())
    }

    pub(super) fn expose(&mut self, state: &mut StageState, words: &[Word]) -> Result<()> {
        let mut exposed = Vec::new();
        for word in words {
            let expander = self.plan.expander();
            // What has no value is not told, as in BuildKit.
            let texts = self.expand_silently(expander, state, &word.value, &word.span)?.words;
            for text in texts {
                let casing = lint::expose_proto_casing(&text, &word.span);
                let format = lint::expose_invalid_format(&text, &word.span);
                casing.into_iter().chain(format).for_each(|finding| self.diagnostics.push(finding));
                let ports = ports::expose(&text).map_err(|error| {
                    let found = Diagnostic::error("InvalidPort", word.span.clone(), error.to_string());
                    Box::new(found.with_buildkit(error.buildkit(&text)))
                })?;
                self.spend(ports.len() * PORT_BYTES, &word.span)?;
                exposed.extend(ports);
            }
        }
        state.record(format!("EXPOSE {}", golang::list(&exposed)), None);
        state.config.config.exposed_ports.extend(exposed.into_iter().map(|port| (port, present())));
        Ok(())
    }

    pub(super) fn healthcheck(&mut self, state: &mut StageState, check: &Healthcheck) -> Result<()> {
        let check = image::Healthcheck {
            test: check.test.clone(),
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: check.retries,
        };
        state.record(format!("HEALTHCHECK {}", golang::healthcheck(&check)), None);
        state.config.config.healthcheck = Some(check);
        Ok(())
    }

    pub(super) fn label(&mut self, state: &mut StageState, pairs: &[Pair]) -> Result<()> {
        let pairs = self.expand_pairs(state, pairs)?;
        let mut created_by = "LABEL".to_owned();
        for (name, value) in pairs {
            created_by.push_str(&format!(" {name}={value}"));
            state.config.config.labels.insert(name, value);
        }
        state.record(created_by, None);
        Ok(())
    }

    pub(super) fn maintainer(&mut self, state: &mut StageState, name: &Word) -> Result<()> {
        state.config.author.clone_from(&name.value);
        state.record(format!("MAINTAINER {}", name.value), None);
        Ok(())
    }

    pub(super) fn onbuild(&mut self, state: &mut StageState, onbuild: &Onbuild) -> Result<()> {
        state.config.config.on_build.push(onbuild.trigger.clone());
        Ok(())
    }

    pub(super) fn shell(&mut self, state: &mut StageState, argv: &[String]) -> Result<()> {
        state.record(format!("SHELL {}", golang::list(argv)), None);
        state.config.config.shell = Some(argv.to_vec());
        Ok(())
    }

    pub(super) fn stopsignal(&mut self, state: &mut StageState, word: &Word) -> Result<()> {
        let text = self.expand(state, word)?;
        if !signal::is_signal(&text) {
            let message = format!("unknown signal `{text}`");
            let help = signal::near(&text).map(|near| format!("did you mean `{near}`?"));
            let diagnostic = Diagnostic::error("InvalidSignal", word.span.clone(), message)
                .with_buildkit(format!("invalid signal: {text}"));
            return Err(Box::new(diagnostic.with_help(help)));
        }
        state.record(format!("STOPSIGNAL {text}"), None);
        state.config.config.stop_signal = text;
        Ok(())
    }

    pub(super) fn user(&mut self, state: &mut StageState, word: &Word) -> Result<()> {
        let user = self.expand(state, word)?;
        state.record(format!("USER {user}"), None);
        state.config.config.user = user;
        Ok(())
    }

    pub(super) fn volume(&mut self, state: &mut StageState, words: &[Word]) -> Result<()> {
        let volumes = self.expand_all(state, words)?;
        if let Some(at) = volumes.iter().position(String::is_empty) {
            let message = format!("the volume `{}` is empty", words[at].value);
            let found = Diagnostic::error("EmptyVolume", words[at].span.clone(), message);
            return Err(Box::new(found.with_buildkit(EMPTY_VOLUME)));
        }
        state.record(format!("VOLUME {}", golang::list(&volumes)), None);
        state.config.config.volumes.extend(volumes.into_iter().map(|volume| (volume, present())));
        Ok(())
    }

    pub(super) fn workdir(
        &mut self,
        state: &mut StageState,
        instruction: &Instruction,
        word: &Word,
    ) -> Result<()> {
        let written = self.expand(state, word)?;
        let path = state.path(&written).map_err(|error| error.at(&word.span))?;
        // The value of a variable of a base that is not known can be anything.
        let is_unsure = state.base_is_unknown && word.value.contains('$');
        if !state.has_workdir && !path.starts_with('/') && !is_unsure {
            self.diagnostics.push(lint::workdir_relative_path(word, &written));
        }
        state.has_workdir = true;
        let directory = paths::absolute(&state.cwd(), &path);
        let created_by = format!("WORKDIR {directory}");
        state.config.config.working_dir = match state.is_windows() {
            true => windows::with_backslashes(&directory),
            false => directory.clone(),
        };
        if directory == "/" {
            state.record(created_by, None);
            return Ok(());
        }
        let user = &state.config.config.user;
        let make = MakeDirectory {
            path: paths::clean(&directory),
            mode: DIRECTORY_MODE,
            owner: (!user.is_empty()).then(|| user.clone()),
            mtime_ns: None,
        };
        let op = Op::File(File { actions: vec![FileAction::MakeDirectory(make)] });
        let name = display::name(self.plan.expander(), state, &instruction.code);
        let inputs = vec![state.tip];
        let vertex = self.step(state, op, inputs, &name, instruction);
        state.record(created_by, Some(vertex));
        Ok(())
    }
}
