//! BuildKit's service `Control`.

mod filter;
mod history;
mod solve;
mod space;
mod worker;

use std::rc::Rc;

use hyper::body::Incoming;
use tonic::body::Body;
use tonic::{Request, Status};

use crate::Daemon;
use crate::proto::control::{
    BuildHistoryRequest, DiskUsageRequest, InfoRequest, InfoResponse, ListWorkersRequest,
    ListWorkersResponse, PruneRequest, SolveRequest, StatusRequest, StatusResponse,
    UpdateBuildHistoryRequest,
};
use crate::server::unimplemented;
use crate::wire::{self, Replies};

pub(crate) use solve::{COMMAND_LINE, Frontend, SYNTAX, frontend};
pub(crate) use worker::{json as worker_json, record};

/// Answers a call of a method.
pub(crate) async fn answer(
    daemon: Rc<Daemon>,
    method: &str,
    request: http::Request<Incoming>,
) -> http::Response<Body> {
    match method {
        "Info" => wire::unary(request, |_: Request<InfoRequest>| info()).await,
        "ListWorkers" => wire::unary(request, |_: Request<ListWorkersRequest>| workers(daemon)).await,
        "Session" => {
            let sessions = daemon.sessions.clone();
            wire::bidi(request, |request| sessions.serve(request)).await
        }
        "Solve" => {
            wire::unary(request, |request: Request<SolveRequest>| solve::solve(daemon, request.into_inner()))
                .await
        }
        "Status" => wire::stream(request, |request| status(daemon, request)).await,
        "DiskUsage" => {
            wire::unary(request, |request: Request<DiskUsageRequest>| {
                space::usage(daemon, request.into_inner())
            })
            .await
        }
        "Prune" => {
            wire::stream(request, |request: Request<PruneRequest>| space::prune(daemon, request.into_inner()))
                .await
        }
        "ListenBuildHistory" => {
            wire::stream(request, |request: Request<BuildHistoryRequest>| {
                history::listen(daemon, request.into_inner())
            })
            .await
        }
        "UpdateBuildHistory" => {
            wire::unary(request, |request: Request<UpdateBuildHistoryRequest>| {
                history::update(daemon, request.into_inner())
            })
            .await
        }
        _ => unimplemented(&format!("/moby.buildkit.v1.Control/{method}")),
    }
}

async fn info() -> Result<InfoResponse, Status> {
    Ok(InfoResponse { buildkit_version: Some(worker::version()) })
}

async fn workers(daemon: Rc<Daemon>) -> Result<ListWorkersResponse, Status> {
    Ok(ListWorkersResponse { record: vec![record(&daemon)] })
}

async fn status(
    daemon: Rc<Daemon>,
    request: Request<StatusRequest>,
) -> Result<Replies<StatusResponse>, Status> {
    let build = daemon.builds.get(&request.into_inner().r#ref).await?;
    Ok(build.feed.clone().messages())
}
