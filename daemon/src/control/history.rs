//! `Control.ListenBuildHistory` and `Control.UpdateBuildHistory`: the builds since the daemon has started.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::stream;
use tonic::{Code, Status};

use super::filter::{Facts, Filter};
use crate::Daemon;
use crate::builds::{Build, Builds};
use crate::proto::control::{
    BuildHistoryEvent, BuildHistoryEventType, BuildHistoryRecord, BuildHistoryRequest,
    UpdateBuildHistoryRequest, UpdateBuildHistoryResponse,
};
use crate::proto::{rpc, timestamp};
use crate::wire::Replies;

/// The attribute in which clients say where their files are from.
const REPOSITORY: &str = "vcs:source";

/// What a client has been told of a build.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    Started,
    Ended { is_pinned: bool },
}

struct Listening {
    builds: Arc<Builds>,
    request: BuildHistoryRequest,
    filter: Filter,
    told: BTreeMap<String, Told>,
    waiting: VecDeque<BuildHistoryEvent>,
}

/// All builds that there are, and what becomes of them, until the client has enough.
pub(super) async fn listen(
    daemon: Rc<Daemon>,
    request: BuildHistoryRequest,
) -> Result<Replies<BuildHistoryEvent>, Status> {
    let filter = Filter::parse(&request.filter, SystemTime::now())?;
    let ends_early = request.early_exit;
    let changes = daemon.builds.changes();
    let (told, waiting) = (BTreeMap::new(), VecDeque::new());
    let listening = Listening { builds: daemon.builds.clone(), request, filter, told, waiting };
    Ok(Box::pin(stream::unfold((listening, changes), move |(mut listening, mut changes)| async move {
        loop {
            changes.mark_unchanged();
            listening.look();
            match listening.waiting.pop_front() {
                Some(event) => return Some((Ok(event), (listening, changes))),
                None if ends_early => return None,
                None => changes.changed().await.ok()?,
            }
        }
    })))
}

impl Listening {
    /// Compares what there is with what has been told.
    fn look(&mut self) {
        if !self.waiting.is_empty() {
            return;
        }
        let name = &self.request.r#ref;
        let all = self.builds.list();
        let mut builds = all.clone();
        builds.retain(|build| !build.about.is_internal && (name.is_empty() || *name == build.name));
        builds.retain(|build| passes(&self.filter, build));
        if let limit @ 1.. = usize::try_from(self.request.limit).unwrap_or(0) {
            builds.drain(..builds.len().saturating_sub(limit));
        }
        for build in &builds {
            let now = match build.ended() {
                Some(_) if self.request.active_only && !self.told.contains_key(&build.name) => continue,
                Some(_) => Told::Ended { is_pinned: build.is_pinned() },
                None => Told::Started,
            };
            if self.told.insert(build.name.clone(), now) != Some(now) {
                let kind = if now == Told::Started {
                    BuildHistoryEventType::Started
                } else {
                    BuildHistoryEventType::Complete
                };
                self.waiting.push_back(event(kind, record(build)));
            }
        }
        let is_gone = |name: &String| !all.iter().any(|build| build.name == *name);
        let gone: Vec<_> = self.told.keys().filter(|name| is_gone(name)).cloned().collect();
        for name in gone {
            self.told.remove(&name);
            let record = BuildHistoryRecord { r#ref: name, ..BuildHistoryRecord::default() };
            self.waiting.push_back(event(BuildHistoryEventType::Deleted, record));
        }
    }
}

fn passes(filter: &Filter, build: &Build) -> bool {
    let ended = build.ended();
    let status = match ended.as_ref().map(|ended| &ended.result) {
        None => "running",
        Some(Ok(_)) => "completed",
        Some(Err(status)) if status.code() == Code::Cancelled => "canceled",
        Some(Err(_)) => "error",
    };
    let repository = build.about.attributes.get(REPOSITORY).map(String::as_str);
    let ended = ended.map(|ended| ended.at);
    filter.passes(&Facts { name: &build.name, status, repository, began: build.began, ended })
}

fn event(kind: BuildHistoryEventType, record: BuildHistoryRecord) -> BuildHistoryEvent {
    BuildHistoryEvent { r#type: kind.into(), record: Some(record) }
}

fn record(build: &Build) -> BuildHistoryRecord {
    let counts = build.feed.counts();
    let ended = build.ended();
    let error = ended.as_ref().and_then(|ended| ended.result.as_ref().err()).map(|status| rpc::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Vec::new(),
    });
    let response = ended.as_ref().and_then(|ended| ended.result.as_ref().ok()).cloned();
    BuildHistoryRecord {
        r#ref: build.name.clone(),
        frontend: build.about.frontend.clone(),
        frontend_attrs: build.about.attributes.clone(),
        exporters: build.about.exporters.clone(),
        error,
        created_at: Some(timestamp(build.began)),
        completed_at: ended.map(|ended| timestamp(ended.at)),
        exporter_response: response.unwrap_or_default(),
        pinned: build.is_pinned(),
        num_cached_steps: counts.cached,
        num_total_steps: counts.steps,
        num_completed_steps: counts.completed,
        num_warnings: counts.warnings,
        ..BuildHistoryRecord::default()
    }
}

/// Pins a build, or forgets it.
pub(super) async fn update(
    daemon: Rc<Daemon>,
    request: UpdateBuildHistoryRequest,
) -> Result<UpdateBuildHistoryResponse, Status> {
    let missing = || Status::new(Code::NotFound, format!("no such build `{}`", request.r#ref));
    if request.delete {
        return match daemon.builds.forget(&request.r#ref) {
            true => Ok(UpdateBuildHistoryResponse {}),
            false => Err(missing()),
        };
    }
    let builds = daemon.builds.list();
    let build = builds.iter().find(|build| build.name == request.r#ref).ok_or_else(missing)?;
    // There is nothing to finalize: nothing is collected for later.
    if !request.finalize {
        daemon.builds.pin(build, request.pinned);
    }
    Ok(UpdateBuildHistoryResponse {})
}
