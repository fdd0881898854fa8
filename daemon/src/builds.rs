//! The builds that clients have asked for, running and ended.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tonic::Status;

use crate::bridge::Bridge;
use crate::feed::Feed;
use crate::proto::control::{CacheOptionsEntry, Exporter};
use crate::proto::pb::Definition;

/// How long a call about a build waits for the call that begins it: clients make both at once.
const BEGIN_WAIT: Duration = Duration::from_secs(30);
/// Ended builds whose progress can still be read.
const ENDED_MAX: usize = 50;
/// Builds at the same time.
const RUNNING_MAX: usize = 1024;

/// What a build was asked to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) frontend: String,
    pub(crate) attributes: HashMap<String, String>,
    pub(crate) exporters: Vec<Exporter>,
    /// Asked for by a client for itself; not part of the history.
    pub(crate) is_internal: bool,
    /// The session of its client; empty for none.
    pub(crate) session: String,
    /// Caches that its client names beside the attributes.
    pub(crate) imports: Vec<CacheOptionsEntry>,
    /// What it may do to the machine, if the daemon lets it.
    pub(crate) entitlements: Vec<String>,
}

/// How a build ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) at: SystemTime,
    pub(crate) result: Result<HashMap<String, String>, Status>,
}

/// A build, by the name that its client gave it.
#[derive(Debug)]
pub(crate) struct Build {
    pub(crate) name: String,
    pub(crate) about: About,
    pub(crate) began: SystemTime,
    pub(crate) feed: Arc<Feed>,
    pub(crate) bridge: Bridge,
    ended: Mutex<Option<Ended>>,
    pinned: Mutex<bool>,
}

impl Build {
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.ended.lock().expect("no holder of the lock panics").clone()
    }

    pub(crate) fn is_pinned(&self) -> bool {
        *self.pinned.lock().expect("no holder of the lock panics")
    }
}

/// All of them, in the order in which they began.
#[derive(Debug)]
pub(crate) struct Builds {
    all: Mutex<VecDeque<Arc<Build>>>,
    /// What frontends of others have of the builds for which they run.
    frontends: Mutex<HashMap<String, Arc<Build>>>,
    changed: watch::Sender<()>,
}

/// What a frontend has of a build. It ends with this value.
pub(crate) struct RunningFrontend {
    builds: Arc<Builds>,
    pub(crate) build: Arc<Build>,
}

impl Drop for RunningFrontend {
    fn drop(&mut self) {
        let mut frontends = self.builds.frontends.lock().expect("no holder of the lock panics");
        frontends.remove(&self.build.name);
    }
}

/// A build that runs. Dropping it ends the build, as canceled unless it has been told how.
pub(crate) struct RunningBuild {
    builds: Arc<Builds>,
    pub(crate) build: Arc<Build>,
}

impl Builds {
    pub(crate) fn new() -> Self {
        Self { all: Mutex::default(), frontends: Mutex::default(), changed: watch::channel(()).0 }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Build>>> {
        self.all.lock().expect("no holder of the lock panics")
    }

    pub(crate) fn begin(self: &Arc<Self>, name: &str, about: About) -> Result<RunningBuild, Status> {
        if name.is_empty() {
            return Err(Status::invalid_argument("a build needs a name"));
        }
        let mut all = self.lock();
        if all.iter().any(|build| build.name == name && build.ended().is_none()) {
            return Err(Status::already_exists(format!("build `{name}` is running already")));
        }
        if all.iter().filter(|build| build.ended().is_none()).count() >= RUNNING_MAX {
            return Err(Status::resource_exhausted(format!("{RUNNING_MAX} builds are running already")));
        }
        all.retain(|build| build.name != name);
        let build = Arc::new(Build {
            name: name.to_owned(),
            about,
            began: SystemTime::now(),
            feed: Arc::new(Feed::new(name)),
            bridge: Bridge::new(),
            ended: Mutex::default(),
            pinned: Mutex::default(),
        });
        all.push_back(build.clone());
        drop(all);
        self.changed.send_replace(());
        Ok(RunningBuild { builds: self.clone(), build })
    }

    /// What a frontend of others has of a build: the same feed and the same rights, and results of its own.
    pub(crate) fn begin_frontend(
        self: &Arc<Self>,
        build: &Build,
        inputs: HashMap<String, Definition>,
    ) -> RunningFrontend {
        let mut frontends = self.frontends.lock().expect("no holder of the lock panics");
        let free = |number: &usize| !frontends.contains_key(&format!("{}-frontend-{number}", build.name));
        let number = (0..).find(free).expect("fewer run than there are numbers");
        let build = Arc::new(Build {
            name: format!("{}-frontend-{number}", build.name),
            about: build.about.clone(),
            began: SystemTime::now(),
            feed: build.feed.clone(),
            bridge: Bridge::with_inputs(inputs),
            ended: Mutex::default(),
            pinned: Mutex::default(),
        });
        frontends.insert(build.name.clone(), build.clone());
        drop(frontends);
        RunningFrontend { builds: self.clone(), build }
    }

    /// What a frontend that runs has of a build, by its name.
    fn frontend(&self, name: &str) -> Option<Arc<Build>> {
        self.frontends.lock().expect("no holder of the lock panics").get(name).cloned()
    }

    /// The build with a name, as soon as it has begun.
    pub(crate) async fn get(&self, name: &str) -> Result<Arc<Build>, Status> {
        if let Some(frontend) = self.frontend(name) {
            return Ok(frontend);
        }
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                changed.mark_unchanged();
                if let Some(build) = self.lock().iter().find(|build| build.name == name) {
                    return build.clone();
                }
                // The sender lives as long as `self`.
                let _ = changed.changed().await;
            }
        };
        let found = tokio::time::timeout(BEGIN_WAIT, found).await;
        found.map_err(|_| Status::not_found(format!("no such build `{name}`")))
    }

    /// What is said about a build to whoever still asks for something of it, as soon as it has ended.
    pub(crate) async fn ended(&self, build: &Build) -> Status {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(ended) = build.ended() {
                return ended.result.err().unwrap_or_else(|| Status::cancelled("the build has ended"));
            }
            // The sender lives as long as `self`.
            let _ = changed.changed().await;
        }
    }

    /// All builds that there are, the oldest first.
    pub(crate) fn list(&self) -> Vec<Arc<Build>> {
        self.lock().iter().cloned().collect()
    }

    /// Forgets a build that has ended; whether there was one.
    pub(crate) fn forget(&self, name: &str) -> bool {
        let mut all = self.lock();
        let count = all.len();
        all.retain(|build| build.name != name || build.ended().is_none());
        let is_gone = all.len() < count;
        drop(all);
        self.changed.send_replace(());
        is_gone
    }

    /// A build that is pinned stays in the history.
    pub(crate) fn pin(&self, build: &Build, is_pinned: bool) {
        *build.pinned.lock().expect("no holder of the lock panics") = is_pinned;
        self.changed.send_replace(());
    }

    /// Hears of every build that begins, ends or is forgotten.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn end(&self, build: &Build, result: Result<HashMap<String, String>, Status>) {
        let mut ended = build.ended.lock().expect("no holder of the lock panics");
        if ended.is_some() {
            return;
        }
        *ended = Some(Ended { at: SystemTime::now(), result });
        drop(ended);
        build.feed.end();
        build.bridge.clear();
        let mut all = self.lock();
        let is_old = |build: &Arc<Build>| build.ended().is_some() && !build.is_pinned();
        let mut surplus = all.iter().filter(|build| is_old(build)).count().saturating_sub(ENDED_MAX);
        all.retain(|build| {
            let goes = surplus > 0 && is_old(build);
            surplus -= usize::from(goes);
            !goes
        });
        drop(all);
        self.changed.send_replace(());
    }
}

impl RunningBuild {
    /// The build has ended.
    pub(crate) fn end(
        self,
        result: Result<HashMap<String, String>, Status>,
    ) -> Result<HashMap<String, String>, Status> {
        self.builds.end(&self.build, result.clone());
        result
    }
}

impl Drop for RunningBuild {
    fn drop(&mut self) {
        self.builds.end(&self.build, Err(Status::cancelled("context canceled")));
    }
}
