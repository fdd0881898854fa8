//! `gateway.v0`: frontends of others, from images. Each runs in a sandbox, and talks with us over its standard streams.
//!
//! The connection is for one build alone: whoever runs there can solve, look at what it has solved and return one of its
//! results, with what the build itself may do, and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::rc::Rc;
use std::sync::Arc;

use engine::operations::Network;
use engine::{Attended, AttendedExit, PullPolicy, Stream, TakeOutput, default_platform};
use image::{ImageConfig, Reference};
use prost::Message as _;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tonic::Status;

use crate::Daemon;
use crate::bridge::Returned;
use crate::builds::Build;
use crate::control::{COMMAND_LINE, SYNTAX, worker_json};
use crate::failure::{self, chain};
use crate::feed::OwnStep;
use crate::proto::pb::{Definition, Input, Op, SourceOp, op};
use crate::run::{self, Defined, Leaving};
use crate::server;
use crate::session::Session;
use crate::session::tunnel::PIPE_BYTES;

/// What an image runs as a frontend that does not say it.
const ENTRY_POINT: &str = "/run";
const PATH: (&str, &str) = ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
/// The label of a frontend that does without the network.
const NO_NETWORK: &str = "moby.buildkit.frontend.network.none";
/// Pieces of output that wait to be read.
const PIECES_WAITING_MAX: usize = 16;

/// What a frontend is asked for.
pub(crate) struct Wish<'a> {
    /// The name of its image.
    pub(crate) source: &'a str,
    pub(crate) attributes: &'a HashMap<String, String>,
    pub(crate) inputs: HashMap<String, Definition>,
}

/// Runs a frontend until it has ended; what it returned.
pub(crate) async fn run(
    daemon: &Rc<Daemon>,
    session: Option<&Arc<Session>>,
    wish: Wish<'_>,
    build: &Arc<Build>,
) -> Result<Returned, Status> {
    let not_a_name =
        |_| Status::invalid_argument(format!("the frontend `{}` is no name of an image", wish.source));
    let reference: Reference = wish.source.parse().map_err(not_a_name)?;
    let entitlements = run::entitlements(daemon, &build.about.entitlements)?;
    let definition = of_image(&reference);
    let defined = Defined { definition: &definition, entitlements, imports: Vec::new() };
    let prepared = run::prepare_definition(daemon, session, defined, &build.feed).await?;
    let engine = prepared.engine(daemon)?;
    let built = prepared.build(&engine, Leaving::default(), &build.feed).await?;
    let config = engine.image_config(&reference, &default_platform(), PullPolicy::Missing).await;
    let (_, config) = config.map_err(|error| failure::status(&error, None, &build.feed))?;
    let frontend = daemon.builds.begin_frontend(build, wish.inputs);
    let step = Arc::new(build.feed.begin(&format!("running the frontend {}", reference.familiar())));
    let ended = {
        let process =
            process(daemon, &reference, (config, built.image), wish.attributes, &build.about.session);
        let (theirs, ours) = StdStream::pair().map_err(|error| Status::internal(error.to_string()))?;
        let (bring, brought) = mpsc::channel(PIECES_WAITING_MAX);
        let running = engine.attend(process, theirs.into(), take(bring, step.clone()));
        let talking = talk(daemon, &frontend.build, ours, brought);
        tokio::pin!(running, talking);
        tokio::select! {
            ended = &mut running => ended,
            // It closes its output, and ends then.
            _ = &mut talking => running.await,
        }
    };
    let returned = frontend.build.bridge.returned_so_far();
    let failed = match (ended, &returned) {
        (Err(error), _) => Some(chain(&error)),
        (Ok(AttendedExit::Code(0)), None) => Some("it ended without a result".to_owned()),
        (Ok(AttendedExit::Code(code)), None) => Some(format!("exit code: {code}")),
        (Ok(AttendedExit::Killed), None) => Some("it was killed".to_owned()),
        (Ok(_), Some(_)) => None,
    };
    step.end(failed.clone());
    if let Err(error) = engine.forget_unnamed(&built) {
        tracing::debug!(%error, "cannot take the image of a frontend away");
    }
    match (failed, returned) {
        (None, Some(returned)) => Ok(returned),
        (failed, _) => {
            let why = failed.unwrap_or_default();
            Err(Status::unknown(format!("frontend {} did not complete successfully: {why}", wish.source)))
        }
    }
}

/// The definition of an image alone.
fn of_image(reference: &Reference) -> Definition {
    let source = SourceOp { identifier: format!("docker-image://{reference}"), ..SourceOp::default() };
    let source = Op { op: Some(op::Op::Source(source)), ..Op::default() }.encode_to_vec();
    let digest = image::Digest::of(&source).to_string();
    let end = Op { inputs: vec![Input { digest, index: 0 }], ..Op::default() }.encode_to_vec();
    Definition { def: vec![source, end], ..Definition::default() }
}

fn process(
    daemon: &Daemon,
    reference: &Reference,
    (config, image): (ImageConfig, image::ImageId),
    attributes: &HashMap<String, String>,
    session: &str,
) -> Attended {
    let run = config.config;
    let pair = |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut env: Vec<(String, String)> = run.env.iter().filter_map(pair).collect();
    if !env.iter().any(|(name, _)| name == PATH.0) {
        env.push((PATH.0.to_owned(), PATH.1.to_owned()));
    }
    env.push(("BUILDKIT_SESSION_ID".to_owned(), session.to_owned()));
    env.push(("BUILDKIT_WORKERS".to_owned(), worker_json(daemon)));
    env.push(("BUILDKIT_EXPORTEDPRODUCT".to_owned(), String::new()));
    let mut sorted: BTreeMap<&str, &str> =
        attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if let Some(words) = attributes.get(SYNTAX) {
        sorted.entry(COMMAND_LINE).or_insert(words);
    }
    for (number, (name, value)) in sorted.into_iter().enumerate() {
        env.push((format!("BUILDKIT_FRONTEND_OPT_{number}"), format!("{name}={value}")));
    }
    let is_on = |value: &String| crate::form::is_true(value).unwrap_or(false);
    let has_network = !run.labels.get(NO_NETWORK).is_some_and(is_on);
    let words = run.entrypoint.filter(|words| !words.is_empty());
    let argv = words.unwrap_or_else(|| vec![ENTRY_POINT.to_owned()]);
    Attended {
        env,
        cwd: if run.working_dir.is_empty() { "/".to_owned() } else { run.working_dir },
        user: run.user,
        network: if has_network { Network::Default } else { Network::None },
        ..Attended::new(format!("frontend {}", reference.familiar()), image, argv)
    }
}

/// What it writes to standard output goes to us, what it says beside that to people.
fn take(bring: mpsc::Sender<Vec<u8>>, step: Arc<OwnStep>) -> TakeOutput {
    Box::new(move |stream, bytes| match stream {
        // When nobody reads any more, it is told by the end of its input.
        Stream::Stdout => drop(bring.blocking_send(bytes.to_vec())),
        Stream::Stderr => step.said(bytes),
    })
}

/// Answers its calls until it closes its output.
async fn talk(
    daemon: &Rc<Daemon>,
    frontend: &Arc<Build>,
    stdin: StdStream,
    mut brought: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    stdin.set_nonblocking(true)?;
    let mut stdin = UnixStream::from_std(stdin)?;
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let (mut read, mut write): (_, tokio::io::WriteHalf<DuplexStream>) = tokio::io::split(theirs);
    let hears = async move {
        while let Some(bytes) = brought.recv().await {
            write.write_all(&bytes).await?;
        }
        write.shutdown().await
    };
    let speaks = async move {
        tokio::io::copy(&mut read, &mut stdin).await?;
        stdin.shutdown().await
    };
    let serving = server::serve_frontend(daemon.clone(), frontend.clone(), ours);
    let (heard, spoken, ()) = tokio::join!(hears, speaks, serving);
    heard.and(spoken)
}
