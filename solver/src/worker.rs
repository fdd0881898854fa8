//! What the solver needs from whoever does the work.

use std::future::Future;

use graph::{Vertex, VertexId};
use image::Digest;

use crate::Key;

/// Does what vertices say and remembers the results.
///
/// Every method may be called for several vertices at the same time; dropping a returned future stops its
/// work and leaves nothing behind.
pub trait Worker: Send + Sync {
    /// A handle on a result, cheap to clone.
    type Output: Clone + Send + Sync;
    /// Why something could not be done.
    type Error: Send;

    /// Who a source is. Called for sources only, once each. One that answers without an output is looked up by
    /// its key, and made with [`Worker::execute`] when something needs it that is not there.
    fn identify(
        &self,
        id: VertexId,
        vertex: &Vertex,
    ) -> impl Future<Output = Result<Identity<Self::Output>, Self::Error>> + Send;

    /// Digests what the vertex reads of its partly read inputs: equal digests mean that it would read the
    /// same. `inputs` has an output for each input of `Op::partly_read`; others may be none.
    fn fingerprint(
        &self,
        id: VertexId,
        vertex: &Vertex,
        inputs: &[Option<Self::Output>],
    ) -> impl Future<Output = Result<Digest, Self::Error>> + Send;

    /// The remembered result of a key, if it is there and whole. One that is too old is as good as none, but what
    /// was built on it must not be taken for built on the result that replaces it.
    fn look_up(
        &self,
        id: VertexId,
        key: Key,
    ) -> impl Future<Output = Result<Lookup<Self::Output>, Self::Error>> + Send;

    /// Does the work and remembers the result under `keys`. Equal keys may be asked for at the same time by
    /// other graphs: an implementation makes one wait for the other.
    fn execute(
        &self,
        id: VertexId,
        vertex: &Vertex,
        inputs: &[Input<Self::Output>],
        keys: Keys,
    ) -> impl Future<Output = Result<Finished<Self::Output>, Self::Error>> + Send;

    /// Remembers under `keys` a result that was found under another key.
    fn remember(
        &self,
        id: VertexId,
        keys: Keys,
        found: &Found<Self::Output>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// An input of a vertex that runs.
#[derive(Debug, Clone)]
pub struct Input<O> {
    /// What it came to.
    pub output: O,
    /// The key that it offers; none for a source without identity.
    pub offered: Option<Key>,
}

/// Who a source is.
#[derive(Debug, Clone)]
pub struct Identity<O> {
    /// Equal identities mean equal content. None: only what is read from it tells, as for a directory of
    /// the user's.
    pub digest: Option<Digest>,
    /// The source itself, if it is at hand. None needs a `digest`.
    pub output: Option<O>,
}

/// The keys of a vertex; at least one is there unless the vertex reads a whole source without identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// From the keys of all inputs.
    pub definition: Option<Key>,
    /// From what is read of the inputs.
    pub content: Option<Key>,
}

impl Keys {
    /// The key that dependents see: the content key if there is one.
    pub fn offered(&self) -> Option<Key> {
        self.content.or(self.definition)
    }
}

/// What is remembered of a key.
#[derive(Debug, Clone)]
pub enum Lookup<O> {
    /// Its result.
    Found(Found<O>),
    /// A result that is too old to be used.
    Expired,
    /// Nothing.
    Missing,
}

impl<O> Lookup<O> {
    /// The result, if it may be used.
    pub fn found(self) -> Option<Found<O>> {
        match self {
            Self::Found(found) => Some(found),
            Self::Expired | Self::Missing => None,
        }
    }
}

/// A remembered result.
#[derive(Debug, Clone)]
pub struct Found<O> {
    /// The result.
    pub output: O,
    /// The key that dependents see.
    pub offered: Key,
}

/// A result that was just made.
#[derive(Debug, Clone)]
pub struct Finished<O> {
    /// The result.
    pub output: O,
    /// The key that dependents see, where it is not the one that the vertex has by its inputs: the step
    /// produced what an earlier run of it produced.
    pub offered: Option<Key>,
    /// Whether somebody else had made it in the meantime.
    pub reused: bool,
}
