//! Any catalogue of a remote cache: refused, or the same after it was written and read again.

#![no_main]

use engine::remote_cache::Catalogue;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(catalogue) = Catalogue::parse(bytes) else { return };
    assert_eq!(Catalogue::parse(&catalogue.to_json()).expect("what was read can be read"), catalogue);
});
