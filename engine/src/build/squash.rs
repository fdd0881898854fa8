//! Fewer layers in the image than there were steps: the cache keeps those of the steps.

use std::ops::Range;

use cache::{LayerId, Store, StoreError};
use graph::{BuildGraph, VertexId};
use image::{DiffId, History, ImageConfig};

use super::planned::Target;
use crate::{BuildError, BuildRequest, Squash};

/// How the layers of one image become fewer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fewer {
    from: Option<From>,
    max: Option<usize>,
}

/// From which layer on all become one.
#[derive(Debug, Clone, Copy)]
enum From {
    Lowest,
    FirstNew,
    /// So many new layers stay as they are.
    New(usize),
}

/// An image in the making.
pub(super) struct Chain<'a> {
    pub(super) layers: &'a mut Vec<LayerId>,
    /// Digests of the lowest layers, those of the base.
    pub(super) known_diff_ids: &'a mut Vec<DiffId>,
    pub(super) config: &'a mut ImageConfig,
}

impl Fewer {
    /// What the user asks for, for one image.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoSuchStep`] when the stage has no step with the number that is asked for.
    pub(super) fn new(
        request: &BuildRequest,
        graph: &BuildGraph,
        target: &Target,
    ) -> Result<Self, BuildError> {
        let from = match request.squash {
            None => None,
            Some(Squash::All) => Some(From::Lowest),
            Some(Squash::New) => Some(From::FirstNew),
            Some(Squash::From(step)) => Some(From::New(layers_before(graph, target, step)?)),
        };
        Ok(Self { from, max: request.max_layers })
    }

    /// Whether every layer stays.
    pub(super) fn is_none(&self) -> bool {
        self.from.is_none() && self.max.is_none()
    }

    /// Makes the layers fewer. The history stays: entries whose layer became part of another one have none.
    pub(super) fn apply(
        &self,
        store: &Store,
        chain: &mut Chain<'_>,
        created_unix_ns: i64,
    ) -> Result<(), StoreError> {
        let base = chain.known_diff_ids.len();
        if let Some(from) = self.from {
            let start = match from {
                From::Lowest => 0,
                From::FirstNew => base,
                From::New(kept) => base + kept,
            };
            chain.merge(store, start..chain.layers.len(), created_unix_ns)?;
        }
        let Some(surplus) = self.max.and_then(|max| chain.layers.len().checked_sub(max)) else {
            return Ok(());
        };
        // The base stays what it is, so that others share it, as long as that is possible.
        let start = if base + surplus < chain.layers.len() { base } else { 0 };
        chain.merge(store, start..start + surplus + 1, created_unix_ns)
    }
}

impl Chain<'_> {
    fn merge(&mut self, store: &Store, range: Range<usize>, created_unix_ns: i64) -> Result<(), StoreError> {
        if range.len() < 2 {
            return Ok(());
        }
        let (below, merged) = (&self.layers[..range.start], &self.layers[range.clone()]);
        let squashed = store.squash_layers(below, merged, created_unix_ns)?.id();
        merge_history(&mut self.config.history, &range, self.layers.len());
        self.known_diff_ids.truncate(range.start);
        self.layers.splice(range, [squashed]);
        Ok(())
    }
}

/// Only the last entry of the layers that became one has a layer now. A history that tells of other layers than there
/// are is begun anew.
fn merge_history(history: &mut Vec<History>, range: &Range<usize>, layers: usize) {
    let with_layer = history.iter().filter(|entry| !entry.empty_layer).count();
    if with_layer != layers {
        history.iter_mut().for_each(|entry| entry.empty_layer = true);
        let entry = History { created_by: "squash".to_owned(), ..History::default() };
        history.extend(std::iter::repeat_n(entry, layers + 1 - range.len()));
        return;
    }
    let merged =
        history.iter_mut().filter(|entry| !entry.empty_layer).skip(range.start).take(range.len() - 1);
    merged.for_each(|entry| entry.empty_layer = true);
}

/// How many new layers the image has before a step of the target's stage.
fn layers_before(graph: &BuildGraph, target: &Target, step: usize) -> Result<usize, BuildError> {
    let stage = &graph.vertex(target.vertex).label.stage;
    let is_it = |id: &VertexId| {
        let label = &graph.vertex(*id).label;
        label.stage == *stage && number(&label.name) == Some(step)
    };
    let layers: Vec<VertexId> = target.history_vertices.iter().flatten().copied().collect();
    layers.iter().position(is_it).ok_or(BuildError::NoSuchStep { step })
}

/// The number of a step by its name: 2 of `[build 2/5] RUN make`.
fn number(name: &str) -> Option<usize> {
    let (place, _) = name.strip_prefix('[')?.split_once('/').filter(|(place, _)| !place.contains(']'))?;
    place.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_number() {
        assert_eq!(number("[build 2/5] RUN make"), Some(2));
        assert_eq!(number("[ 2/15] RUN make"), Some(2));
        assert_eq!(number("[stage-1 12/15] COPY a/b ."), Some(12));
        assert_eq!(number("[internal] load a/b"), None);
    }

    #[test]
    fn merged_entries_lose_their_layers() {
        let entry = |empty_layer| History { empty_layer, ..History::default() };
        let mut history = vec![entry(false), entry(true), entry(false), entry(false), entry(false)];
        merge_history(&mut history, &(1..3), 4);
        let shown: Vec<_> = history.iter().map(|entry| entry.empty_layer).collect();
        assert_eq!(shown, [false, true, true, false, false]);
        merge_history(&mut history, &(0..2), 7);
        assert_eq!(history.iter().filter(|entry| !entry.empty_layer).count(), 6);
    }
}
