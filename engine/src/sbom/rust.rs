//! What cargo-auditable writes into programs: a list of crates, see its `PARSING.md`.

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use serde::Deserialize;

use super::package::{Ecosystem, Package};

/// Where it is.
pub(super) const SECTION: &str = ".dep-v0";
/// Of the list, as its authors advise.
const LIST_BYTES_MAX: u64 = 8 << 20;

#[derive(Deserialize)]
struct List {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    /// `build` for what only ran while the program was built.
    kind: Option<String>,
}

/// The crates of a program.
pub(super) fn read(section: &[u8]) -> Vec<Package> {
    let mut bytes = Vec::new();
    if ZlibDecoder::new(section).take(LIST_BYTES_MAX).read_to_end(&mut bytes).is_err() {
        return Vec::new();
    }
    let Ok(List { packages }) = serde_json::from_slice(&bytes) else { return Vec::new() };
    let is_inside = |it: &Crate| it.kind.as_deref() != Some("build");
    let package = |it: Crate| Package::new(Ecosystem::Rust, &it.name, &it.version).checked();
    packages.into_iter().filter(is_inside).filter_map(package).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_only_built_the_program_is_not_in_it() {
        let list = br#"{"packages":[{"name":"a","version":"1.0.0","source":"local","root":true},{"name":"cc","version":"2.0.0","source":"crates.io","kind":"build"}]}"#;
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(list).unwrap();
        let found = read(&zlib.finish().unwrap());
        let [only] = &found[..] else { panic!("{found:?}") };
        assert_eq!((only.name.as_str(), only.version.as_str()), ("a", "1.0.0"));
        assert_eq!(read(b"no zlib"), []);
    }
}
