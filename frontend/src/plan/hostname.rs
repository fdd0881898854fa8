//! What steps call the machine that they run on.

use super::PlanOptions;
use crate::diagnostic::Diagnostic;

/// The build argument with the name.
const HOSTNAME: &str = "BUILDKIT_SANDBOX_HOSTNAME";

/// Longest name that the kernel takes, bytes: `HOST_NAME_MAX`, see sethostname(2).
const HOSTNAME_BYTES_MAX: usize = 64;

/// The name that the user gives; none is the engine's default. As in BuildKit it may be what the kernel takes, blanks included:
/// `/etc/hosts` has several names then.
pub(super) fn hostname(options: &PlanOptions) -> Result<Option<String>, Diagnostic> {
    let Some(name) = options.build_args.get(HOSTNAME).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    if name.len() <= HOSTNAME_BYTES_MAX && !name.contains('\0') {
        return Ok(Some(name.clone()));
    }
    let message = format!("`{HOSTNAME}` is not the name of a host: `{name}`");
    let help = format!("give at most {HOSTNAME_BYTES_MAX} bytes, best letters, digits, `-` and `.`");
    Err(Diagnostic::error("InvalidHostname", 0..0, message).with_help(help))
}
