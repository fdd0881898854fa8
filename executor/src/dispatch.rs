//! Our binary as one of its own helpers.

use crate::{network, supervisor};

/// Name (`argv[0]`) under which the binary is executed to become the helper of a sandbox.
pub(crate) const SANDBOX: &str = "slipway-sandbox";

/// Name under which the binary is executed to become the keeper of the private network.
pub(crate) const NETWORK: &str = "slipway-network";

/// Name under which the binary is executed to connect published ports with a container.
pub(crate) const PORTS: &str = "slipway-ports";

/// Name under which the binary is executed to keep a network that containers share.
pub(crate) const SWITCH: &str = "slipway-switch";

/// Does the work of a helper process if this process was started as one, and then never returns.
///
/// The first statement of `main`, before any thread exists; it costs a comparison.
pub fn dispatch() {
    match std::env::args_os().next() {
        Some(name) if name == SANDBOX => supervisor::run(),
        Some(name) if name == NETWORK => network::run(),
        Some(name) if name == PORTS => network::run_porter(),
        Some(name) if name == SWITCH => network::run_switch(),
        _ => {}
    }
}
