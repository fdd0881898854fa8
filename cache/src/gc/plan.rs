//! What is to go: a pure choice from a census.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::PruneOptions;
use super::census::{Census, Pointer, SeenPlain};
use crate::{LayerId, UsageKind};

/// Something that goes as a whole, together with what depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A layer that no image stands on, with every record that has it.
    Layer(LayerId),
    /// A record that has no layers; by its number in the census.
    Record(usize),
    /// A record whose layers stay, since images stand on them.
    RecordOfImage(usize),
    /// A directory of a cache mount, by its number in the census.
    Mount(usize),
    /// The index of a context.
    Context(usize),
    /// Files that a client of the daemon has sent.
    Client(usize),
    /// The logs of a build.
    Log(usize),
}

impl Unit {
    /// Whether it goes only where everything goes: that frees next to nothing.
    pub(crate) fn is_of_image(&self) -> bool {
        matches!(self, Self::RecordOfImage(_))
    }
}

/// A unit with what decides about it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) unit: Unit,
    pub(crate) kind: UsageKind,
    pub(crate) id: String,
    pub(crate) size_bytes: u64,
    pub(crate) used_unix_ns: i64,
    /// Layers below it. What stands on others goes first.
    depth: usize,
}

/// How layers are used by records.
pub(crate) struct LayerUse {
    /// Numbers of the records that have it.
    pub(crate) records: Vec<usize>,
    pub(crate) used_unix_ns: i64,
    pub(crate) depth: usize,
}

impl Census {
    /// Every layer that some record has.
    pub(crate) fn layer_uses(&self) -> BTreeMap<LayerId, LayerUse> {
        let mut uses: BTreeMap<LayerId, LayerUse> = BTreeMap::new();
        for (number, record) in self.records.iter().enumerate() {
            for (depth, layer) in record.layers.iter().enumerate() {
                let new = || LayerUse { records: Vec::new(), used_unix_ns: i64::MIN, depth };
                let layer_use = uses.entry(*layer).or_insert_with(new);
                layer_use.records.push(number);
                layer_use.used_unix_ns = layer_use.used_unix_ns.max(record.used_unix_ns);
            }
        }
        uses
    }

    /// The blob that stays with a layer, because the layer's tar cannot be made again.
    pub(crate) fn kept_bytes(&self, layer: &LayerId) -> u64 {
        let blob = self.layers.get(layer).and_then(|layer| layer.blob);
        blob.and_then(|blob| self.blobs.get(&blob)).copied().unwrap_or(0)
    }

    /// Everything that could go, in the order in which it would.
    pub(crate) fn candidates(&self, uses: &BTreeMap<LayerId, LayerUse>) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (layer, layer_use) in uses.iter().filter(|(layer, _)| !self.is_stood_on(layer)) {
            candidates.push(Candidate {
                unit: Unit::Layer(*layer),
                kind: UsageKind::Layer,
                id: layer.to_string(),
                size_bytes: self.layers[layer].size_bytes + self.kept_bytes(layer),
                used_unix_ns: layer_use.used_unix_ns,
                depth: layer_use.depth,
            });
        }
        for (number, record) in self.records.iter().enumerate() {
            if record.pointer == Pointer::Image {
                continue;
            }
            let is_note = record.layers.is_empty();
            let stays = record.layers.iter().all(|layer| self.is_stood_on(layer));
            if is_note || stays {
                let blob = record.blobs.first().and_then(|blob| self.blobs.get(blob));
                candidates.push(Candidate {
                    unit: if is_note { Unit::Record(number) } else { Unit::RecordOfImage(number) },
                    kind: UsageKind::Record,
                    id: record.id().to_owned(),
                    size_bytes: record.size_bytes + blob.copied().unwrap_or(0),
                    used_unix_ns: record.used_unix_ns,
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
                used_unix_ns: seen.used_unix_ns,
                depth: 0,
            }));
        };
        add(&self.mounts, UsageKind::CacheMount, Unit::Mount);
        add(&self.contexts, UsageKind::Context, Unit::Context);
        add(&self.clients, UsageKind::Context, Unit::Client);
        add(&self.logs, UsageKind::Log, Unit::Log);
        candidates.sort_by_key(|it| (it.used_unix_ns, std::cmp::Reverse(it.depth)));
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
    pub(crate) clients: Vec<usize>,
    pub(crate) logs: Vec<usize>,
}

/// Chooses from candidates, which are in their order, rule by rule, until what stays fits. `used` are layers of
/// running builds and containers, which stay with their records.
pub(crate) fn choose(
    candidates: &[Candidate],
    uses: &BTreeMap<LayerId, LayerUse>,
    used: &HashSet<LayerId>,
    rules: &[PruneOptions],
    limits: Limits,
) -> Chosen {
    let mut chosen = Chosen::default();
    let total: u64 = candidates.iter().map(|it| it.size_bytes).sum();
    let (mut left, mut is_chosen) = (total, vec![false; candidates.len()]);
    for rule in rules {
        let keep = limits.after(total - left).keep_bytes(left, rule);
        for (candidate, is_chosen) in candidates.iter().zip(&mut is_chosen) {
            if keep.is_some_and(|keep| left <= keep) {
                break;
            }
            if !*is_chosen && rule.passes(candidate, limits.now_unix_s) && chosen.add(candidate, uses, used) {
                *is_chosen = true;
                left -= candidate.size_bytes;
            }
        }
    }
    chosen
}

impl Chosen {
    /// False when the candidate is in use.
    fn add(
        &mut self,
        candidate: &Candidate,
        uses: &BTreeMap<LayerId, LayerUse>,
        used: &HashSet<LayerId>,
    ) -> bool {
        match candidate.unit {
            Unit::Layer(layer) if used.contains(&layer) => return false,
            Unit::Layer(layer) => self.records.extend(&uses[&layer].records),
            Unit::Record(number) | Unit::RecordOfImage(number) => drop(self.records.insert(number)),
            Unit::Mount(number) => self.mounts.push(number),
            Unit::Context(number) => self.contexts.push(number),
            Unit::Client(number) => self.clients.push(number),
            Unit::Log(number) => self.logs.push(number),
        }
        true
    }
}

/// What the machine says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) now_unix_s: i64,
    pub(crate) free_bytes: u64,
}

impl Limits {
    /// When so many bytes have gone.
    fn after(self, gone_bytes: u64) -> Self {
        Self { free_bytes: self.free_bytes.saturating_add(gone_bytes), ..self }
    }

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
    layers.extend(&census.container_layers);
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gc::census::NANOSECONDS;

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
    fn chosen(candidates: &[(&str, i64)], rules: &[PruneOptions]) -> usize {
        let mut candidates: Vec<Candidate> = candidates
            .iter()
            .map(|(id, used_unix_s)| Candidate {
                unit: Unit::Log(id.len()),
                kind: UsageKind::Log,
                id: (*id).to_owned(),
                size_bytes: 10,
                used_unix_ns: *used_unix_s * NANOSECONDS,
                depth: 0,
            })
            .collect();
        candidates.sort_by_key(|it| it.used_unix_ns);
        choose(&candidates, &BTreeMap::new(), &HashSet::new(), rules, LIMITS).logs.len()
    }

    #[test]
    fn filters_and_limits_go_together() {
        let seen = [("a", 100), ("bb", 900), ("ccc", 1_000)];
        let options = PruneOptions::default();
        let one = |options: PruneOptions| chosen(&seen, &[options]);
        assert_eq!(one(options.clone()), 3);
        assert_eq!(one(PruneOptions { until_age_s: Some(50), ..options.clone() }), 2);
        assert_eq!(one(PruneOptions { max_used_bytes: Some(25), ..options.clone() }), 1);
        assert_eq!(one(PruneOptions { max_used_bytes: Some(10), ..options.clone() }), 2);
        assert_eq!(one(PruneOptions { ids: vec!["b".into()], ..options.clone() }), 1);
        assert_eq!(one(PruneOptions { kinds: vec![UsageKind::Layer], ..options }), 0);
    }

    #[test]
    fn rules_go_on_where_the_ones_before_ended() {
        let seen = [("a", 100), ("bb", 900), ("ccc", 1_000)];
        let old = PruneOptions { until_age_s: Some(500), max_used_bytes: Some(5), ..PruneOptions::default() };
        let most = |bytes| PruneOptions { max_used_bytes: Some(bytes), ..PruneOptions::default() };
        assert_eq!(chosen(&seen, std::slice::from_ref(&old)), 1, "the others are young");
        assert_eq!(chosen(&seen, &[old.clone(), most(20)]), 1, "what the first took is enough");
        assert_eq!(chosen(&seen, &[old, most(10)]), 2);
        // 50 are free, and 10 of the file become free with each.
        let free = |bytes| PruneOptions { min_free_bytes: Some(bytes), ..PruneOptions::default() };
        assert_eq!(chosen(&seen, &[free(60), free(60)]), 1, "what is chosen counts as free");
        assert_eq!(chosen(&seen, &[free(60), free(70)]), 2);
    }
}
