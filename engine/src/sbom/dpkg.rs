//! dpkg's `status`, see dpkg(1) and deb822(5).

use super::package::{Ecosystem, Package, fields};

/// The packages that are installed.
pub(super) fn read(bytes: &[u8]) -> Vec<Package> {
    let text = String::from_utf8_lossy(bytes);
    text.split("\n\n").filter_map(package).collect()
}

fn package(paragraph: &str) -> Option<Package> {
    let mut package = Package::new(Ecosystem::Debian, "", "");
    // Images without dpkg itself keep paragraphs without a status.
    let mut is_installed = true;
    for (name, value) in fields(paragraph) {
        match name {
            "Package" => value.clone_into(&mut package.name),
            "Version" => value.clone_into(&mut package.version),
            "Architecture" => package.architecture = Some(value.to_owned()),
            "Status" => is_installed = value.ends_with(" installed"),
            _ => {}
        }
    }
    package.checked().filter(|_| is_installed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_counts() {
        let status = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3\nDescription: x\n Version: 9\n\n\
                      Package: b\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: c\nVersion: 3\n";
        let found = read(status.as_bytes());
        let shown: Vec<_> =
            found.iter().map(|it| format!("{} {} {:?}", it.name, it.version, it.architecture)).collect();
        assert_eq!(shown, ["a 1:2-3 Some(\"amd64\")", "c 3 None"]);
    }
}
