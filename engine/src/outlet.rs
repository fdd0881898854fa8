//! Which outlet private networks have on this machine, as an earlier command of the same boot has found out.
//!
//! Whoever knows it can start a step before its network is connected, and need not connect it at all if the step makes no
//! socket.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use executor::PrivateNetwork;
use image::Digest;
use serde::{Deserialize, Serialize};

/// Its file in the store.
const FILE: &str = "outlet";
/// The longest file that we write is a fraction of it.
const BYTES_MAX: u64 = 4096;
/// The file begins with the SHA-256 of the rest, in hexadecimal digits.
const DIGEST_CHARACTERS: usize = 64;
/// Where the kernel tells its boot id, see random(4).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What was found out, and where.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    place: Place,
    network: PrivateNetwork,
}

/// A boot, and what decides what is possible in it. An ordinary user has a new user namespace each time, with the same ids.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    boot: String,
    network: u64,
    ids: String,
}

impl Place {
    fn here() -> io::Result<Self> {
        Ok(Self {
            boot: fs::read_to_string(BOOT_ID)?.trim_end().to_owned(),
            network: fs::metadata("/proc/self/ns/net")?.ino(),
            ids: fs::read_to_string("/proc/self/uid_map")?,
        })
    }
}

/// What is known, if a step can wait for it at its first socket.
pub(crate) fn recall(root: &Path) -> Option<PrivateNetwork> {
    let path = root.join(FILE);
    if fs::metadata(&path).ok()?.len() > BYTES_MAX {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    let (digest, text) = bytes.split_at_checked(DIGEST_CHARACTERS)?;
    if Digest::of(text).hex().as_bytes() != digest {
        return None;
    }
    let known: Known = serde_json::from_slice(text).ok()?;
    (known.network.on_demand && known.place == Place::here().ok()?).then_some(known.network)
}

/// Best effort: the next step finds it out again.
pub(crate) fn remember(root: &Path, network: &PrivateNetwork) {
    let written = || {
        let known = Known { place: Place::here()?, network: network.clone() };
        let mut file = tempfile::NamedTempFile::new_in(root)?;
        let text = serde_json::to_vec(&known)?;
        file.write_all(Digest::of(&text).hex().as_bytes())?;
        file.write_all(&text)?;
        file.persist(root.join(FILE))?;
        Ok::<_, io::Error>(())
    };
    if let Err(error) = written() {
        tracing::debug!(%error, "cannot write down which network this machine has");
    }
}

/// What it takes, in bytes.
pub(crate) fn size_bytes(root: &Path) -> u64 {
    fs::metadata(root.join(FILE)).map_or(0, |metadata| metadata.len())
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
    fn damage_is_no_knowledge() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join(FILE);
        remember(root.path(), &network(true));
        let bytes = fs::read(&path).expect("it was written");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).expect("it can be written");
            assert_eq!(recall(root.path()), None, "byte {at}");
        }
        fs::write(&path, &bytes[..DIGEST_CHARACTERS / 2]).expect("it can be written");
        assert_eq!(recall(root.path()), None);
    }

    #[test]
    fn other_places_are_no_knowledge() {
        let root = tempfile::tempdir().expect("a directory");
        let other = Place { boot: "before".to_owned(), ..Place::here().expect("a place") };
        let text = serde_json::to_vec(&Known { place: other, network: network(true) }).expect("it is JSON");
        let bytes = [Digest::of(&text).hex().into_bytes(), text].concat();
        fs::write(root.path().join(FILE), bytes).expect("it can be written");
        assert_eq!(recall(root.path()), None);
    }
}
