//! `slipway graph`.

use std::path::PathBuf;

use engine::Explaining;
use engine::questions::PlannedGraph;
use engine::remote_cache::RemoteCaches;
use engine::report::Reporting;
use engine::{Agents, BuildRequest, ContextMode, Entitlements, Network, NoCache, Secrets, Surroundings};
use image::{Platform, Reference};

use super::build::inquire::{Asked, ask};
use super::build::named_context::named_contexts;
use super::build::{request, sources};
use super::target_platform::parse_platform;
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};

/// How the graph is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Dot,
    Svg,
}

/// Show what a build would do, as a graph
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway graph [OPTIONS] PATH | URL | -", help_template = super::HELP)]
pub(crate) struct Args {
    /// The build context, as for "slipway build"
    #[arg(value_name = "PATH", hide = true)]
    path: PathBuf,
    /// Set build-time variables; NAME alone takes the value of the environment
    #[arg(long, value_name = "NAME=VALUE")]
    build_arg: Vec<String>,
    /// Additional build contexts, as for "slipway build"
    #[arg(long, value_name = "NAME=VALUE")]
    build_context: Vec<String>,
    /// Name or URL of the Dockerfile (default: "PATH/Dockerfile"), or "-" to read it from standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How to show it ("text", "json", "svg" for a browser, "dot" for Graphviz)
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    format: Format,
    /// Set target platform for build
    #[arg(long, value_name = "OS/ARCH", value_parser = parse_platform)]
    platform: Option<Platform>,
    /// Set the target build stage to build
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
}

/// Shows a graph.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let format = args.format;
    let request = request(args)?;
    let Ok(Asked { context, engine }) = ask(&request, global)? else { return Ok(Exit::Interrupted) };
    let graph = PlannedGraph::new(&request, &context, engine.as_ref())?;
    console::print_error(&remark(&graph.assumed));
    console::print(&match format {
        Format::Text => graph.text(),
        Format::Json => format!("{}\n", graph.json()),
        Format::Dot => graph.dot(),
        Format::Svg => graph.svg(),
    })
}

fn request(args: Args) -> Result<BuildRequest, Report> {
    let build_args = request::build_args(&args.build_arg)?;
    let (context, dockerfile) = sources::sources(&args.path, args.file)?;
    Ok(BuildRequest {
        context,
        dockerfile,
        named_contexts: named_contexts(&args.build_context)?,
        target: args.target,
        build_args,
        labels: Vec::new(),
        tags: Vec::new(),
        no_cache: NoCache::Nothing,
        cache_ttl: None,
        context_mode: ContextMode::Exact,
        reporting: Reporting::Off,
        explaining: Explaining::Nothing,
        entitlements: Entitlements::new(),
        secrets: Secrets::new(),
        agents: Agents::new(),
        squash: None,
        max_layers: None,
        provenance: None,
        sbom: false,
        platforms: args.platform.into_iter().collect(),
        pull: engine::PullPolicy::Never,
        proxy_env: request::proxy_env(),
        network: Network::default(),
        resources: engine::Resources::default(),
        surroundings: Surroundings::default(),
        caches: RemoteCaches::default(),
        outputs: Vec::new(),
    })
}

/// Says which base images are not known.
fn remark(assumed: &[Reference]) -> String {
    let line = |image: &Reference| {
        format!("note: `{}` is not in the store, what it defines is missing here\n", image.familiar())
    };
    assumed.iter().map(line).collect()
}
