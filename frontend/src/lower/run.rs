//! `RUN`.

use graph::{
    File, FileAction, Location, MakeFile, Mount, MountSource, Network, Op, Security, Vertex, VertexId,
};

use super::mounts::Surroundings;
use super::stage::StageState;
use super::{Lowering, config, devices, display, internal, paths};
use crate::ast::{CommandLine, Instruction, Run};
use crate::diagnostic::Diagnostic;
use crate::environment::Variables;
use crate::plan::NoCache;
use crate::syntax::tokens;

/// Where a here-document with an interpreter of its own is mounted.
const DOCUMENTS_DIRECTORY: &str = "/dev/pipes";

/// Build arguments that reach processes without being declared.
const PROXY_NAMES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// Whether a build argument is the setting of a proxy, which may have a password in it: it reaches processes, and nothing that
/// leaves the machine.
pub fn is_proxy_setting(name: &str) -> bool {
    PROXY_NAMES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
}

/// Where ssh(1) looks for the socket of its agent.
const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK";

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// The command of a `RUN` with its here-documents worked in.
struct Command {
    argv: Vec<String>,
    /// The text that the step's name shows beside the command.
    shown: Option<String>,
    /// A file to mount and start.
    script: Option<(String, String)>,
}

impl Lowering<'_> {
    pub(super) fn run(&mut self, state: &mut StageState, instruction: &Instruction, run: &Run) -> Result<()> {
        let command = command(state, run);
        // BuildKit says so only when the step is to run: a check and stages that nobody needs may have it.
        if command.argv.is_empty() && !self.purpose.is_question() {
            let found =
                Diagnostic::error("MissingArgument", instruction.span.clone(), "`RUN` without a command");
            return Err(Box::new(found.with_buildkit("arguments are required")));
        }
        let size_bytes: usize = command.argv.iter().map(String::len).sum();
        self.spend(2 * size_bytes + instruction.code.len() + state.env.size_bytes(), &instruction.span)?;
        let location = Some(Location { span: instruction.span.clone(), line: instruction.line });
        let mut surroundings = Surroundings { location, inputs: vec![state.tip], ..Surroundings::default() };
        if let Some((name, content)) = command.script {
            let document = self.document(&name, content.into_bytes(), 0o755);
            surroundings.mounts.push(Mount {
                target: DOCUMENTS_DIRECTORY.to_owned(),
                source: MountSource::Input {
                    input: surroundings.inputs.len(),
                    path: "/".to_owned(),
                    read_only: true,
                },
            });
            surroundings.inputs.push(document);
        }
        for mount in &run.mounts {
            self.mount(state, mount, &mut surroundings)?;
        }
        let Surroundings { location: _, inputs, mounts, secret_env, agents } = surroundings;
        let name = display::run_name(
            self.plan.escape,
            state,
            &instruction.code,
            command.shown.as_deref(),
            &secret_env,
        );
        let op = Op::Run(graph::Run {
            argv: command.argv.clone(),
            env: environment(state, &agents),
            build_args: build_args(state),
            proxy_env: self.proxy_env(),
            cwd: paths::clean(&state.cwd()),
            user: state.config.config.user.clone(),
            network: self.network(run),
            security: security(run),
            mounts,
            secret_env,
            surroundings: self.plan.options.surroundings.clone(),
            devices: devices::lower(&run.devices)?,
            hostname: self.plan.hostname.clone(),
            ..graph::Run::default()
        });
        let vertex = self.step(state, op, inputs, &name, instruction);
        state.record(format!("RUN {} # buildkit", created_by(state, &command.argv)), Some(vertex));
        Ok(())
    }

    /// A file system that holds one file.
    pub(super) fn document(&mut self, name: &str, content: Vec<u8>, mode: u32) -> VertexId {
        let scratch = self.scratch();
        let file = MakeFile { path: format!("/{name}"), mode, owner: None, content, mtime_ns: None };
        self.graph.add(Vertex {
            op: Op::File(File { actions: vec![FileAction::MakeFile(file)] }),
            inputs: vec![scratch],
            label: internal("preparing inline document"),
            no_cache: self.plan.options.no_cache == NoCache::Everything,
        })
    }

    fn network(&self, run: &Run) -> Network {
        match run.network.as_ref().map(|network| network.value.as_str()) {
            Some("none") => Network::None,
            Some("host") => Network::Host,
            // The parser knows no other word than `default`.
            Some(_) | None => self.plan.options.network,
        }
    }

    /// Proxy settings under both of their names, as programs look for either.
    fn proxy_env(&self) -> Vec<(String, String)> {
        let given = |name: &str| {
            let args = &self.plan.options.build_args;
            args.iter().rfind(|(arg, _)| arg.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        let both = |name: &str| {
            let value = given(name)?;
            Some([(name.to_uppercase(), value.clone()), (name.to_owned(), value)])
        };
        PROXY_NAMES.iter().filter_map(|name| both(name)).flatten().collect()
    }
}

/// The variables that the image will not have. It gets a `PATH` where it has none.
fn build_args(state: &StageState) -> Vec<String> {
    let is_arg = |name: &&str| *name != "PATH" && state.image_env.get(name).is_none();
    state.env.names().filter(is_arg).map(str::to_owned).collect()
}

/// What the process sees of the stage's variables. Programs find the first agent by one, as in BuildKit.
fn environment(state: &StageState, agents: &[String]) -> Vec<(String, String)> {
    let mut env = state.env.pairs_by_age();
    if let Some(first) = agents.first()
        && state.env.get(AGENT_VARIABLE).is_none()
    {
        env.push((AGENT_VARIABLE.to_owned(), first.clone()));
    }
    env
}

fn security(run: &Run) -> Security {
    match run.security.as_ref().map(|security| security.value.as_str()) {
        Some("insecure") => Security::Insecure,
        // The parser knows no other word than `sandbox`.
        Some(_) | None => Security::Sandbox,
    }
}

fn command(state: &StageState, run: &Run) -> Command {
    let line = match (&run.command, &run.documents[..]) {
        (CommandLine::Shell(line), [_, ..]) => &line.value,
        (command, _) => {
            return Command { argv: config::argv(state, command), shown: None, script: None };
        }
    };
    match &run.documents[..] {
        [document] if tokens::marker(line).is_some() => {
            let text = document.text();
            let shown = Some(document.content.clone());
            if text.starts_with("#!") && !state.is_windows() {
                // The shell starts the program that the first line names, as in BuildKit.
                let argv = config::with_shell(state, &format!("{DOCUMENTS_DIRECTORY}/{}", document.name));
                return Command { argv, shown, script: Some((document.name.clone(), text)) };
            }
            Command { argv: config::with_shell(state, &text), shown, script: None }
        }
        documents => {
            // The shell reads them itself.
            let mut script = line.clone();
            for document in documents {
                script.push('\n');
                script.push_str(&document.content);
                script.push_str(&document.name);
            }
            Command { argv: config::with_shell(state, &script), shown: None, script: None }
        }
    }
}

/// `|2 A=1 B=2 /bin/sh -c make`: the arguments in scope, then the command.
fn created_by(state: &StageState, argv: &[String]) -> String {
    let mut parts = Vec::with_capacity(state.args.len() + argv.len() + 1);
    if !state.args.is_empty() {
        parts.push(format!("|{}", state.args.len()));
    }
    for (name, value) in &state.args {
        let value = state.env.get(name).or(value.as_deref()).unwrap_or_default();
        parts.push(format!("{name}={value}"));
    }
    parts.extend(argv.iter().cloned());
    parts.join(" ")
}
