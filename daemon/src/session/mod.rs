//! Sessions: what clients offer to the builds that they ask for.
//!
//! A session is a connection inside a call: the client sends the bytes of an HTTP/2 connection as messages, and is the
//! server on it.

pub(crate) mod agents;
pub(crate) mod auth;
pub(crate) mod content;
pub(crate) mod files;
pub(crate) mod kept;
pub(crate) mod layout;
pub(crate) mod output;
pub(crate) mod packets;
pub(crate) mod receive;
pub(crate) mod secrets;
pub(crate) mod send_tree;
pub(crate) mod tunnel;
pub(crate) mod upload;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};

use crate::proto::control::BytesMessage;
use crate::wire::{Caller, Replies, client};

pub(crate) use kept::{KeptDirectories, KeptDirectory};
pub(crate) use send_tree::describe;

/// Sessions that clients hold open at the same time, over all.
const SESSIONS_MAX: usize = 4096;
/// Methods that one session offers.
const METHODS_MAX: usize = 256;

pub(crate) const ID: &str = "x-docker-expose-session-uuid";
pub(crate) const SHARED_KEY: &str = "x-docker-expose-session-sharedkey";
pub(crate) const METHOD: &str = "x-docker-expose-session-grpc-method";

/// What a client offers while it is connected.
#[derive(Debug)]
pub(crate) struct Session {
    /// Tells clients apart whose contexts have the same name; stays the same between builds of the same client.
    pub(crate) shared_key: String,
    methods: BTreeSet<String>,
    pub(crate) caller: Caller,
    lost: watch::Receiver<bool>,
}

impl Session {
    /// Whether the client has this method, `/package.Service/Method`.
    pub(crate) fn offers(&self, method: &str) -> bool {
        self.methods.contains(method)
    }

    /// Returns when the client is gone.
    pub(crate) async fn lost(&self) {
        let mut lost = self.lost.clone();
        // Whoever would tell is gone as well then.
        let _ = lost.wait_for(|lost| *lost).await;
    }
}

/// All sessions, by their ids.
#[derive(Debug)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<String, Arc<Session>>>,
    changed: watch::Sender<()>,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self { open: Mutex::default(), changed: watch::channel(()).0 }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.open.lock().expect("no holder of the lock panics")
    }

    /// The session with an id, as soon as it is there: a client asks for a build and opens its session at the same time.
    pub(crate) async fn get(&self, id: &str) -> Arc<Session> {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(session) = self.lock().get(id) {
                return session.clone();
            }
            // The sender lives as long as `self`.
            let _ = changed.changed().await;
        }
    }

    /// Serves `Control.Session`: the session is there until either side ends the call.
    pub(crate) async fn serve(
        self: Arc<Self>,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Replies<BytesMessage>, Status> {
        let text = |name| request.metadata().get(name).and_then(|value| value.to_str().ok());
        let id = text(ID).filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| Status::invalid_argument(format!("a session needs `{ID}`")))?.to_owned();
        let shared_key = text(SHARED_KEY).unwrap_or_default().to_owned();
        let methods = methods(request.metadata());
        let (io, replies) = tunnel::open(request.into_inner());
        let internal = |error: hyper::Error| Status::internal(error.to_string());
        let (caller, connection) = client(io).await.map_err(internal)?;
        let (tell_lost, lost) = watch::channel(false);
        let session = Arc::new(Session { shared_key, methods, caller, lost });
        self.add(&id, session.clone())?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a session ended early");
            }
            tell_lost.send_replace(true);
            self.remove(&id, &session);
        });
        Ok(replies)
    }

    fn add(&self, id: &str, session: Arc<Session>) -> Result<(), Status> {
        let mut open = self.lock();
        if open.len() >= SESSIONS_MAX {
            return Err(Status::resource_exhausted(format!("there are {SESSIONS_MAX} sessions already")));
        }
        if open.contains_key(id) {
            return Err(Status::already_exists(format!("session `{id}` is open already")));
        }
        open.insert(id.to_owned(), session);
        drop(open);
        self.changed.send_replace(());
        Ok(())
    }

    fn remove(&self, id: &str, session: &Arc<Session>) {
        let mut open = self.lock();
        if open.get(id).is_some_and(|known| Arc::ptr_eq(known, session)) {
            open.remove(id);
        }
    }
}

fn methods(metadata: &MetadataMap) -> BTreeSet<String> {
    let all = metadata.get_all(METHOD).iter().take(METHODS_MAX);
    all.filter_map(|value| value.to_str().ok().map(str::to_owned)).collect()
}
