//! A frontend for the tests of the daemon: it runs in an image, and talks with the daemon over its standard streams as
//! frontends of BuildKit do.
//!
//! It builds what its option `script` says on the image that its option `base` names, looks at the result, and returns it with
//! a config. What it finds out it says on standard error.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::task::{Context, Poll};

use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    FileRange, InputsRequest, InputsResponse, PingRequest, PongResponse, ReadDirRequest, ReadDirResponse,
    ReadFileRequest, ReadFileResponse, Ref, ResolveImageConfigRequest, ResolveImageConfigResponse,
    Result as Answer, ReturnRequest, ReturnResponse, SolveRequest, SolveResponse, StatFileRequest,
    StatFileResponse, WarnRequest, WarnResponse, result,
};
use bollard_buildkit_proto::moby::buildkit::v1::{InfoRequest, InfoResponse};
use bollard_buildkit_proto::pb::{Definition, ExecOp, Input, Meta, Mount, Op, SourceOp, op};
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
