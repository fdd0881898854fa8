//! `METADATA` and `PKG-INFO` of Python's packages, see the core metadata specification of packaging.python.org.

use super::package::{Ecosystem, Package, fields};

/// The package that a file describes.
pub(super) fn read(bytes: &[u8]) -> Option<Package> {
    let text = String::from_utf8_lossy(bytes);
    // What comes after an empty line is a description.
    let head = text.split("\n\n").next().unwrap_or_default();
    let mut package = Package::new(Ecosystem::Python, "", "");
    for (name, value) in fields(head) {
        match name {
            "Name" => value.clone_into(&mut package.name),
            "Version" => value.clone_into(&mut package.version),
            "License" | "License-Expression" if !value.is_empty() => package.license = Some(value.to_owned()),
            _ => {}
        }
    }
    package.checked()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_says_nothing() {
        let found = read(b"Metadata-Version: 2.1\nName: Flask_X\nVersion: 3.0\nLicense: BSD\n\nVersion: 4\n")
            .unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("Flask_X", "3.0"));
        assert_eq!(read(b"Name: x\n"), None);
    }
}
