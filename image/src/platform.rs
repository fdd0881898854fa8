//! Platforms: `os/arch[/variant]` as Docker and the OCI image specification write them.

use std::fmt;
use std::str::FromStr;

/// An operating system, an architecture and, where it matters, its variant, in normal form
/// (`x86_64` is `amd64`, `aarch64` and `arm64/v8` are `arm64`, `arm` is `arm/v7`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    /// Operating system, `linux`.
    pub os: String,
    /// Architecture by its Go name, `amd64`.
    pub architecture: String,
    /// Variant of the architecture, `v7`.
    pub variant: Option<String>,
}

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a platform, expected `os[/arch[/variant]]` such as `linux/arm64`")]
pub struct PlatformError {
    /// The text as given.
    pub text: String,
}

/// Operating systems that are known by their name alone, as in containerd.
const SYSTEMS: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

/// Architectures in normal form that are known by their name alone, as in containerd.
const ARCHITECTURES: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

impl Platform {
    /// The platform that this program was compiled for.
    pub fn host() -> Self {
        Self::normal("linux", std::env::consts::ARCH, None)
    }

    /// The same platform in normal form; one that others wrote need not be.
    #[must_use]
    pub fn normalized(&self) -> Self {
        Self::normal(&self.os, &self.architecture, self.variant.as_deref().filter(|it| !it.is_empty()))
    }

    fn normal(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let (os, architecture) = (os.to_ascii_lowercase(), architecture.to_ascii_lowercase());
        let variant = variant.map(str::to_ascii_lowercase);
        let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
            ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => ("amd64", None),
            ("x86_64" | "x86-64" | "amd64", _) => ("amd64", variant),
            ("aarch64" | "arm64", None | Some("8" | "v8")) => ("arm64", None),
            ("aarch64" | "arm64", _) => ("arm64", variant),
            ("armhf", _) => ("arm", Some("v7".to_owned())),
            ("armel", _) => ("arm", Some("v6".to_owned())),
            ("arm", None | Some("7")) => ("arm", Some("v7".to_owned())),
            ("arm", Some("5" | "6" | "8")) => ("arm", variant.map(|digit| format!("v{digit}"))),
            ("i386" | "i486" | "i586" | "i686" | "x86", _) => ("386", None),
            ("powerpc64le" | "ppc64el", _) => ("ppc64le", variant),
            (other, _) => (other, variant),
        };
        Self { os, architecture: architecture.to_owned(), variant }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError { text: text.to_owned() };
        let parts: Vec<&str> = text.split('/').collect();
        let valid = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        };
        if !parts.iter().all(valid) {
            return Err(error());
        }
        match parts[..] {
            // One word alone is an operating system or an architecture, as in containerd.
            [os] if SYSTEMS.contains(&&*os.to_ascii_lowercase()) => {
                Ok(Self::normal(os, std::env::consts::ARCH, None))
            }
            [architecture] => {
                let platform = Self::normal("linux", architecture, None);
                let is_known = ARCHITECTURES.contains(&platform.architecture.as_str());
                is_known.then_some(platform).ok_or_else(error)
            }
            [os, architecture] => Ok(Self::normal(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::normal(os, architecture, Some(variant))),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_normal() {
        let normal = |text: &str| text.parse::<Platform>().map(|platform| platform.to_string());
        for (text, expected) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("Linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("arm64", "linux/arm64"),
            ("x86_64", "linux/amd64"),
            ("armhf", "linux/arm/v7"),
            ("solaris/sparc64", "solaris/sparc64"),
        ] {
            assert_eq!(normal(text).as_deref(), Ok(expected), "{text}");
        }
        for wrong in ["", "linux/", "linux/a/b/c", "linux/a b", "foo"] {
            assert!(normal(wrong).is_err(), "{wrong}");
        }
    }
}
