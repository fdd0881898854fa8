//! Servers of volumes, whose names the kernel does not know.

use std::net::{IpAddr, ToSocketAddrs};

use super::lifecycle::VolumeError;

/// File systems whose server is an option, in Docker's list.
const NETWORKED: [&str; 3] = ["nfs", "nfs4", "cifs"];
/// The option that names the server.
const ADDRESS: &str = "addr=";

/// Mount options with the address of the server in the place of its name.
///
/// # Errors
///
/// That nobody knows the name.
pub(super) fn with_address(volume: &str, fstype: &str, options: &str) -> Result<String, VolumeError> {
    if !NETWORKED.contains(&fstype) {
        return Ok(options.to_owned());
    }
    let resolved = |option: &str| match option.strip_prefix(ADDRESS) {
        Some(host) if host.parse::<IpAddr>().is_err() => {
            address_of(volume, host).map(|address| format!("{ADDRESS}{address}"))
        }
        _ => Ok(option.to_owned()),
    };
    Ok(options.split(',').map(resolved).collect::<Result<Vec<_>, _>>()?.join(","))
}

fn address_of(volume: &str, host: &str) -> Result<IpAddr, VolumeError> {
    let failed = |source| VolumeError::Server { name: volume.to_owned(), host: host.to_owned(), source };
    let mut found = (host, 0).to_socket_addrs().map_err(failed)?;
    let nobody = || failed(std::io::ErrorKind::NotFound.into());
    found.next().map(|address| address.ip()).ok_or_else(nobody)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_addresses_where_the_kernel_wants_them() {
        let of = |fstype, options| with_address("data", fstype, options);
        assert_eq!(of("nfs", "addr=192.0.2.1,rw").unwrap(), "addr=192.0.2.1,rw");
        let found = of("nfs4", "rw,addr=localhost,nfsvers=4").unwrap();
        assert!(
            ["rw,addr=127.0.0.1,nfsvers=4", "rw,addr=::1,nfsvers=4"].contains(&found.as_str()),
            "{found}"
        );
        assert_eq!(of("tmpfs", "addr=localhost").unwrap(), "addr=localhost");
        let error = of("nfs", "addr=no such host").unwrap_err().to_string();
        assert_eq!(error, "error resolving the address of the server of volume data: no such host");
    }
}
