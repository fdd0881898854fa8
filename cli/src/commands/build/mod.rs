//! `slipway build`.

mod annotation;
mod attest;
mod cache_actions;
mod cache_auto;
pub(crate) mod cache_clients;
mod cache_objects;
mod caches;
mod call;
mod destination;
mod environment;
pub(super) mod inquire;
pub(super) mod named_context;
mod reproduce;
pub(super) mod request;
mod result_files;
pub(crate) mod secret;
pub(super) mod sources;
mod squash;
pub(crate) mod ssh;

use environment::Environment;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use engine::{BuildError, BuildRequest, ContextMode, Entitlement, Network};
use image::{Platform, Reference};

use super::pull_policy::PullArg;
use super::surroundings::parse_network;
use super::target_platform::parse_platform;
use crate::arguments::Global;
use crate::build_report::ReportFiles;
use crate::console;
use crate::output::parse_age;
use crate::progress::{Mode, Ui, Warning};
use crate::registries::RegistryArgs;
use crate::report::{Exit, Report};
use crate::runtime::{Interrupted, interruptible};
use crate::store;
use annotation::AnnotationSpec;
use attest::{AttestSpec, ProvenanceSpec, SbomSpec};
use caches::{FromSpec, ToSpec};
use call::Call;
use destination::OutputSpec;
use engine::Explaining;
use engine::remote_cache::{CacheWait, TravellingMounts};
use secret::SecretSpec;
use squash::SquashArg;
use ssh::SshSpec;

/// Build an image from a Dockerfile
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway build [OPTIONS] PATH | URL | -",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway image build, slipway build, slipway builder build"
)]
pub(crate) struct Args {
    /// The build context: a directory with the files that COPY and ADD read, the URL of a git repository, of a tar or of
    /// a Dockerfile, or "-" for a tar or a Dockerfile on standard input
    #[arg(value_name = "PATH", hide = true)]
    path: PathBuf,
    /// Allow what a Dockerfile must not do by itself ("network.host", "security.insecure",
    /// "device[=NAME[,alias=ALIAS]]")
    #[arg(long, value_name = "ENTITLEMENT")]
    allow: Vec<Entitlement>,
    // An attribute, since rustdoc takes brackets for links.
    #[arg(
        help = r#"Add annotation to the image (format: "[LEVEL[,LEVEL][[PLATFORM]]:]KEY=VALUE", where LEVEL is manifest, index, manifest-descriptor or index-descriptor)"#
    )]
    #[arg(long, value_name = "ANNOTATION")]
    annotation: Vec<AnnotationSpec>,
    /// Attestation parameters (format: "type=provenance|sbom,NAME=VALUE")
    #[arg(long, value_name = "ATTESTATION")]
    attest: Vec<AttestSpec>,
    /// Set build-time variables; NAME alone takes the value of the environment
    #[arg(long, value_name = "NAME=VALUE")]
    build_arg: Vec<String>,
    // An attribute, since rustdoc takes brackets for links.
    #[arg(
        help = "Additional build contexts: a directory, docker-image://IMAGE, oci-layout://DIRECTORY[:TAG|@DIGEST], target:STAGE, or the URL of a file or a git repository"
    )]
    #[arg(long, value_name = "NAME=PATH")]
    build_context: Vec<String>,
    /// Let the environment of a CI system say which caches outside the store there are ("auto"): GitHub Actions, GitLab, Jenkins,
    /// Kubernetes, or the repository that SLIPWAY_CACHE names
    #[arg(long, value_enum, value_name = "WHICH", default_value = "none")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    cache: CacheArg,
    /// Caches outside the store to find results in: an image name, or
    /// "type=registry,ref=NAME", "type=local,src=DIR", "type=slipway,ref=NAME|src=DIR", "type=s3,bucket=NAME,region=NAME",
    /// "type=azblob,account_url=URL", "type=gcs,bucket=NAME", "type=gha"
    #[arg(long, value_name = "CACHE")]
    cache_from: Vec<FromSpec>,
    /// Which directories of "RUN --mount=type=cache" travel with caches of "type=slipway" and of object stores: none ("none"), those that
    /// are not here yet ("import"), and those that were used as well ("all")
    #[arg(long, value_enum, value_name = "WHICH", default_value = "all")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    cache_mounts: CacheMountsArg,
    /// Whether the build waits until everything is in the caches that it writes ("all"), or ends, with the caches as far as
    /// they have come ("none"). Layers are on their way while later steps run
    #[arg(long, value_enum, value_name = "WHICH", default_value = "all")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    cache_wait: CacheWaitArg,
    /// Caches outside the store to keep results in: an image name, or
    /// "type=registry,ref=NAME", "type=local,dest=DIR", "type=slipway,ref=NAME|dest=DIR", "type=inline",
    /// "type=s3,bucket=NAME,region=NAME", "type=azblob,account_url=URL", "type=gcs,bucket=NAME", "type=gha", with "mode=min|max" and more
    #[arg(long, value_name = "CACHE")]
    cache_to: Vec<ToSpec>,
    /// Run steps again whose cached result is older than this ("30m", "24h", "7d")
    #[arg(long, value_name = "DURATION", value_parser = parse_age)]
    cache_ttl: Option<Duration>,
    /// Set method for evaluating the build ("build", "check", "outline", "targets", "subrequests.describe", with ",format=json" for programs)
    #[arg(long, value_name = "METHOD", default_value = "build", hide_default_value = true)]
    call: Call,
    /// Shorthand for "--call=check"
    #[arg(long)]
    check: bool,
    /// Build twice without the cache first, and name the first file that differs. Times count when SOURCE_DATE_EPOCH is set
    #[arg(long)]
    check_reproducible: bool,
    /// Which permissions files of the build contexts have in the image: their own ("exact"), or those that git would give
    /// them ("git"), so that two checkouts with different umasks hit the same cache
    #[arg(long, value_enum, value_name = "MODE", default_value = "exact")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    context_mode: ContextModeArg,
    /// Name or URL of the Dockerfile (default: "PATH/Dockerfile"), or "-" to read it from standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write the image ID to a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Set metadata for an image
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Let the image have no more layers than this: the first ones of the build become one
    #[arg(long, value_name = "NUMBER")]
    max_layers: Option<NonZeroUsize>,
    /// Write build result metadata to a file
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Shorthand for "--output=type=docker": the image goes into the store, where it goes anyway
    #[arg(long)]
    load: bool,
    /// Set the networking mode for RUN instructions that do not say theirs ("default", "host", "none"): the default is a
    /// network of their own
    #[arg(long, value_name = "MODE", default_value = "default", hide_default_value = true)]
    #[arg(value_parser = parse_network)]
    network: Network,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Do not cache specified stages
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Output destination (format: "type=image|registry|oci|docker|tar|local|cacheonly,dest=path", "DIR", or "-" for a tar on standard output)
    #[arg(short, long, value_name = "DEST")]
    output: Vec<OutputSpec>,
    /// Set target platform for build ("local" is this machine's); with several, separated by commas, an image for each and an
    /// index over them
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',', value_parser = parse_platform)]
    platform: Vec<Platform>,
    /// Set type of progress output ("auto", "plain", "tty", "rawjson", "quiet"). Use plain to show the output of
    /// every step
    #[arg(long, value_enum, value_name = "TYPE", env = "BUILDKIT_PROGRESS", hide_env_values = true)]
    #[arg(default_value = "auto", hide_possible_values = true, overrides_with = "progress")]
    progress: Mode,
    /// Shorthand for "--attest=type=provenance": how the image was made ("true", "mode=min|max"). It leaves with the image
    #[arg(long, value_name = "PROVENANCE")]
    provenance: Option<ProvenanceSpec>,
    /// Always attempt to pull all referenced images ("missing" and "never" say otherwise)
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "missing", default_missing_value = "always", hide_default_value = true)]
    pull: PullArg,
    /// Shorthand for "--output=type=registry": push the image to the registry in its name
    #[arg(long)]
    push: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    quiet: bool,
    /// Write how the build went to a file: JSON, or a page for a browser when the name ends with ".html"
    #[arg(long, value_name = "FILE")]
    report: Vec<PathBuf>,
    /// Shorthand for "--attest=type=sbom": which packages are in the image ("true"). They leave with the image
    #[arg(long, value_name = "SBOM")]
    sbom: Option<SbomSpec>,
    /// Secret to expose to the build (format: "id=mysecret[,src=/local/secret|,env=VARIABLE]")
    #[arg(long, value_name = "SECRET")]
    secret: Vec<SecretSpec>,
    /// Make one layer of those that the build added ("new"), of all ("all"), or of those from a step on, by its number in the
    /// progress. The cache keeps the layers of the steps
    #[arg(long, value_name = "WHICH", num_args = 0..=1, require_equals = true, default_missing_value = "new")]
    squash: Option<SquashArg>,
    // An attribute, since rustdoc takes brackets for links.
    #[arg(
        help = r#"SSH agent socket or keys to expose to the build (format: "default|ID[=SOCKET|KEY[,KEY]]")"#
    )]
    #[arg(long, value_name = "SSH")]
    ssh: Vec<SshSpec>,
    /// Name and optionally a tag in the "name:tag" format
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<Reference>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    limits: super::limits::LimitArgs,
    #[command(flatten)]
    surroundings: super::surroundings::SurroundingsArgs,
    /// Write to a file what was cached, what ran and why, in Markdown. With "--cache=auto" GitHub shows the same
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Set the target build stage to build
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Write the times of the steps to a file, in the format of Chrome's trace events
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// `--cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CacheArg {
    None,
    Auto,
}

/// `--cache-mounts`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum CacheMountsArg {
    None,
    Import,
    All,
}

impl From<CacheMountsArg> for TravellingMounts {
    fn from(mounts: CacheMountsArg) -> Self {
        match mounts {
            CacheMountsArg::None => Self::None,
            CacheMountsArg::Import => Self::Import,
            CacheMountsArg::All => Self::All,
        }
    }
}

/// `--cache-wait`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum CacheWaitArg {
    None,
    All,
}

impl From<CacheWaitArg> for CacheWait {
    fn from(wait: CacheWaitArg) -> Self {
        match wait {
            CacheWaitArg::None => Self::None,
            CacheWaitArg::All => Self::All,
        }
    }
}

/// `--context-mode`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ContextModeArg {
    Exact,
    Git,
}

impl From<ContextModeArg> for ContextMode {
    fn from(mode: ContextModeArg) -> Self {
        match mode {
            ContextModeArg::Exact => Self::Exact,
            ContextModeArg::Git => Self::Git,
        }
    }
}

/// Builds an image.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let call = if args.check { Call::CHECK } else { args.call };
    if !call.is_build() {
        return call::answer(call, &request::from(args)?, global);
    }
    let mode = if args.quiet { Mode::Quiet } else { args.progress };
    let (is_quiet, files) = (args.quiet, result_files::ResultFiles::new(&args));
    let checks_first = args.check_reproducible;
    let shown = match args.cache {
        CacheArg::Auto => cache_auto::summary_file(&Environment::of_process()),
        CacheArg::None => None,
    };
    let reports = ReportFiles::new(&args.report, args.trace.as_deref())
        .with_summaries(args.summary.as_deref(), shown.as_deref());
    let settings = args.registry.clone().settings()?;
    let explaining = if mode == Mode::Quiet { Explaining::Nothing } else { Explaining::First };
    let wants_image = destination::want_image(&args.output) || args.load || args.push;
    let request = BuildRequest { reporting: reports.reporting(), explaining, ..request::from(args)? };
    // An archive on standard output has no place for anything else.
    let prints_id = is_quiet && !request.outputs.iter().any(destination::goes_to_stdout);
    files.remove_old()?;
    let engine = store::open_to_build(global, &request)?.with_registries(settings);
    if checks_first && reproduce::check(&engine, &request, mode, global)?.is_err() {
        return Ok(Exit::Interrupted);
    }
    let ui = Ui::start(mode)?;
    let result = interruptible(engine.build(request, reports.listen(ui.progress())));
    let warnings = ui.finish();
    let reported = reports.write();
    if let (Ok(Err(_)), Err(unwritten)) = (&result, &reported) {
        // What went wrong first is what is told at the end.
        console::print_error(&unwritten.text());
    }
    let outcome = match result? {
        Ok(result) => result.map_err(|error| failed(error, &warnings, global))?,
        Err(Interrupted) => return Ok(Exit::Interrupted),
    };
    if !wants_image {
        engine.forget_unnamed(&outcome)?;
    }
    reported?;
    files.write(&outcome)?;
    if mode != Mode::Rawjson {
        console::print_error(&remarks(&warnings, global));
    }
    if prints_id { console::print(&format!("{}\n", outcome.image)) } else { Ok(Exit::Success) }
}

fn failed(error: BuildError, warnings: &[Warning], global: &Global) -> Report {
    console::print_error(&remarks(warnings, global));
    Report::from(error)
}

/// Remarks about the Dockerfile, as buildx lists them.
pub(crate) fn remarks(warnings: &[Warning], global: &Global) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    let (count, found) = (warnings.len(), if warnings.len() == 1 { "warning" } else { "warnings" });
    if global.debug {
        let rendered: Vec<_> = warnings.iter().map(|warning| warning.rendered.trim_end()).collect();
        return format!("\n {count} {found} found:\n{}\n\n", rendered.join("\n\n"));
    }
    let mut text = format!("\n {count} {found} found (use slipway --debug to expand):\n");
    for Warning { rule, message, .. } in warnings {
        text += &format!(" - {rule}: {message}\n");
    }
    text + "\n"
}
