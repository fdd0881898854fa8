//! The files that every container gets from us.

use std::net::IpAddr;

/// Host name of build steps, as in BuildKit: the same everywhere, since steps may put it into files.
pub(crate) const HOSTNAME_OF_BUILDS: &str = "buildkitsandbox";

/// `/etc/hosts`, see hosts(5).
pub(crate) fn hosts(hostname: &str) -> String {
    standard_hosts(&format!(" {hostname}"))
}

/// The same for a container with addresses that others know.
pub(crate) fn hosts_at(hostname: &str, addresses: &[IpAddr]) -> String {
    if addresses.is_empty() {
        return hosts(hostname);
    }
    let own: String = addresses.iter().map(|address| format!("{address}\t{hostname}\n")).collect();
    standard_hosts("") + &own
}

fn standard_hosts(more: &str) -> String {
    format!(
        "127.0.0.1\tlocalhost{more}\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         ff00::0\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n"
    )
}

/// The resource limits of all processes of a container.
pub(crate) fn rlimits(surroundings: &graph::Surroundings) -> Vec<executor::Rlimit> {
    let one = |limit: &graph::Ulimit| executor::Rlimit {
        name: limit.name.clone(),
        soft: limit.soft,
        hard: limit.hard,
    };
    surroundings.ulimits.iter().map(one).collect()
}
