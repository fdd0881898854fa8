//! Which outlet private networks have on this machine, as an earlier command of the same boot has found out.
//!
//! Whoever knows it can start a step before its network is connected, and need not connect it at all if the step makes no
//! socket.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use executor::PrivateNetwork;
use serde::{Deserialize, Serialize};

/// Its file in the store.
const FILE: &str = "outlet";
/// The longest file that we write is a fraction of it.
const BYTES_MAX: u64 = 4096;
/// Where the kernel tells its boot id, see random(4).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What was found out, and where.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    place: Place,
    network: PrivateNetwork,
}

/// A boot, and the namespaces that decide what is possible in it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    boot: String,
    network: u64,
    user: u64,
}

impl Place {
    fn here() -> io::Result<Self> {
        let namespace = |name: &str| fs::metadata(format!("/proc/self/ns/{name}")).map(|it| it.ino());
        Ok(Self {
            boot: fs::read_to_string(BOOT_ID)?.trim_end().to_owned(),
            network: namespace("net")?,
            user: namespace("user")?,
        })
    }
}

/// What is known, if a step can wait for it at its first socket.
pub(crate) fn recall(root: &Path) -> Option<PrivateNetwork> {
    let path = root.join(FILE);
    if fs::metadata(&path).ok()?.len() > BYTES_MAX {
        return None;
    }
    let known: Known = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (known.network.on_demand && known.place == Place::here().ok()?).then_some(known.network)
}

/// Best effort: the next step finds it out again.
pub(crate) fn remember(root: &Path, network: &PrivateNetwork) {
    let written = || {
        let known = Known { place: Place::here()?, network: network.clone() };
        let mut file = tempfile::NamedTempFile::new_in(root)?;
        file.write_all(&serde_json::to_vec(&known)?)?;
        file.persist(root.join(FILE))?;
        Ok::<_, io::Error>(())
    };
    if let Err(error) = written() {
        tracing::debug!(%error, "cannot write down which network this machine has");
    }
}

/// It was not so: the next step finds out how it is.
pub(crate) fn forget(root: &Path) {
    let _ = fs::remove_file(root.join(FILE));
}

#[cfg(test)]
mod tests {
    use super::*;
    use executor::Outlet;

    fn network(on_demand: bool) -> PrivateNetwork {
        let host = Some([10, 0, 0, 1].into());
        PrivateNetwork { outlet: Outlet::Veth, host, name_server: None, forwarding: Vec::new(), on_demand }
    }

    #[test]
    fn what_was_found_out_is_known_until_it_is_wrong() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(recall(root.path()), None);
        remember(root.path(), &network(true));
        assert_eq!(recall(root.path()), Some(network(true)));
        forget(root.path());
        assert_eq!(recall(root.path()), None);
        remember(root.path(), &network(false));
        assert_eq!(recall(root.path()), None, "no step could wait for it");
    }

    #[test]
    fn other_boots_and_damage_are_no_knowledge() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join(FILE);
        remember(root.path(), &network(true));
        let text = fs::read_to_string(&path).expect("it was written");
        let boot = Place::here().expect("a place").boot;
        fs::write(&path, text.replace(&boot, &boot.replace('-', "_"))).expect("it can be written");
        assert_eq!(recall(root.path()), None);
        fs::write(&path, &text[..text.len() / 2]).expect("it can be written");
        assert_eq!(recall(root.path()), None);
    }
}
