//! `package.json` of an installed package of npm.

use serde::Deserialize;
use serde_json::Value;

use super::package::{Ecosystem, Package};

#[derive(Deserialize)]
struct Description {
    name: String,
    version: String,
    license: Option<Value>,
}

/// The package that a file describes.
pub(super) fn read(bytes: &[u8]) -> Option<Package> {
    let Description { name, version, license } = serde_json::from_slice(bytes).ok()?;
    let license = license.and_then(|license| license.as_str().map(str::to_owned));
    Package { license, ..Package::new(Ecosystem::Node, &name, &version) }.checked()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_scopes() {
        let found = read(br#"{"name":"@a/b","version":"1.0.0","license":"MIT","main":"x"}"#).unwrap();
        assert_eq!((found.name.as_str(), found.license.as_deref()), ("@a/b", Some("MIT")));
        assert_eq!(read(br#"{"name":"a"}"#), None);
        assert_eq!(read(b"[]"), None);
    }
}
