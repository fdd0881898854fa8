//! apk's `installed`, see apk-package(5).

use super::package::{Ecosystem, Package, fields};

/// The packages that are installed.
pub(super) fn read(bytes: &[u8]) -> Vec<Package> {
    let text = String::from_utf8_lossy(bytes);
    text.split("\n\n").filter_map(package).collect()
}

fn package(paragraph: &str) -> Option<Package> {
    let mut package = Package::new(Ecosystem::Alpine, "", "");
    for (name, value) in fields(paragraph) {
        match name {
            "P" => value.clone_into(&mut package.name),
            "V" => value.clone_into(&mut package.version),
            "A" => package.architecture = Some(value.to_owned()),
            "L" => package.license = Some(value.to_owned()),
            _ => {}
        }
    }
    package.checked()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_packages() {
        let found = read(
            b"C:Q1x=\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\nF:lib\nR:ld-musl-x86_64.so.1\n\nP:broken\n\n",
        );
        let [musl] = &found[..] else { panic!("{found:?}") };
        assert_eq!((musl.name.as_str(), musl.version.as_str()), ("musl", "1.2.5-r0"));
        assert_eq!(musl.license.as_deref(), Some("MIT"));
    }
}
