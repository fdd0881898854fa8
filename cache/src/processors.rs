//! How many threads are worth starting.

use std::num::NonZero;
use std::sync::OnceLock;

/// The processors that this process may use, as they were when somebody first asked: each question to the system reads half a
/// dozen files of control groups.
pub(crate) fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, NonZero::get))
}
