//! A frontend for the tests of the daemon: it runs in an image, and talks with the daemon over its standard streams as
//! frontends of BuildKit do.
//!
//! It builds what its option `script` says on the image that its option `base` names, looks at the result, and returns it with
//! a config. What it finds out it says on standard error.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::task::{Context, Poll};

use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    ExecMessage, FdMessage, FileRange, InitMessage, InputsRequest, InputsResponse, NewContainerRequest,
    NewContainerResponse, PingRequest, PongResponse, ReadDirRequest, ReadDirResponse, ReadFileRequest,
    ReadFileResponse, Ref, ReleaseContainerRequest, ReleaseContainerResponse, ResolveImageConfigRequest,
    ResolveImageConfigResponse, ResolveSourceMetaRequest, ResolveSourceMetaResponse, Result as Answer,
    ReturnRequest, ReturnResponse, SignalMessage, SolveRequest, SolveResponse, StatFileRequest,
    StatFileResponse, WarnRequest, WarnResponse, exec_message, result,
};
use bollard_buildkit_proto::moby::buildkit::v1::{InfoRequest, InfoResponse};
use bollard_buildkit_proto::pb::{
    Definition, ExecOp, HostIp, Input, Meta, Mount, MountType, NetMode, Op, SecurityMode, SourceOp, op,
};
use http::Uri;
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use image::Digest;
use prost::Message;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;

/// Where the image puts its standard output: what runs tests writes there as well.
const OUTPUT: &str = "/proc/self/fd/3";
const GATEWAY: &str = "/moby.buildkit.v1.frontend.LLBBridge";

/// Makes calls on the connection.
#[derive(Clone)]
struct Caller(SendRequest<Body>);

impl Service<http::Request<Body>> for Caller {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

impl Caller {
    async fn ask<Q, A>(&self, method: &str, message: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = Grpc::with_origin(self.clone(), Uri::from_static("http://localhost"));
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let path: PathAndQuery = method.parse().map_err(|_| Status::internal("no path"))?;
        let codec = ProstCodec::<Q, A>::default();
        grpc.unary(Request::new(message), path, codec).await.map(tonic::Response::into_inner)
    }

    /// What a process in a container says until it is done.
    async fn execute(&self, messages: Vec<ExecMessage>) -> Result<Vec<exec_message::Input>, Status> {
        let mut grpc = Grpc::with_origin(self.clone(), Uri::from_static("http://localhost"));
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let path: PathAndQuery =
            format!("{GATEWAY}/ExecProcess").parse().map_err(|_| Status::internal("no path"))?;
        let codec = ProstCodec::<ExecMessage, ExecMessage>::default();
        let (send, mut rest) = tokio::sync::mpsc::unbounded_channel();
        let (first, more) = messages.split_first().expect("a process begins");
        send.send(first.clone()).expect("it is open");
        let leaving = futures_util::stream::poll_fn(move |context| rest.poll_recv(context));
        let mut arriving = grpc.streaming(Request::new(leaving), path, codec).await?.into_inner();
        let mut said = Vec::new();
        while let Some(message) = arriving.message().await? {
            let input = message.input.ok_or_else(|| Status::internal("nothing is said"))?;
            if matches!(input, exec_message::Input::Started(_)) {
                more.iter().for_each(|message| drop(send.send(message.clone())));
            }
            let is_done = matches!(input, exec_message::Input::Done(_));
            said.push(input);
            if is_done {
                break;
            }
        }
        Ok(said)
    }

    async fn call<Q, A>(&self, method: &str, message: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        self.ask(&format!("{GATEWAY}/{method}"), message).await
    }
}

/// What the daemon was asked for, from the environment.
fn options() -> HashMap<String, String> {
    let given = std::env::vars().filter(|(name, _)| name.starts_with("BUILDKIT_FRONTEND_OPT_"));
    given
        .filter_map(|(_, pair)| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

/// A script on an image, or on an input of this frontend.
fn definition(base: &str, input: Option<&Definition>, script: &str) -> Definition {
    let (mut def, root) = match input {
        Some(given) => {
            let (end, rest) = given.def.split_last().expect("a definition has an end");
            let root = Op::decode(end.as_slice()).expect("an operation").inputs.remove(0);
            (rest.to_vec(), root)
        }
        None => {
            let source = SourceOp { identifier: format!("docker-image://{base}"), attrs: BTreeMap::new() };
            let source = Op { op: Some(op::Op::Source(source)), ..Op::default() }.encode_to_vec();
            let digest = Digest::of(&source).to_string();
            (vec![source], Input { digest, index: 0 })
        }
    };
    let args = ["/bin/sh", "-ec", script].map(str::to_owned).to_vec();
    let exec = ExecOp {
        meta: Some(Meta { args, cwd: "/".to_owned(), ..Meta::default() }),
        mounts: vec![Mount { dest: "/".to_owned(), ..Mount::default() }],
        ..ExecOp::default()
    };
    let exec = Op { inputs: vec![root], op: Some(op::Op::Exec(exec)), ..Op::default() }.encode_to_vec();
    let end = Op { inputs: vec![Input { digest: Digest::of(&exec).to_string(), index: 0 }], ..Op::default() };
    def.extend([exec, end.encode_to_vec()]);
    Definition { def, ..Definition::default() }
}

/// What the daemon knows of a source.
async fn source(daemon: &Caller, identifier: &str, full_url: &str) -> Result<String, Status> {
    let is_git = identifier.starts_with("git://");
    let attrs = is_git.then(|| ("git.fullurl".to_owned(), full_url.to_owned())).into_iter().collect();
    let source = Some(SourceOp { identifier: identifier.to_owned(), attrs });
    let wanted = ResolveSourceMetaRequest { source, ..ResolveSourceMetaRequest::default() };
    let found: ResolveSourceMetaResponse = daemon.call("ResolveSourceMeta", wanted).await?;
    Ok(match (found.image, found.git, found.http) {
        (Some(image), _, _) => format!("image {} {}", !image.digest.is_empty(), !image.config.is_empty()),
        (_, Some(git), _) => format!("git {} {} {}", git.checksum, git.r#ref, git.commit_checksum),
        (_, _, Some(http)) => format!("http {} {}", http.checksum, http.filename),
        _ => format!("nothing of {identifier}"),
    })
}

fn message(input: exec_message::Input) -> ExecMessage {
    ExecMessage { process_id: "p".to_owned(), input: Some(input) }
}

/// A process in a container.
fn init(container: &str, script: &str, security: SecurityMode) -> ExecMessage {
    let args = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let meta = Meta { args, env: vec!["WHO=me".to_owned()], cwd: "/mem".to_owned(), ..Meta::default() };
    message(exec_message::Input::Init(InitMessage {
        container_id: container.to_owned(),
        meta: Some(meta),
        fds: vec![0, 1, 2],
        security: security as i32,
        ..InitMessage::default()
    }))
}

/// How a process went, in one line: `!` is its start, `.` the end of a stream.
fn told(said: &[exec_message::Input]) -> String {
    let (mut text, mut written) = (String::new(), [String::new(), String::new()]);
    for input in said {
        match input {
            exec_message::Input::Started(_) => text += "!",
            exec_message::Input::File(data) if data.eof => text += ".",
            exec_message::Input::File(data) => {
                assert!(text.starts_with('!'), "it writes before it begins");
                let line = String::from_utf8_lossy(&data.data).replace('\n', ";");
                written[usize::from(data.fd == 2)] += &line;
            }
            exec_message::Input::Exit(exit) => {
                let error = exit.error.as_ref().map(|error| error.message.as_str()).unwrap_or_default();
                text += &format!(" {} {error}", exit.code);
            }
            _ => text += " done",
        }
    }
    format!("{text} {}", written.join(" "))
}

/// Runs processes on a result.
async fn contain(daemon: &Caller, result: &str, script: &str) -> Result<(), Status> {
    let root = Mount { dest: "/".to_owned(), result_id: result.to_owned(), ..Mount::default() };
    let again = Mount { dest: "/again".to_owned(), readonly: true, ..root.clone() };
    let memory = Mount { dest: "/mem".to_owned(), mount_type: MountType::Tmpfs as i32, ..Mount::default() };
    let wanted = |id: &str, network: NetMode| NewContainerRequest {
        container_id: id.to_owned(),
        mounts: vec![root.clone(), again.clone(), memory.clone()],
        network: network as i32,
        extra_hosts: vec![HostIp { host: "db".to_owned(), ip: "10.9.8.7".to_owned() }],
        ..NewContainerRequest::default()
    };
    let host = daemon.call::<_, NewContainerResponse>("NewContainer", wanted("h", NetMode::Host)).await;
    eprintln!("host {}", host.map_err(|status| status.message().to_owned()).err().unwrap_or_default());
    for id in ["one", "two", "three"] {
        let _: NewContainerResponse = daemon.call("NewContainer", wanted(id, NetMode::None)).await?;
    }
    let typed = FdMessage { fd: 0, eof: false, data: b"typed\n".to_vec() };
    let end = FdMessage { fd: 0, eof: true, data: Vec::new() };
    let input = [typed, end].map(|data| message(exec_message::Input::File(data)));
    let messages = [&[init("one", script, SecurityMode::Sandbox)][..], &input].concat();
    eprintln!("one {}", told(&daemon.execute(messages).await?));
    eprintln!("again {}", told(&daemon.execute(vec![init("one", "true", SecurityMode::Sandbox)]).await?));
    let insecure = daemon.execute(vec![init("two", "true", SecurityMode::Insecure)]).await?;
    eprintln!("insecure {}", told(&insecure));
    let kill = message(exec_message::Input::Signal(SignalMessage { name: "KILL".to_owned() }));
    let sleeping = vec![init("three", "exec sleep 86431", SecurityMode::Sandbox), kill];
    eprintln!("killed {}", told(&daemon.execute(sleeping).await?));
    for _ in 0..2 {
        let request = ReleaseContainerRequest { container_id: "one".to_owned() };
        let released = daemon.call::<_, ReleaseContainerResponse>("ReleaseContainer", request).await;
        eprintln!("released {:?}", released.map_err(|status| status.code()).err());
    }
    Ok(())
}

async fn build(daemon: &Caller) -> Result<Answer, Status> {
    let options = options();
    // Clients that build Dockerfiles have only arguments.
    let option = |name: &str| {
        let given = options.get(name).or_else(|| options.get(&format!("build-arg:{name}")));
        given.cloned().unwrap_or_default()
    };
    let PongResponse { frontend_api_caps, llb_caps, workers } = daemon.call("Ping", PingRequest {}).await?;
    let has = |id: &str| frontend_api_caps.iter().chain(&llb_caps).any(|cap| cap.id == id);
    eprintln!("caps {} {} workers {}", has("resolveimage"), has("mergeop"), workers.len());
    // Nothing but the gateway is here.
    let info = daemon.ask::<_, InfoResponse>("/moby.buildkit.v1.Control/Info", InfoRequest {}).await;
    eprintln!("control {:?}", info.map_err(|status| status.code()).err());
    let inputs: InputsResponse = daemon.call("Inputs", InputsRequest {}).await?;
    let base = option("base");
    let wanted = ResolveImageConfigRequest { r#ref: base.clone(), ..ResolveImageConfigRequest::default() };
    let config: ResolveImageConfigResponse = daemon.call("ResolveImageConfig", wanted).await?;
    eprintln!(
        "digest {} config {}",
        config.digest.len(),
        String::from_utf8_lossy(&config.config).contains("rootfs")
    );
    for identifier in option("sources").split(' ').filter(|text| !text.is_empty()) {
        eprintln!("{}", source(daemon, identifier, &option("fullurl")).await?);
    }
    let definition = definition(&base, inputs.definitions.get("first"), &option("script"));
    let request = SolveRequest {
        definition: Some(definition),
        allow_result_return: true,
        allow_result_array_ref: true,
        evaluate: true,
        ..SolveRequest::default()
    };
    let solved: SolveResponse = daemon.call("Solve", request).await?;
    let Some(result::Result::Ref(Ref { id, .. })) = solved.result.and_then(|answer| answer.result) else {
        return Err(Status::internal("there is no result"));
    };
    let range = Some(FileRange { offset: 1, length: 3 });
    let file = ReadFileRequest { r#ref: id.clone(), file_path: "/made".to_owned(), range, mount_index: 0 };
    let file: ReadFileResponse = daemon.call("ReadFile", file).await?;
    let directory = ReadDirRequest {
        r#ref: id.clone(),
        dir_path: "/".to_owned(),
        include_pattern: "m*".to_owned(),
        mount_index: 0,
    };
    let directory: ReadDirResponse = daemon.call("ReadDir", directory).await?;
    let stat = StatFileRequest { r#ref: id.clone(), path: "/made".to_owned(), mount_index: 0 };
    let stat: StatFileResponse = daemon.call("StatFile", stat).await?;
    let names: Vec<_> = directory.entries.iter().map(|entry| entry.path.as_str()).collect();
    let size = stat.stat.map_or(-1, |stat| stat.size);
    eprintln!("read {:?} names {names:?} size {size}", String::from_utf8_lossy(&file.data));
    if !option("contain").is_empty() {
        contain(daemon, &id, &option("contain")).await?;
    }
    let warning = WarnRequest { level: 1, short: b"mind this".to_vec(), ..WarnRequest::default() };
    let _: WarnResponse = daemon.call("Warn", warning).await?;
    let config = br#"{"architecture":"amd64","os":"linux","config":{"Cmd":["cat","/made"],"Labels":{"by":"a frontend"}},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    let metadata = HashMap::from([("containerimage.config".to_owned(), config.to_vec())]);
    let result = Some(result::Result::Ref(Ref { id, def: None }));
    Ok(Answer { result, metadata, ..Answer::default() })
}

/// The program of the image: the tests themselves, of which this alone runs there.
#[test]
#[ignore = "runs in the image of a frontend, see the tests of `gateway`"]
fn runs_in_an_image() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(answer());
    // Nobody waits for a thread that reads standard input.
    std::process::exit(0);
}

async fn answer() {
    let streams = tokio::io::join(
        tokio::io::stdin(),
        tokio::net::unix::pipe::OpenOptions::new().open_sender(OUTPUT).expect("a pipe"),
    );
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(streams));
    let (send, connection) = handshake.await.expect("a connection");
    tokio::spawn(connection);
    let daemon = Caller(send);
    let (result, error) = match build(&daemon).await {
        Ok(answer) => (Some(answer), None),
        Err(status) => (
            None,
            Some(bollard_buildkit_proto::google::rpc::Status {
                code: status.code() as i32,
                message: status.message().to_owned(),
                details: Vec::new(),
            }),
        ),
    };
    let returned: Result<ReturnResponse, Status> =
        daemon.call("Return", ReturnRequest { result, error }).await;
    returned.expect("the daemon takes the result");
}
