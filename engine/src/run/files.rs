//! The files that every container gets from us.

use std::fs;

/// Host name of build steps, as in BuildKit: the same everywhere, since steps may put it into files.
pub(crate) const HOSTNAME_OF_BUILDS: &str = "buildkitsandbox";

/// Name servers of a host that names none, as in Docker.
const RESOLV_CONF_DEFAULT: &str = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n";

/// `/etc/hosts`, see hosts(5).
pub(crate) fn hosts(hostname: &str) -> String {
    format!(
        "127.0.0.1\tlocalhost {hostname}\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         ff00::0\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n"
    )
}

/// `/etc/resolv.conf` of a container on the host's network: the host's own, see resolv.conf(5).
pub(crate) fn resolv_conf() -> String {
    match fs::read_to_string("/etc/resolv.conf") {
        Ok(text) if !text.trim().is_empty() => text,
        _ => RESOLV_CONF_DEFAULT.to_owned(),
    }
}
