//! Names and ids of containers.

use std::fs::File;
use std::io::{self, Read};

/// Digits of an id.
pub(crate) const ID_DIGITS: usize = 64;
/// Digits that people see.
pub const SHORT_ID_DIGITS: usize = 12;

/// How ships are, for names that nobody chose.
const ADJECTIVES: [&str; 32] = [
    "able", "agile", "amber", "bold", "brave", "bright", "brisk", "buoyant", "calm", "clever", "coastal",
    "crisp", "daring", "eager", "fair", "fleet", "gentle", "golden", "hardy", "jolly", "keen", "lively",
    "lucky", "merry", "nimble", "proud", "quiet", "rapid", "sturdy", "sunny", "tidal", "windy",
];
/// What ships are and have.
const NOUNS: [&str; 48] = [
    "anchor",
    "barge",
    "beacon",
    "bosun",
    "bowline",
    "brig",
    "buoy",
    "cabin",
    "canoe",
    "capstan",
    "captain",
    "catamaran",
    "clipper",
    "compass",
    "coracle",
    "cutter",
    "dinghy",
    "dory",
    "ferry",
    "frigate",
    "galleon",
    "galley",
    "harbor",
    "helm",
    "jetty",
    "jib",
    "kayak",
    "keel",
    "ketch",
    "lantern",
    "launch",
    "lugger",
    "mast",
    "mizzen",
    "mooring",
    "oar",
    "pilot",
    "pinnace",
    "rudder",
    "sailor",
    "schooner",
    "sextant",
    "skiff",
    "sloop",
    "spinnaker",
    "tender",
    "tiller",
    "yawl",
];

/// A new id: 64 random hexadecimal digits.
pub(crate) fn new_id() -> io::Result<String> {
    let mut bytes = [0; ID_DIGITS / 2];
    random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A name that nobody chose: `brave_cutter`. From the second attempt on with a number behind it.
pub(crate) fn new_name(attempt: u32) -> io::Result<String> {
    let mut bytes = [0; 4];
    random(&mut bytes)?;
    let (adjective, noun) = (ADJECTIVES[bytes[0] as usize % 32], NOUNS[bytes[1] as usize % NOUNS.len()]);
    let number = u32::from(u16::from_le_bytes([bytes[2], bytes[3]]));
    Ok(if attempt == 0 { format!("{adjective}_{noun}") } else { format!("{adjective}_{noun}{number}") })
}

/// Docker's rule for names.
pub(crate) fn is_name(text: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphanumeric();
    let is_other = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    text.len() >= 2
        && text.len() <= NAME_BYTES_MAX
        && text.starts_with(is_first)
        && text.chars().all(is_other)
}

/// Names are names of files.
const NAME_BYTES_MAX: usize = 255;

fn random(bytes: &mut [u8]) -> io::Result<()> {
    File::open("/dev/urandom")?.read_exact(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_dockers_rule() {
        for name in ["web", "a1", "0_x.y-z"] {
            assert!(is_name(name), "{name}");
        }
        for wrong in ["", "a", "-a", ".hidden", "a/b", "a b", "ä1", "../x"] {
            assert!(!is_name(wrong), "{wrong}");
        }
        assert!(is_name(&new_name(0).unwrap()) && is_name(&new_name(1).unwrap()));
    }

    #[test]
    fn ids_are_hexadecimal() {
        let id = new_id().unwrap();
        assert!(id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
}
