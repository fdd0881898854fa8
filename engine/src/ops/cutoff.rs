//! Early cut-off: a step that ran again and came to the same files leaves its dependents cached.
//!
//! What dependents see of a RUN is the file system that it continued and what it changed. Both together name
//! a state; the first key that came to a state is the one that every later step offers which comes to it.

use ::image::{Digest, Hasher};
use cache::{Key, Layer, Record, Store, StoreError};

/// A step that has run: what it continued, and what it would offer by its inputs.
#[derive(Clone, Copy)]
pub(super) struct Ran {
    pub(super) continued: Key,
    pub(super) offered: Key,
}

/// Whether some step has run on the same file system before. Only then can this one come to a known state,
/// and only then is it worth to wait for the digest of its layer.
pub(super) fn may_be_known(store: &Store, ran: Ran) -> Result<bool, StoreError> {
    Ok(store.record(&tried(ran))?.is_some())
}

/// The key that was offered by the first step that came to the same state, if this is not it. Remembers the
/// state otherwise.
pub(super) fn recognise(store: &Store, ran: Ran, layer: &Layer) -> Result<Option<Key>, StoreError> {
    let content = layer.content_digest()?;
    let state = state(ran, &content);
    if let Some(known) = store.record(&state)? {
        return Ok(known.offered.filter(|offered| *offered != ran.offered));
    }
    store.put_record(&note(state, ran.offered))?;
    store.put_record(&note(tried(ran), ran.offered))?;
    Ok(None)
}

/// Remembers what a step came to elsewhere.
pub(super) fn learn(store: &Store, ran: Ran, content: &Digest) -> Result<(), StoreError> {
    let state = state(ran, content);
    if store.record(&state)?.is_none() {
        store.put_record(&note(state, ran.offered))?;
        store.put_record(&note(tried(ran), ran.offered))?;
    }
    Ok(())
}

/// A step that ran again, though `old` was there. With the same result it offers what `old` does; with another, a key
/// that nothing was built on.
pub(super) fn replacing(store: &Store, old: &Record, ran: Ran, layer: &Layer) -> Result<Ran, StoreError> {
    let content = layer.content_digest()?;
    let before = old.layers.last().map(|id| store.layer(id)).transpose()?.flatten();
    let is_same = before.map(|before| before.content_digest()).transpose()? == Some(content);
    let offered = if is_same { old.offered.unwrap_or(old.key) } else { state(ran, &content) };
    Ok(Ran { offered, ..ran })
}

/// The file system that a step came to.
fn state(ran: Ran, content: &Digest) -> Key {
    Key(Hasher::new("state/v1").field("continued", ran.continued.0.0).field("content", content.0).finish())
}

fn tried(ran: Ran) -> Key {
    Key(Hasher::new("tried/v1").field("continued", ran.continued.0.0).finish())
}

/// A record that stands for a key, not for layers.
fn note(key: Key, offered: Key) -> Record {
    Record {
        key,
        offered: Some(offered),
        layers: Vec::new(),
        content: None,
        created_unix_ns: super::now_unix_ns(),
        description: String::new(),
        ingredients: Vec::new(),
    }
}
