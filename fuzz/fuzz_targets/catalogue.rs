//! Any catalogue of a remote cache, and any listing of a cache mount: refused, or the same after it was written and read
//! again.

#![no_main]

use engine::remote_cache::{Catalogue, Listing};
use libfuzzer_sys::fuzz_target;

/// Packs of the mount.
const PACKS: usize = 3;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(listing) = Listing::decode(bytes, PACKS) {
        let again = Listing::decode(&listing.encode(), PACKS).expect("what was read can be read");
        assert_eq!(again, listing);
    }
    let Ok(catalogue) = Catalogue::parse(bytes, &[]) else { return };
    // What BuildKit knows of it is no part of our own document.
    let json = catalogue.to_json();
    assert_eq!(Catalogue::parse(&json, &[]).expect("what was read can be read").to_json(), json);
});
