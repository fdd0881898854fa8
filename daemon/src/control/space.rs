//! `Control.DiskUsage` and `Control.Prune`.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use engine::space::{DiskUsage, PruneOptions, UsageItem, add_filter};
use futures_util::stream;
use tonic::Status;

use crate::Daemon;
use crate::failure::chain;
use crate::proto::control::{DiskUsageRequest, DiskUsageResponse, PruneRequest, UsageRecord};
use crate::proto::{Timestamp, timestamp};
use crate::session::files::joined;
use crate::wire::Replies;

const NANOSECONDS: i64 = 1_000_000_000;

/// What the build cache takes.
pub(super) async fn usage(
    daemon: Rc<Daemon>,
    request: DiskUsageRequest,
) -> Result<DiskUsageResponse, Status> {
    let filters = options(&request.filter)?;
    let items = items(&daemon).await?;
    let record = items.iter().filter(|item| passes(item, &filters)).map(record).collect();
    Ok(DiskUsageResponse { record })
}

/// Frees what nobody uses, and tells of each thing that is gone.
pub(super) async fn prune(daemon: Rc<Daemon>, request: PruneRequest) -> Result<Replies<UsageRecord>, Status> {
    let bytes = |value: i64| u64::try_from(value).ok().filter(|bytes| *bytes > 0);
    let mut options = options(&request.filter)?;
    options.all |= request.all;
    options.max_used_bytes = bytes(request.max_used_space);
    options.reserved_bytes = bytes(request.reserved_space);
    options.min_free_bytes = bytes(request.min_free_space);
    let keep_s = bytes(request.keep_duration.div_euclid(NANOSECONDS));
    options.until_age_s = options.until_age_s.max(keep_s);
    let known: BTreeMap<String, UsageItem> =
        items(&daemon).await?.into_iter().map(|item| (item.id.clone(), item)).collect();
    let engine = daemon.engine()?;
    let pruned = joined(crate::blocking::spawn_blocking(move || engine.prune_cache(&options))).await?;
    let pruned = pruned.map_err(|error| Status::internal(chain(&error)))?;
    let gone = pruned.ids.into_iter().map(move |id| {
        Ok(known.get(&id).map_or_else(|| UsageRecord { id, ..UsageRecord::default() }, record))
    });
    Ok(Box::pin(stream::iter(gone)))
}

/// Filters of containerd are lists of `NAME==VALUE` and `NAME=VALUE`.
fn options(filters: &[String]) -> Result<PruneOptions, Status> {
    let mut options = PruneOptions::default();
    for filter in filters.iter().flat_map(|list| list.split(',')).filter(|filter| !filter.is_empty()) {
        let filter = filter.replacen("==", "=", 1);
        add_filter(&mut options, &filter).map_err(|error| Status::invalid_argument(error.to_string()))?;
    }
    Ok(options)
}

fn passes(item: &UsageItem, filters: &PruneOptions) -> bool {
    let is_named = filters.ids.is_empty() || filters.ids.iter().any(|id| item.id.starts_with(id));
    is_named && (filters.kinds.is_empty() || filters.kinds.contains(&item.kind))
}

async fn items(daemon: &Daemon) -> Result<Vec<UsageItem>, Status> {
    let engine = daemon.engine()?;
    let usage = joined(crate::blocking::spawn_blocking(move || engine.disk_usage())).await?;
    Ok(usage.map_err(|error| Status::internal(chain(&error)))?.cache)
}

fn record(item: &UsageItem) -> UsageRecord {
    UsageRecord {
        id: item.id.clone(),
        mutable: false,
        in_use: item.is_in_use,
        size: i64::try_from(item.total_bytes()).unwrap_or(i64::MAX),
        created_at: item.created_unix_s.and_then(moment),
        last_used_at: item.used_unix_s.and_then(moment),
        description: item.description.clone(),
        record_type: DiskUsage::kind_name(item.kind).to_owned(),
        shared: item.images > 0,
        parents: item.parent.iter().map(ToString::to_string).collect(),
        ..UsageRecord::default()
    }
}

fn moment(unix_s: i64) -> Option<Timestamp> {
    let since = Duration::from_secs(u64::try_from(unix_s).ok()?);
    Some(timestamp(UNIX_EPOCH + since))
}
