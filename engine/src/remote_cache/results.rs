//! What a build came to, as far as a remote cache is to have it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cache::LayerId;
use graph::{BuildGraph, VertexId};
use image::{Descriptor, DiffId, Digest};

use super::away::{AwayLayer, Link, Origin};
use super::catalogue::{BlobEntry, Draft, LayerEntry};
use super::export::Ended;
use super::foreign::ForeignRecord;
use super::{CacheMode, RemoteCacheError, Trod};
use crate::blocking::blocking;
use crate::ops::Output;

/// A layer of a result.
#[derive(Clone)]
pub(super) struct OwnLayer {
    pub(super) diff_id: DiffId,
    pub(super) epoch: Option<i64>,
    pub(super) whereabouts: Whereabouts,
}

#[derive(Clone)]
pub(super) enum Whereabouts {
    /// In the registry of the base image, from where everybody has it, and perhaps in the store.
    Base(Option<LayerId>),
    Store(LayerId),
    Away(Arc<AwayLayer>),
}

/// A record, with the layers that it needs.
pub(super) struct Outcome {
    pub(super) key: Digest,
    pub(super) trod: Trod,
    pub(super) layers: Vec<OwnLayer>,
}

impl Outcome {
    pub(super) fn needs(&self, any: &BTreeSet<DiffId>) -> bool {
        self.layers.iter().any(|layer| any.contains(&layer.diff_id))
    }
}

impl Ended<'_> {
    /// Everything that came up in the build and has layers.
    pub(super) async fn results(&self, mode: CacheMode) -> Result<Vec<Outcome>, RemoteCacheError> {
        let wanted = wanted(self.graph, self.targets, mode);
        let of_bases = self.worker.bases.diff_ids();
        let (mut results, mut known) = (Vec::new(), HashMap::new());
        for (key, trod) in self.worker.trail.keys() {
            if !wanted.contains(&trod.vertex) {
                continue;
            }
            let Some(settled) = &self.solved.vertices[trod.vertex.index()] else { continue };
            let links = match &settled.output {
                Output::Layers(_) | Output::Away(_) => settled.output.links(),
                Output::Context(_) => continue,
            };
            let mut layers = Vec::with_capacity(links.len());
            for link in links {
                layers.push(self.own_layer(&of_bases, &mut known, link).await?);
            }
            results.push(Outcome { key, trod, layers });
        }
        // What dependents see has to be found as well.
        let by_key: BTreeSet<Digest> = results.iter().map(|result| result.key).collect();
        let offered: Vec<Outcome> = results
            .iter()
            .filter(|result| !by_key.contains(&result.trod.offered))
            .map(|result| Outcome {
                key: result.trod.offered,
                trod: result.trod,
                layers: result.layers.clone(),
            })
            .collect();
        results.extend(offered);
        Ok(results)
    }

    /// A layer as it is known elsewhere. `known` are those that came up before: chains have most of theirs in common.
    async fn own_layer(
        &self,
        of_bases: &HashMap<LayerId, DiffId>,
        known: &mut HashMap<LayerId, DiffId>,
        link: Link,
    ) -> Result<OwnLayer, RemoteCacheError> {
        let epoch = self.worker.source_date_epoch;
        let own = |diff_id, epoch, whereabouts| OwnLayer { diff_id, epoch, whereabouts };
        let id = match link {
            Link::Here(id) => id,
            Link::Away(away) => {
                return Ok(match away.origin {
                    Origin::Base(_) => own(away.diff_id, None, Whereabouts::Base(None)),
                    Origin::Cache(_) => own(away.diff_id, away.epoch, Whereabouts::Away(away)),
                });
            }
        };
        if let Some(diff_id) = of_bases.get(&id) {
            return Ok(own(*diff_id, None, Whereabouts::Base(Some(id))));
        }
        let diff_id = match known.entry(id) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => {
                let store = self.worker.store.clone();
                let digest = move || {
                    let layer = store.layer(&id)?.ok_or(cache::StoreError::NoLayer { id })?;
                    layer.diff_id(epoch)
                };
                *unknown.insert(blocking(digest).await?)
            }
        };
        Ok(own(diff_id, epoch, Whereabouts::Store(id)))
    }

    /// What vertices came to, for BuildKit.
    pub(super) fn foreign_results(
        &self,
        draft: &mut Draft,
        results: &[Outcome],
        (blobs, lost): (&HashMap<DiffId, Descriptor>, &BTreeSet<DiffId>),
    ) -> HashMap<VertexId, (Option<u32>, i64)> {
        let there = results.iter().filter(|result| !result.needs(lost));
        there
            .map(|Outcome { trod, layers, .. }| {
                (trod.vertex, (draft.chain(entries(layers, blobs)), trod.created_unix_ns))
            })
            .collect()
    }

    /// The records under which BuildKit finds these. The layers of a build at a given time are not those that it would
    /// make.
    pub(super) async fn foreign(&self, results: HashMap<VertexId, (Option<u32>, i64)>) -> Vec<ForeignRecord> {
        if self.worker.source_date_epoch.is_some() {
            return Vec::new();
        }
        let foreign = self.worker.foreign.clone();
        blocking(move || foreign.records(&results)).await
    }
}

/// Vertices whose results go into a cache.
pub(super) fn wanted(graph: &BuildGraph, targets: &[VertexId], mode: CacheMode) -> BTreeSet<VertexId> {
    match mode {
        CacheMode::Max => graph.vertices().map(|(id, _)| id).collect(),
        CacheMode::Min => {
            let below = |id: &VertexId| graph.vertex(*id).inputs.first().copied();
            let chain = |target: &VertexId| std::iter::successors(Some(*target), below);
            targets.iter().flat_map(chain).collect()
        }
    }
}

/// Layers as they are in a catalogue.
pub(super) fn entries(
    layers: &[OwnLayer],
    blobs: &HashMap<DiffId, Descriptor>,
) -> impl Iterator<Item = LayerEntry> {
    layers.iter().map(|layer| LayerEntry {
        diff_id: layer.diff_id,
        parent: None,
        epoch: layer.epoch,
        blob: blobs.get(&layer.diff_id).map(BlobEntry::new),
    })
}
