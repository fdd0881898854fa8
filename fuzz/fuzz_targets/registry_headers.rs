//! Whatever a registry says in its headers and documents, reading it ends and gives something in bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for challenge in registry::challenges(&text) {
        assert!(challenge.parameters.iter().all(|(name, value)| name.len() + value.len() <= text.len()));
    }
    if let Some(next) = registry::next_page(&text) {
        assert!(text.contains(next));
    }
    let _ = registry::ErrorDetail::parse(bytes).to_string();
});
