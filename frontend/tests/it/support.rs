//! What a Dockerfile becomes, as text: the only caller of the crate's API among the fixture tests.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use frontend::ignore::Patterns;
use frontend::questions::{Inquiry, Source};
use frontend::{Diagnostic, Lowered, NamedContext, NoCache, Plan, PlanOptions, parse, plan, position};
use graph::{FileAction, Label, Mount, MountSource, Network, Op, Run};
use image::{ImageConfig, Platform, Reference, RunConfig};

/// One case: options, base images and a Dockerfile.
#[derive(Debug)]
pub(crate) struct Case {
    /// What the user wants.
    pub(crate) options: PlanOptions,
    /// Configs by the name of their image.
    pub(crate) bases: BTreeMap<(Reference, Platform), ImageConfig>,
    /// The ignore file.
    pub(crate) ignore: String,
    /// The text.
    pub(crate) dockerfile: String,
}

impl Case {
    /// A case for `linux/amd64`.
    pub(crate) fn new(dockerfile: &str) -> Self {
        let platform: Platform = "linux/amd64".parse().expect("a platform");
        Self {
            options: PlanOptions::new(platform),
            bases: BTreeMap::new(),
            ignore: String::new(),
            dockerfile: dockerfile.to_owned(),
        }
    }

    /// Applies one line of a fixture's options.
    pub(crate) fn set(&mut self, line: &str) {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let pair = || {
            let (name, value) = value.split_once('=').expect("name=value");
            (name.to_owned(), value.to_owned())
        };
        match key {
            "target" => self.options.target = Some(value.to_owned()),
            "build-arg" => self.options.build_args.extend([pair()]),
            "label" => self.options.labels.push(pair()),
            "no-cache" if value.is_empty() => self.options.no_cache = NoCache::Everything,
            "no-cache" => {
                self.options.no_cache = NoCache::Stages(value.split(',').map(str::to_owned).collect());
            }
            "platform" => {
                self.options.target_platform = value.parse().expect("a platform");
                self.options.asked_platform = Some(self.options.target_platform.clone());
            }
            "epoch" => {
                self.options.build_args.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert(value.to_owned());
            }
            "epoch-known" => self.options.source_date_epoch = frontend::Epoch::Known(value.parse().ok()),
            "context" => {
                let (name, image) = value.split_once('=').unwrap_or((value, ""));
                let kind = match image {
                    "" => NamedContext::Files,
                    "scratch" => NamedContext::Scratch,
                    stage if stage.starts_with("target:") => NamedContext::Stage(stage[7..].to_owned()),
                    url if url.contains("://") => {
                        let remote = frontend::remote::of_context(url).expect("a URL").expect("a good one");
                        NamedContext::Remote(remote)
                    }
                    image => NamedContext::Image(image.parse().expect("an image")),
                };
                self.options.named_contexts.insert(name.to_owned(), kind);
            }
            "base" => {
                let (name, json) = value.split_once(' ').unwrap_or((value, "{}"));
                let (name, platform) = name.split_once('@').unwrap_or((name, "linux/amd64"));
                // `image@asked@actual`: what the image is for can differ from what was asked for.
                let (platform, actual) = platform.split_once('@').unwrap_or((platform, platform));
                let platform: Platform = platform.parse().expect("a platform");
                let mut config = ImageConfig::empty(&actual.parse().expect("a platform"));
                config.config = serde_json::from_str::<RunConfig>(json).expect("a config");
                config.history =
                    vec![image::History { created_by: "base".to_owned(), ..image::History::default() }];
                self.bases.insert((name.parse().expect("an image"), platform), config);
            }
            "ignore" => self.ignore.push_str(&format!("{value}\n")),
            "network" => self.options.network = network(value),
            // What an editor would not show.
            "line-ends" if value == "crlf" => self.dockerfile = self.dockerfile.replace('\n', "\r\n"),
            "byte-order-mark" => self.dockerfile.insert(0, '\u{feff}'),
            "no-final-line-feed" => self.dockerfile.truncate(self.dockerfile.trim_end_matches('\n').len()),
            other => panic!("unknown option `{other}`"),
        }
    }

    /// Parses, plans, lowers, and shows what came out.
    pub(crate) fn show(&self) -> String {
        let parsed = parse(&self.dockerfile);
        let mut out = String::new();
        self.show_diagnostics(&parsed.diagnostics, &mut out);
        if parsed.has_errors() {
            return out;
        }
        if let Ok(Some(source)) = frontend::epoch_source(&parsed.dockerfile, &self.options) {
            let _ = writeln!(out, "epoch of {source:?}");
        }
        let result = plan(&parsed.dockerfile, &self.options).and_then(|plan| {
            self.show_diagnostics(plan.warnings(), &mut out);
            self.lower(plan)
        });
        match result {
            Ok(lowered) => {
                self.show_diagnostics(&lowered.warnings, &mut out);
                show_graph(&lowered, &self.dockerfile, &mut out);
                show_config(&lowered, &mut out);
            }
            Err(diagnostics) => self.show_diagnostics(&diagnostics, &mut out),
        }
        out
    }

    /// Lowers a plan. Images that no `base` describes have an empty config.
    pub(crate) fn lower(&self, plan: Plan) -> Result<Lowered, Vec<Diagnostic>> {
        let mut bases = self.bases.clone();
        loop {
            let missing = plan.missing_images(&bases)?;
            if missing.is_empty() {
                return plan.lower(&bases);
            }
            for image in missing {
                let config = ImageConfig::empty(&image.platform);
                bases.insert((image.reference, image.platform), config);
            }
        }
    }

    /// The Dockerfile as one that questions are asked about.
    pub(crate) fn inquiry(&self) -> Inquiry {
        let source = Source { name: "Dockerfile".to_owned(), text: self.dockerfile.clone() };
        let (patterns, _) = Patterns::parse(&self.ignore);
        Inquiry::new(source, &self.options).ignoring(Arc::new(patterns))
    }

    fn show_diagnostics(&self, diagnostics: &[Diagnostic], out: &mut String) {
        for diagnostic in diagnostics {
            let severity = if diagnostic.is_error() { "error" } else { "warning" };
            let (line, column) = position(&self.dockerfile, diagnostic.span.start);
            let marked = self.dockerfile.get(diagnostic.span.clone()).unwrap_or("<not in the text>");
            let _ = write!(
                out,
                "{severity} {} {line}:{column} {marked:?} {}",
                diagnostic.rule, diagnostic.message
            );
            if let Some(help) = &diagnostic.help {
                let _ = write!(out, " ({help})");
            }
            for (span, label) in &diagnostic.secondary {
                let (line, column) = position(&self.dockerfile, span.start);
                let _ = write!(out, " [{line}:{column} {label}]");
            }
            out.push('\n');
        }
    }
}

fn network(name: &str) -> Network {
    match name {
        "none" => Network::None,
        "host" => Network::Host,
        other => panic!("unknown network `{other}`"),
    }
}

fn show_graph(lowered: &Lowered, text: &str, out: &mut String) {
    for (id, vertex) in lowered.graph.vertices() {
        let inputs: Vec<String> = vertex.inputs.iter().map(|input| input.index().to_string()).collect();
        let inputs = if inputs.is_empty() { String::new() } else { format!("({})", inputs.join(" ")) };
        let Label { name, stage: _, location } = &vertex.label;
        let line = location.as_ref().map(|location| {
            assert_eq!(position(text, location.span.start).0, location.line as usize, "line of {name}");
            format!("line {}", location.line)
        });
        let no_cache = if vertex.no_cache { " no-cache" } else { "" };
        let _ = writeln!(out, "{}{inputs}{no_cache} {} {name}", id.index(), line.unwrap_or_default());
        show_op(&vertex.op, out);
    }
    let _ = writeln!(out, "target {}", lowered.target.index());
}

fn show_op(op: &Op, out: &mut String) {
    let _ = match op {
        Op::Scratch => writeln!(out, "  scratch"),
        Op::Image(source) => writeln!(out, "  image {} {}", source.reference, source.platform),
        Op::Context(source) => writeln!(out, "  context {}", source.name),
        Op::Http(source) => writeln!(out, "  {source:?}"),
        Op::Git(source) => writeln!(out, "  {source:?}"),
        Op::Run(run) => return show_run(run, out),
        Op::File(file) => return file.actions.iter().for_each(|action| show_action(action, out)),
    };
}

fn show_run(run: &Run, out: &mut String) {
    let Run {
        argv,
        env,
        // All of them are shown as variables.
        build_args: _,
        proxy_env,
        cwd,
        user,
        network,
        security,
        mounts,
        secret_env,
        devices,
        hostname,
        surroundings,
        // Instructions do not say these.
        exit_codes: _,
        read_only_root: _,
        kept: _,
    } = run;
    let _ = writeln!(out, "  run {argv:?} in {cwd}{}", prefixed(" as ", user));
    let env: Vec<_> = env
        .iter()
        .filter(|(name, _)| name != "PATH")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if !env.is_empty() {
        let _ = writeln!(out, "    env {env:?}");
    }
    if !proxy_env.is_empty() {
        let _ = writeln!(out, "    proxy {proxy_env:?}");
    }
    if *network != Network::Default {
        let _ = writeln!(out, "    network {network:?}");
    }
    if *security != graph::Security::Sandbox {
        let _ = writeln!(out, "    security {security:?}");
    }
    if let Some(hostname) = hostname {
        let _ = writeln!(out, "    hostname {hostname}");
    }
    if *surroundings != graph::Surroundings::default() {
        let _ = writeln!(out, "    {surroundings:?}");
    }
    for Mount { target, source } in mounts {
        let _ = match source {
            MountSource::Input { input, path, read_only } => {
                let mode = if *read_only { "ro" } else { "rw" };
                writeln!(out, "    mount {target} input {input} {path} {mode}")
            }
            other => writeln!(out, "    mount {target} {other:?}"),
        };
    }
    for device in devices {
        let _ = writeln!(out, "    {device:?}");
    }
    for secret in secret_env {
        let _ = writeln!(out, "    {secret:?}");
    }
}

fn prefixed(prefix: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{prefix}{text}") }
}

fn show_action(action: &FileAction, out: &mut String) {
    let owned = |owner: &Option<String>| prefixed(" owner ", owner.as_deref().unwrap_or_default());
    let _ = match action {
        FileAction::Copy(copy) => {
            let graph::Copy {
                input,
                sources,
                destination,
                owner,
                mode,
                exclude,
                parents,
                link,
                unpack,
                // No instruction says them.
                rules: _,
            } = copy;
            let mut flags = owned(owner);
            flags.push_str(&prefixed(" mode ", mode.as_deref().unwrap_or_default()));
            if !exclude.is_empty() {
                let _ = write!(flags, " exclude {exclude:?}");
            }
            for (is_set, name) in [(parents, " parents"), (link, " link"), (unpack, " unpack")] {
                flags.push_str(if *is_set { name } else { "" });
            }
            writeln!(out, "  copy {input} {sources:?} to {destination}{flags}")
        }
        FileAction::MakeDirectory(directory) => {
            writeln!(out, "  mkdir {} {:o}{}", directory.path, directory.mode, owned(&directory.owner))
        }
        FileAction::MakeFile(file) => {
            let content = String::from_utf8_lossy(&file.content);
            writeln!(out, "  mkfile {} {:o}{} {content:?}", file.path, file.mode, owned(&file.owner))
        }
        other => writeln!(out, "  {other:?}"),
    };
}

fn show_config(lowered: &Lowered, out: &mut String) {
    let mut config = lowered.config.clone();
    config.config.env.retain(|pair| *pair != DEFAULT_PATH);
    let _ = writeln!(out, "config {}", serde_json::to_string(&config.config).expect("configs are JSON"));
    if config.platform().to_string() != "linux/amd64" {
        let _ = writeln!(out, "platform {}", config.platform());
    }
    if !config.author.is_empty() {
        let _ = writeln!(out, "author {}", config.author);
    }
    let ours = config.history.len() - lowered.history_vertices.len();
    assert!(config.history[..ours].iter().all(|entry| entry.created_by == "base"));
    for (entry, vertex) in config.history[ours..].iter().zip(&lowered.history_vertices) {
        assert_eq!(entry.empty_layer, vertex.is_none());
        assert_eq!(entry.comment, "buildkit.dockerfile.v0");
        let vertex = vertex.map_or("-".to_owned(), |vertex| vertex.index().to_string());
        let _ = writeln!(out, "history {vertex} {:?}", entry.created_by);
    }
}

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
