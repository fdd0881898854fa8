//! Our binary as one of its own helpers.

use crate::supervisor;

/// Name (`argv[0]`) under which the binary is executed to become the helper of a sandbox.
pub(crate) const SANDBOX: &str = "slipway-sandbox";

/// Does the work of a helper process if this process was started as one, and then never returns.
///
/// The first statement of `main`, before any thread exists; it costs a comparison.
pub fn dispatch() {
    if std::env::args_os().next().is_some_and(|name| name == SANDBOX) {
        supervisor::run();
    }
}
