//! Explains the first step of a build that runs, while it runs.

use std::path::Path;

use graph::VertexId;

use super::log::newest_first;
use super::reason::{is_enough, is_related, reasons};
use super::{Journal, Reason};

/// Logs that are looked at while a build waits. `slipway why` looks at all.
const LOGS_MAX: usize = 16;

/// Why a step runs that has just begun to, or has just run. None when there is no earlier build of the same: that it is
/// new is no news then.
///
/// Reads no more logs than it takes, since a build waits for it.
pub(crate) fn explain_now(root: &Path, journal: &Journal, id: VertexId) -> Option<Vec<Reason>> {
    let mut logs = vec![journal.excerpt(id)];
    let at = logs[0].steps.len().checked_sub(1)?;
    for log in newest_first(root).take(LOGS_MAX) {
        logs.push(log);
        if is_enough(&logs, at) {
            break;
        }
    }
    let (build, earlier) = logs.split_first()?;
    let is_known = build.steps[at].no_cache || earlier.iter().any(|log| is_related(build, log));
    is_known.then(|| reasons(&logs, at)).filter(|reasons| !reasons.is_empty())
}
