//! What is to go: a pure choice from a census.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::PruneOptions;
use super::census::{Census, SeenPlain};
use crate::{LayerId, UsageKind};

/// Something that goes as a whole, together with what depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A layer that no image stands on, with every record that has it.
    Layer(LayerId),
    /// A record whose layers stay, or that has none; by its number in the census.
    Record(usize),
    /// A directory of a cache mount, by its number in the census.
    Mount(usize),
    /// The index of a context.
    Context(usize),
    /// The logs of a build.
    Log(usize),
}

/// A unit with what decides about it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) unit: Unit,
    pub(crate) kind: UsageKind,
    pub(crate) id: String,
    pub(crate) size_bytes: u64,
    pub(crate) used_unix_s: i64,
    /// Layers below it. What stands on others goes first.
    depth: usize,
}

/// How layers are used by records.
pub(crate) struct LayerUse {
    /// Numbers of the records that have it.
    pub(crate) records: Vec<usize>,
    pub(crate) used_unix_s: i64,
    pub(crate) depth: usize,
}

impl Census {
    /// Every layer that some record has.
    pub(crate) fn layer_uses(&self) -> BTreeMap<LayerId, LayerUse> {
        let mut uses: BTreeMap<LayerId, LayerUse> = BTreeMap::new();
        for (number, record) in self.records.iter().enumerate() {
            for (depth, layer) in record.layers.iter().enumerate() {
                let new = || LayerUse { records: Vec::new(), used_unix_s: i64::MIN, depth };
                let layer_use = uses.entry(*layer).or_insert_with(new);
                layer_use.records.push(number);
                layer_use.used_unix_s = layer_use.used_unix_s.max(record.used_unix_s);
            }
        }
        uses
    }

    /// Everything that could go, in the order in which it would.
    pub(crate) fn candidates(&self, uses: &BTreeMap<LayerId, LayerUse>, all: bool) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (layer, layer_use) in uses.iter().filter(|(layer, _)| !self.image_layers.contains_key(layer)) {
            candidates.push(Candidate {
                unit: Unit::Layer(*layer),
                kind: UsageKind::Layer,
                id: layer.to_string(),
                size_bytes: self.layers[layer].size_bytes,
                used_unix_s: layer_use.used_unix_s,
                depth: layer_use.depth,
            });
        }
        for (number, record) in self.records.iter().enumerate() {
            let is_note = record.layers.is_empty();
            let stays = record.layers.iter().all(|layer| self.image_layers.contains_key(layer));
            if is_note || (all && stays) {
                let blob = record.content.and_then(|content| self.blobs.get(&content));
                candidates.push(Candidate {
                    unit: Unit::Record(number),
                    kind: UsageKind::Record,
                    id: record.key.to_string(),
                    size_bytes: record.size_bytes + blob.copied().unwrap_or(0),
                    used_unix_s: record.used_unix_s,
                    depth: record.layers.len(),
                });
            }
        }
        let mut add = |plain: &[SeenPlain], kind, unit: fn(usize) -> Unit| {
            candidates.extend(plain.iter().enumerate().map(|(number, seen)| Candidate {
                unit: unit(number),
                kind,
                id: seen.id(),
                size_bytes: seen.size_bytes,
                used_unix_s: seen.used_unix_s,
                depth: 0,
            }));
        };
        add(&self.mounts, UsageKind::CacheMount, Unit::Mount);
        add(&self.contexts, UsageKind::Context, Unit::Context);
        add(&self.logs, UsageKind::Log, Unit::Log);
        candidates.sort_by_key(|it| (it.used_unix_s, std::cmp::Reverse(it.depth)));
        candidates
    }
}

impl SeenPlain {
    /// The name without its directory: `<hex>/<number>` for a cache mount.
    pub(crate) fn id(&self) -> String {
        self.name.split_once('/').map_or(self.name.as_str(), |(_, id)| id).to_owned()
    }
}

/// What goes.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// Numbers of records. A layer goes when no other record and no image has it.
    pub(crate) records: BTreeSet<usize>,
    pub(crate) mounts: Vec<usize>,
    pub(crate) contexts: Vec<usize>,
    pub(crate) logs: Vec<usize>,
}

/// Chooses from candidates, which are in their order, until what stays fits. `is_used` are layers of running
/// builds and containers, which stay with their records.
pub(crate) fn choose(
    candidates: &[Candidate],
    uses: &BTreeMap<LayerId, LayerUse>,
    used: &HashSet<LayerId>,
    options: &PruneOptions,
    limits: Limits,
) -> Chosen {
    let mut chosen = Chosen::default();
    let mut left: u64 = candidates.iter().map(|it| it.size_bytes).sum();
    let keep = limits.keep_bytes(left, options);
    for candidate in candidates {
        if keep.is_some_and(|keep| left <= keep) {
            break;
        }
        if !options.passes(candidate, limits.now_unix_s) {
            continue;
        }
        match candidate.unit {
            Unit::Layer(layer) if used.contains(&layer) => continue,
            Unit::Layer(layer) => chosen.records.extend(&uses[&layer].records),
            Unit::Record(number) => drop(chosen.records.insert(number)),
            Unit::Mount(number) => chosen.mounts.push(number),
            Unit::Context(number) => chosen.contexts.push(number),
            Unit::Log(number) => chosen.logs.push(number),
        }
        left -= candidate.size_bytes;
    }
    chosen
}

/// What the machine says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) now_unix_s: i64,
    pub(crate) free_bytes: u64,
}

impl Limits {
    /// How much may stay of `total_bytes`; none is nothing at all, with no limit given.
    fn keep_bytes(self, total_bytes: u64, options: &PruneOptions) -> Option<u64> {
        let PruneOptions { max_used_bytes, reserved_bytes, min_free_bytes, .. } = *options;
        max_used_bytes.or(reserved_bytes).or(min_free_bytes)?;
        let reserved = reserved_bytes.unwrap_or(0);
        let keep = match (max_used_bytes, min_free_bytes) {
            (None, None) => reserved,
            (max_used, min_free) => {
                let lacking = min_free.unwrap_or(0).saturating_sub(self.free_bytes);
                max_used.unwrap_or(u64::MAX).min(total_bytes.saturating_sub(lacking))
            }
        };
        Some(keep.max(reserved))
    }
}

/// Layers of `records`, for quick questions.
pub(crate) fn layers_of(census: &Census, is_left: impl Fn(usize) -> bool) -> HashSet<LayerId> {
    let left = census.records.iter().enumerate().filter(|(number, _)| is_left(*number));
    let mut layers: HashSet<LayerId> = left.flat_map(|(_, record)| record.layers.iter().copied()).collect();
    layers.extend(HashMap::keys(&census.image_layers));
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { now_unix_s: 1_000, free_bytes: 50 };

    fn kept(options: &PruneOptions) -> Option<u64> {
        LIMITS.keep_bytes(100, options)
    }

    #[test]
    fn limits_say_how_much_stays() {
        let options = PruneOptions::default();
        assert_eq!(kept(&options), None);
        assert_eq!(kept(&PruneOptions { reserved_bytes: Some(30), ..options.clone() }), Some(30));
        assert_eq!(kept(&PruneOptions { max_used_bytes: Some(40), ..options.clone() }), Some(40));
        assert_eq!(kept(&PruneOptions { max_used_bytes: Some(0), ..options.clone() }), Some(0));
        assert_eq!(kept(&PruneOptions { min_free_bytes: Some(60), ..options.clone() }), Some(90));
        assert_eq!(kept(&PruneOptions { min_free_bytes: Some(50), ..options.clone() }), Some(100));
        assert_eq!(kept(&PruneOptions { min_free_bytes: Some(1_000), ..options.clone() }), Some(0));
        let all = PruneOptions {
            max_used_bytes: Some(80),
            min_free_bytes: Some(1_000),
            reserved_bytes: Some(20),
            ..options
        };
        assert_eq!(kept(&all), Some(20));
    }

    /// Sizes are 10 each; the choice as ids.
    fn chosen(candidates: &[(&str, i64)], options: &PruneOptions) -> usize {
        let mut candidates: Vec<Candidate> = candidates
            .iter()
            .map(|(id, used_unix_s)| Candidate {
                unit: Unit::Log(id.len()),
                kind: UsageKind::Log,
                id: (*id).to_owned(),
                size_bytes: 10,
                used_unix_s: *used_unix_s,
                depth: 0,
            })
            .collect();
        candidates.sort_by_key(|it| it.used_unix_s);
        choose(&candidates, &BTreeMap::new(), &HashSet::new(), options, LIMITS).logs.len()
    }

    #[test]
    fn filters_and_limits_go_together() {
        let seen = [("a", 100), ("bb", 900), ("ccc", 1_000)];
        let options = PruneOptions::default();
        assert_eq!(chosen(&seen, &options), 3);
        assert_eq!(chosen(&seen, &PruneOptions { until_age_s: Some(50), ..options.clone() }), 2);
        assert_eq!(chosen(&seen, &PruneOptions { max_used_bytes: Some(25), ..options.clone() }), 1);
        assert_eq!(chosen(&seen, &PruneOptions { max_used_bytes: Some(10), ..options.clone() }), 2);
        assert_eq!(chosen(&seen, &PruneOptions { ids: vec!["b".into()], ..options.clone() }), 1);
        assert_eq!(chosen(&seen, &PruneOptions { kinds: vec![UsageKind::Layer], ..options }), 0);
    }
}
