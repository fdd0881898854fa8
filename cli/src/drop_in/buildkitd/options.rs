//! What BuildKit's flags and its file come to.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use daemon::SocketOwner;
use engine::Entitlement;
use engine::registries::RegistrySettings;
use image::Platform;

use super::super::flags::Given;
use crate::report::Report;
use crate::store::{Limits, MAX_USED_SPACE, MIN_FREE_SPACE, RESERVED_SPACE};

/// Names of groups and their numbers, see group(5).
const GROUPS: &str = "/etc/group";
/// As many steps as there are processors.
const PROCESSORS: &str = "num-cpu";

/// What the build cache may take; as texts that are numbers of bytes, or parts of the disk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) reserved: Option<String>,
    pub(super) min_free: Option<String>,
    pub(super) max_used: Option<String>,
}

/// What counts here. Flags go before the file.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) debug: bool,
    pub(super) root: Option<PathBuf>,
    pub(super) addresses: Vec<String>,
    pub(super) socket_owner: SocketOwner,
    pub(super) tls_certificate: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) tls_authority: Option<PathBuf>,
    pub(super) entitlements: Vec<Entitlement>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) platforms: Vec<Platform>,
    pub(super) max_parallelism: Option<NonZeroUsize>,
    /// Whether the build cache grows without limits.
    pub(super) is_unlimited: bool,
    pub(super) space: Space,
    pub(super) registries: Vec<(String, RegistrySettings)>,
    /// What counts for nothing, as its writer knows it.
    pub(super) ignored: Vec<String>,
}

impl Options {
    /// Adds what flags say.
    pub(super) fn apply(&mut self, given: &[Given], is_ignored: impl Fn(&str) -> bool) -> Result<(), Report> {
        let all = |name: &'static str| {
            given.iter().filter(move |flag| flag.name == name).map(|flag| flag.value.as_str())
        };
        let has = |name: &str| given.iter().any(|flag| flag.name == name);
        // A list on the command line takes the place of the one in the file.
        if has("addr") {
            self.addresses = all("addr").map(str::to_owned).collect();
        }
        if has("allow-insecure-entitlement") {
            self.entitlements = entitlements(all("allow-insecure-entitlement"))?;
        }
        if has("oci-worker-platform") {
            self.platforms = platforms(all("oci-worker-platform"))?;
        }
        for label in all("oci-worker-labels") {
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            self.labels.insert(name.to_owned(), value.to_owned());
        }
        for flag in given {
            self.flag(flag, &is_ignored)?;
        }
        Ok(())
    }

    fn flag(&mut self, flag: &Given, is_ignored: &impl Fn(&str) -> bool) -> Result<(), Report> {
        let Given { name, value } = flag;
        match *name {
            "debug" | "trace" => self.debug |= flag.is_on(),
            "root" => self.root = Some(absolute(value)?),
            "group" => self.socket_owner.gid = Some(group(value, Path::new(GROUPS))?),
            "tlscert" => self.tls_certificate = Some(value.into()),
            "tlskey" => self.tls_key = Some(value.into()),
            "tlscacert" => self.tls_authority = Some(value.into()),
            "oci-worker-gc" => self.is_unlimited = !flag.is_on(),
            "oci-worker-gc-keepstorage" => self.space = kept(value)?,
            "oci-max-parallelism" => self.max_parallelism = parallelism(value)?,
            // There is one worker, and it is none of containerd's.
            "oci-worker" if value == "false" => self.ignored.push("--oci-worker=false".to_owned()),
            "containerd-worker" if value == "true" => {
                self.ignored.push("--containerd-worker=true".to_owned());
            }
            name if is_ignored(name) => self.ignored.push(format!("--{name}")),
            _ => {}
        }
        Ok(())
    }

    /// The limits of the build cache.
    pub(super) fn limits(&self) -> Limits {
        if self.is_unlimited {
            return [MAX_USED_SPACE, RESERVED_SPACE, MIN_FREE_SPACE]
                .map(|name| (name, "0".to_owned()))
                .into();
        }
        let Space { reserved, min_free, max_used } = &self.space;
        let named = [(RESERVED_SPACE, reserved), (MIN_FREE_SPACE, min_free), (MAX_USED_SPACE, max_used)];
        named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

/// What may be allowed to builds.
pub(super) fn entitlements<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<Entitlement>, Report> {
    let parsed = names.map(str::parse::<Entitlement>);
    parsed.collect::<Result<_, _>>().map_err(|error| Report::mistake(error.to_string()))
}

/// What the worker builds for.
pub(super) fn platforms<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<Platform>, Report> {
    let parsed = names.map(|name| {
        name.parse()
            .map_err(|_| Report::mistake(format!("invalid platform `{name}`, expected OS/ARCHITECTURE")))
    });
    parsed.collect()
}

/// A path that means the same in any working directory.
pub(super) fn absolute(text: &str) -> Result<PathBuf, Report> {
    std::path::absolute(text).map_err(|error| Report::file(Path::new(text), &error))
}

/// `RESERVED[,FREE[,MAXIMUM]]`, in megabytes.
fn kept(text: &str) -> Result<Space, Report> {
    let wrong = || {
        let expected = "RESERVED[,FREE[,MAXIMUM]] in megabytes";
        Report::mistake(format!(
            "invalid value `{text}` of `--oci-worker-gc-keepstorage`, expected {expected}"
        ))
    };
    let bytes = |part: &str| match part.trim().parse::<u64>() {
        Ok(megabytes) => Ok((megabytes > 0).then(|| format!("{}", megabytes.saturating_mul(1_000_000)))),
        Err(_) => Err(wrong()),
    };
    let parts = text.split(',').map(bytes).collect::<Result<Vec<_>, _>>()?;
    if parts.len() > 3 {
        return Err(wrong());
    }
    let mut parts = parts.into_iter();
    let mut next = || parts.next().flatten();
    Ok(Space { reserved: next(), min_free: next(), max_used: next() })
}

/// A number of steps; zero is no limit.
fn parallelism(text: &str) -> Result<Option<NonZeroUsize>, Report> {
    if text == PROCESSORS {
        return Ok(std::thread::available_parallelism().ok());
    }
    let number: usize = text.parse().map_err(|_| {
        Report::mistake(format!(
            "invalid value `{text}` of `--oci-max-parallelism`, expected a number or `{PROCESSORS}`"
        ))
    })?;
    Ok(NonZeroUsize::new(number))
}

/// The number of a group that is given by its name or its number.
fn group(name: &str, groups: &Path) -> Result<u32, Report> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = fs::read_to_string(groups).map_err(|error| Report::file(groups, &error))?;
    let number = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(name);
        fields.nth(1).filter(|_| is_it)?.parse().ok()
    });
    number.ok_or_else(|| Report::mistake(format!("there is no group `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_in_megabytes() {
        let space = |reserved: &str, min_free: Option<&str>, max_used: Option<&str>| Space {
            reserved: Some(reserved.to_owned()),
            min_free: min_free.map(str::to_owned),
            max_used: max_used.map(str::to_owned),
        };
        assert_eq!(kept("9000"), Ok(space("9000000000", None, None)));
        assert_eq!(kept("1, 2,3"), Ok(space("1000000", Some("2000000"), Some("3000000"))));
        for text in ["", "x", "1,2,3,4", "-1"] {
            assert!(kept(text).is_err(), "{text}");
        }
    }

    #[test]
    fn groups_have_names_and_numbers() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "root:x:0:\nbuild:x:1234:a,b\n").unwrap();
        assert_eq!(group("build", file.path()), Ok(1234));
        assert_eq!(group("77", file.path()), Ok(77));
        let missing = group("buil", file.path()).unwrap_err();
        assert_eq!(missing.text(), "ERROR: there is no group `buil`\n");
    }
}
