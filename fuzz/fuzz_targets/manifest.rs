//! Whatever a registry sends as a manifest or an index: what can be read can be written, and reads the same again.

#![no_main]

use image::{Index, Manifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let kind = registry::kind_of(bytes, None);
    if let Ok(manifest) = Manifest::parse(bytes) {
        assert_eq!(Manifest::parse(&manifest.to_json()).expect("we wrote it"), manifest);
    }
    if let Ok(index) = Index::parse(bytes) {
        assert_eq!(Index::parse(&index.to_json()).expect("we wrote it"), index);
    }
    drop(kind);
});
