//! Packages as URLs, see <https://github.com/package-url/purl-spec>.

use super::package::{Ecosystem, Package};

/// The distribution of an image, by its `os-release`, see os-release(5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Distribution {
    id: String,
    version: String,
}

impl Distribution {
    /// What a file says; nothing of what it does not say.
    pub(super) fn read(text: &str) -> Self {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
            line.map(|value| value.trim_matches(['"', '\'']).to_owned()).unwrap_or_default()
        };
        Self { id: value("ID"), version: value("VERSION_ID") }
    }
}

/// The URL of a package.
pub(super) fn purl(package: &Package, distribution: &Distribution) -> String {
    let Package { ecosystem, name, version, architecture, .. } = package;
    let escaped = |text: &str| escape(text, false);
    let (kind, place, name) = match ecosystem {
        Ecosystem::Debian => ("deb", vendor(distribution, "debian"), escaped(name)),
        Ecosystem::Alpine => ("apk", vendor(distribution, "alpine"), escaped(name)),
        Ecosystem::Python => ("pypi", String::new(), escaped(&name.to_lowercase().replace('_', "-"))),
        Ecosystem::Node => ("npm", String::new(), escape(name, true)),
        Ecosystem::Go => ("golang", String::new(), escape(&name.to_lowercase(), true)),
        Ecosystem::Rust => ("cargo", String::new(), escaped(name)),
    };
    let mut qualifiers = Vec::new();
    if matches!(ecosystem, Ecosystem::Debian | Ecosystem::Alpine) {
        qualifiers.extend(architecture.as_ref().map(|it| format!("arch={}", escaped(it))));
        let Distribution { id, version } = distribution;
        if !id.is_empty() && !version.is_empty() {
            qualifiers.push(format!("distro={}-{}", escaped(id), escaped(version)));
        }
    }
    let qualifiers = if qualifiers.is_empty() { String::new() } else { format!("?{}", qualifiers.join("&")) };
    format!("pkg:{kind}/{place}{name}@{}{qualifiers}", escaped(version))
}

fn vendor(distribution: &Distribution, otherwise: &str) -> String {
    let id = if distribution.id.is_empty() { otherwise } else { &distribution.id };
    format!("{}/", escape(id, false))
}

/// Percent encoding, but for what a URL of a package may have as it is.
fn escape(text: &str, keeps_slash: bool) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                escaped.push(char::from(byte));
            }
            b'/' if keeps_slash => escaped.push('/'),
            byte => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_follow_the_specification() {
        let debian = Distribution::read("PRETTY_NAME=\"x\"\nID=debian\nVERSION_ID=\"12\"\n");
        let mut package = Package::new(Ecosystem::Debian, "libstdc++6", "1:2+b1~x");
        package.architecture = Some("amd64".to_owned());
        assert_eq!(
            purl(&package, &debian),
            "pkg:deb/debian/libstdc%2B%2B6@1:2%2Bb1~x?arch=amd64&distro=debian-12"
        );
        let nowhere = Distribution::default();
        for (ecosystem, name, expected) in [
            (Ecosystem::Alpine, "musl", "pkg:apk/alpine/musl@1"),
            (Ecosystem::Python, "Flask_X", "pkg:pypi/flask-x@1"),
            (Ecosystem::Node, "@a/b", "pkg:npm/%40a/b@1"),
            (Ecosystem::Go, "github.com/A/b", "pkg:golang/github.com/a/b@1"),
            (Ecosystem::Rust, "serde", "pkg:cargo/serde@1"),
        ] {
            assert_eq!(purl(&Package::new(ecosystem, name, "1"), &nowhere), expected);
        }
    }
}
