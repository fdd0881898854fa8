//! `--mount` and `--tmpfs`: lists of options.

use std::collections::BTreeMap;
use std::path::PathBuf;

use executor::{Below, Binding};

use super::grammar::propagation;
use super::lifecycle::check_name;
use super::request::{clean, clean_target};
use super::{Missing, MountError, MountRequest, MountSource, VolumeSource};

/// What a file system in memory is mounted with unless it is told otherwise, as in Docker.
const TMPFS_DEFAULT: &str = "noexec,nosuid,nodev";
/// Mode of its root directory, as in Docker.
const TMPFS_MODE: &str = "mode=1777";
/// Options of `--tmpfs` that stand alone, and those that have a value: Docker's.
const TMPFS_FLAGS: [&str; 22] = [
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "ro",
    "rw",
    "sync",
    "async",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "defaults",
    "rprivate",
    "private",
];
const TMPFS_VALUES: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

/// Reads what follows `--mount`, already taken apart at its commas. `bytes` reads sizes.
///
/// # Errors
///
/// What is wrong with it, in Docker's words.
pub fn parse_mount(
    text: &str,
    fields: &[String],
    bytes: impl Fn(&str) -> Option<u64>,
) -> Result<MountRequest, MountError> {
    let wrong = |problem: String| MountError::Option { text: text.to_owned(), problem };
    let mut options = Options::default();
    for field in fields {
        options.set(field, &bytes).map_err(wrong)?;
    }
    options.finish(wrong)
}

#[derive(Default)]
struct Options {
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    binding: Option<Binding>,
    volume: Option<VolumeSource>,
    tmpfs: Vec<String>,
}

impl Options {
    fn set(&mut self, field: &str, bytes: &impl Fn(&str) -> Option<u64>) -> Result<(), String> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.trim().to_ascii_lowercase(), Some(value)),
            None => (field.trim().to_ascii_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("readonly" | "ro", value) => self.read_only = boolean(&key, value)?,
            ("volume-nocopy", value) => self.volume().no_copy = boolean(&key, value)?,
            ("bind-nonrecursive", value) => {
                self.binding().below = if boolean(&key, value)? { Below::None } else { Below::All };
            }
            (_, None) => return Err(format!("invalid field '{field}' must be a key=value pair")),
            ("type", Some(value)) => self.kind = Some(value.to_ascii_lowercase()),
            ("source" | "src", Some(value)) => self.source = Some(value.to_owned()),
            ("target" | "dst" | "destination", Some(value)) => self.target = Some(value.to_owned()),
            // Of other systems; Docker takes and ignores it here as well.
            ("consistency", Some(_)) => {}
            ("bind-propagation", Some(value)) => {
                self.binding().propagation =
                    propagation(value).ok_or_else(|| format!("invalid propagation mode: {value}"))?;
            }
            ("bind-recursive", Some(value)) => self.binding().below = below(value)?,
            ("volume-subpath", Some(value)) => value.clone_into(&mut self.volume().subpath),
            ("volume-driver", Some(value)) => value.clone_into(&mut self.volume().driver),
            ("volume-label", Some(value)) => add(&mut self.volume().labels, value),
            ("volume-opt", Some(value)) => add(&mut self.volume().options, value),
            ("tmpfs-size", Some(value)) => {
                let size = bytes(value).ok_or_else(|| format!("invalid value for {key}: {value}"))?;
                self.tmpfs.push(format!("size={size}"));
            }
            ("tmpfs-mode", Some(value)) => {
                let mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                let mode = mode.ok_or_else(|| format!("invalid value for {key}: {value}"))?;
                self.tmpfs.push(format!("mode={mode:o}"));
            }
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
        Ok(())
    }

    fn binding(&mut self) -> &mut Binding {
        self.binding.get_or_insert_default()
    }

    fn volume(&mut self) -> &mut VolumeSource {
        self.volume.get_or_insert_default()
    }

    fn finish(self, wrong: impl Fn(String) -> MountError) -> Result<MountRequest, MountError> {
        let kind = self.kind.as_deref().unwrap_or("volume");
        let cannot_mix =
            |other: &str| wrong(format!("cannot mix '{other}-*' options with mount type '{kind}'"));
        if self.binding.is_some() && kind != "bind" {
            return Err(cannot_mix("bind"));
        }
        if self.volume.is_some() && kind != "volume" {
            return Err(cannot_mix("volume"));
        }
        if !self.tmpfs.is_empty() && kind != "tmpfs" {
            return Err(cannot_mix("tmpfs"));
        }
        let target = self.target.filter(|target| !target.is_empty());
        let target = clean_target(&target.ok_or_else(|| wrong("target is required".to_owned()))?)?;
        let source = match (kind, self.source.filter(|source| !source.is_empty())) {
            ("bind", None) => return Err(wrong("source is required".to_owned())),
            ("bind", Some(path)) if !path.starts_with('/') => {
                return Err(wrong(format!("invalid mount path: '{path}' mount path must be absolute")));
            }
            ("bind", Some(path)) => MountSource::Bind {
                path: PathBuf::from(clean(&path)),
                missing: Missing::Refuse,
                binding: self.binding.unwrap_or_default(),
            },
            ("volume", name) => {
                name.as_deref().map_or(Ok(()), check_name)?;
                MountSource::Volume(VolumeSource { name, ..self.volume.unwrap_or_default() })
            }
            ("tmpfs", Some(_)) => return Err(wrong("cannot specify a source for a tmpfs mount".to_owned())),
            ("tmpfs", None) => {
                let own = [TMPFS_DEFAULT, TMPFS_MODE].map(str::to_owned);
                MountSource::Tmpfs { options: [own.as_slice(), &self.tmpfs].concat().join(",") }
            }
            _ => return Err(wrong(format!("mount type '{kind}' is not one of bind, tmpfs, volume"))),
        };
        Ok(MountRequest { target, read_only: self.read_only, source, mode: String::new() })
    }
}

fn boolean(key: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
        Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
        Some(value) => Err(format!("invalid value for {key}: {value}")),
    }
}

fn below(value: &str) -> Result<Below, String> {
    match value {
        "enabled" | "readonly" => Ok(Below::All),
        "writable" => Ok(Below::AllWritable),
        "disabled" => Ok(Below::None),
        _ => Err(format!(
            "invalid value for bind-recursive: {value} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
        )),
    }
}

fn add(map: &mut BTreeMap<String, String>, text: &str) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    map.insert(key.to_owned(), value.to_owned());
}

/// Reads what follows `--tmpfs`: `TARGET[:OPTIONS]`, where the options are those of mount(8).
///
/// # Errors
///
/// An option that is none of a file system in memory, or a target that is no path.
pub fn parse_tmpfs(text: &str) -> Result<MountRequest, MountError> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut list = format!("{TMPFS_DEFAULT},{TMPFS_MODE}");
    let mut read_only = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let is_known = match option.split_once('=') {
            Some((key, value)) => TMPFS_VALUES.contains(&key) && !value.is_empty(),
            None => TMPFS_FLAGS.contains(&option),
        };
        if !is_known {
            return Err(MountError::TmpfsOption { option: option.to_owned() });
        }
        match option {
            "ro" | "rw" => read_only = option == "ro",
            "private" | "rprivate" | "nostrictatime" => {}
            option => list += &format!(",{option}"),
        }
    }
    let source = MountSource::Tmpfs { options: list };
    Ok(MountRequest { target: clean_target(target)?, read_only, source, mode: options.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let fields: Vec<String> = text.split(',').map(str::to_owned).collect();
        match parse_mount(text, &fields, |text| text.parse().ok()) {
            Ok(request) => format!("{} {} {:?}", request.target, request.read_only, request.source),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn mounts_as_in_docker() {
        insta::assert_snapshot!(shown("type=bind,src=/a,dst=/b,ro,bind-propagation=rslave"), @r#"/b true Bind { path: "/a", missing: Refuse, binding: Binding { below: All, propagation: Slave(All) } }"#);
        insta::assert_snapshot!(shown("src=vv,target=/b,readonly=false,volume-nocopy,volume-subpath=x"), @r#"/b false Volume(VolumeSource { name: Some("vv"), driver: "", options: {}, labels: {}, no_copy: true, subpath: "x" })"#);
        insta::assert_snapshot!(shown("type=volume,dst=/b,volume-opt=type=nfs,volume-opt=o=rw,volume-label=a"), @r#"/b false Volume(VolumeSource { name: None, driver: "", options: {"o": "rw", "type": "nfs"}, labels: {"a": ""}, no_copy: false, subpath: "" })"#);
        insta::assert_snapshot!(shown("type=tmpfs,dst=/b,tmpfs-size=64,tmpfs-mode=1770"), @r#"/b false Tmpfs { options: "noexec,nosuid,nodev,mode=1777,size=64,mode=1770" }"#);
    }

    #[test]
    fn mistakes_are_told_with_what_was_written() {
        insta::assert_snapshot!(shown("type=bind,dst=/b"), @r#"invalid argument "type=bind,dst=/b" for "--mount" flag: source is required"#);
        insta::assert_snapshot!(shown("type=bind,src=/a"), @r#"invalid argument "type=bind,src=/a" for "--mount" flag: target is required"#);
        insta::assert_snapshot!(shown("type=bind,src=a,dst=/b"), @r#"invalid argument "type=bind,src=a,dst=/b" for "--mount" flag: invalid mount path: 'a' mount path must be absolute"#);
        insta::assert_snapshot!(shown("type=tmpfs,src=a,dst=/b"), @r#"invalid argument "type=tmpfs,src=a,dst=/b" for "--mount" flag: cannot specify a source for a tmpfs mount"#);
        insta::assert_snapshot!(shown("type=tmpfs,dst=/b,volume-nocopy"), @r#"invalid argument "type=tmpfs,dst=/b,volume-nocopy" for "--mount" flag: cannot mix 'volume-*' options with mount type 'tmpfs'"#);
        insta::assert_snapshot!(shown("type=npipe,dst=/b"), @r#"invalid argument "type=npipe,dst=/b" for "--mount" flag: mount type 'npipe' is not one of bind, tmpfs, volume"#);
        insta::assert_snapshot!(shown("dst=/b,colour=red"), @r#"invalid argument "dst=/b,colour=red" for "--mount" flag: unexpected key 'colour' in 'colour=red'"#);
        insta::assert_snapshot!(shown("dst=/b,x"), @r#"invalid argument "dst=/b,x" for "--mount" flag: invalid field 'x' must be a key=value pair"#);
        insta::assert_snapshot!(shown("dst=/b,ro=maybe"), @r#"invalid argument "dst=/b,ro=maybe" for "--mount" flag: invalid value for ro: maybe"#);
    }

    #[test]
    fn file_systems_in_memory() {
        let options = |text: &str| match parse_tmpfs(text).map(|request| request.source) {
            Ok(MountSource::Tmpfs { options }) => options,
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string(),
        };
        insta::assert_snapshot!(options("/run"), @"noexec,nosuid,nodev,mode=1777");
        insta::assert_snapshot!(options("/run:rw,exec,size=64k,mode=755"), @"noexec,nosuid,nodev,mode=1777,exec,size=64k,mode=755");
        insta::assert_snapshot!(options("/run:colour=red"), @r#"invalid tmpfs option "colour=red""#);
        insta::assert_snapshot!(options("run"), @"invalid mount path: 'run' mount path must be absolute");
        assert!(parse_tmpfs("/run:ro").unwrap().read_only);
    }
}
