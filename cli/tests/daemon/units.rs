//! The units for systemd, as systemd reads them.

use std::fs;
use std::path::Path;
use std::process::Command;

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/systemd");

/// What systemd finds wrong with our units after a change; it reports unknown keys, but does not fail for them.
fn complaints(change: impl Fn(&str) -> String) -> String {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["slipway.service", "slipway.socket"].map(|name| {
        let text = fs::read_to_string(Path::new(UNITS).join(name)).unwrap();
        // The program has to exist, and this one is not installed.
        let text = text.replace("/usr/local/bin/slipway", env!("CARGO_BIN_EXE_slipway"));
        let path = directory.path().join(name);
        fs::write(&path, change(&text)).unwrap();
        path
    });
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(paths).output().unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() || !complaints.is_empty(), "it failed without a word");
    complaints
}

#[test]
fn systemd_understands_the_units() {
    assert_eq!(complaints(str::to_owned), "");
    let wrong = complaints(|text| text.replace("SocketMode", "SocketMood"));
    assert!(wrong.contains("SocketMood"), "{wrong}");
}
