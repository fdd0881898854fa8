//! What we say of ourselves.

use std::collections::HashMap;

use engine::default_platform;
use engine::space::{DiskUsage, PruneOptions};
use image::Platform;

use crate::Daemon;
use crate::proto::pb;
use crate::proto::types::{BuildkitVersion, GcPolicy, WorkerRecord};

/// What the names of a worker's properties begin with.
const LABELS: &str = "org.mobyproject.buildkit.worker";
const NANOSECONDS: i64 = 1_000_000_000;

/// Our name and version, where clients look for BuildKit's.
pub(super) fn version() -> BuildkitVersion {
    BuildkitVersion {
        package: "slipway".to_owned(),
        version: format!("v{}", env!("CARGO_PKG_VERSION")),
        revision: String::new(),
    }
}

/// The one worker that there is.
pub(crate) fn record(daemon: &Daemon) -> WorkerRecord {
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let ours = [("executor", "oci"), ("snapshotter", "overlayfs"), ("hostname", hostname.as_str())];
    let mut labels: HashMap<_, _> =
        ours.iter().map(|(name, value)| (format!("{LABELS}.{name}"), (*value).to_owned())).collect();
    labels.extend(daemon.settings.labels.clone());
    WorkerRecord {
        id: daemon.worker.clone(),
        labels,
        platforms: match daemon.settings.platforms.as_slice() {
            [] => vec![platform(&default_platform())],
            named => named.iter().map(platform).collect(),
        },
        buildkit_version: Some(version()),
        gc_policy: daemon.collection_rules().iter().map(policy).collect(),
        ..WorkerRecord::default()
    }
}

/// A rule of the collection of the cache.
fn policy(rule: &PruneOptions) -> GcPolicy {
    let bytes = |limit: Option<u64>| limit.map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    GcPolicy {
        all: rule.all,
        keep_duration: bytes(rule.until_age_s).saturating_mul(NANOSECONDS),
        filters: rule.kinds.iter().map(|kind| format!("type=={}", DiskUsage::kind_name(*kind))).collect(),
        reserved_space: bytes(rule.reserved_bytes),
        max_used_space: bytes(rule.max_used_bytes),
        min_free_space: bytes(rule.min_free_bytes),
    }
}

/// A platform as the messages have it.
pub(crate) fn platform(platform: &Platform) -> pb::Platform {
    pb::Platform {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
        ..pb::Platform::default()
    }
}

/// The same for frontends that find it in their environment.
pub(crate) fn json(daemon: &Daemon) -> String {
    let WorkerRecord { id, labels, platforms, .. } = record(daemon);
    let platforms: Vec<_> = platforms
        .iter()
        .map(|it| serde_json::json!({ "os": it.os, "architecture": it.architecture, "variant": it.variant }))
        .collect();
    let labels: std::collections::BTreeMap<_, _> = labels.into_iter().collect();
    serde_json::json!([{ "ID": id, "Labels": labels, "Platforms": platforms }]).to_string()
}
