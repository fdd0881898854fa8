//! `--volume`: `[SOURCE:]TARGET[:MODE]`.

use std::path::PathBuf;

use executor::{Binding, Propagation, Reach};

use super::lifecycle::check_name;
use super::request::clean_target;
use super::{Missing, MountError, MountRequest, MountSource, VolumeSource};

/// Reads what follows `--volume`, by Docker's rules. A source without a slash at its beginning is the name of a volume.
///
/// # Errors
///
/// What is wrong with it, in Docker's words.
pub fn parse_volume(text: &str) -> Result<MountRequest, MountError> {
    let wrong = || MountError::Specification { text: text.to_owned() };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [target] => (None, target, ""),
        [_, mode] if Mode::parse(mode).is_ok() => return Err(wrong()),
        [source, target] => (Some(source), target, ""),
        [source, target, mode] if !mode.is_empty() => (Some(source), target, mode),
        _ => return Err(wrong()),
    };
    if target.is_empty() || source.is_some_and(str::is_empty) {
        return Err(wrong());
    }
    let parsed = if mode.is_empty() { Mode::default() } else { Mode::parse(mode)? };
    let target = clean_target(target)?;
    let source = match source {
        Some(path) if path.starts_with('/') => parsed.bind(path).ok_or_else(|| bad_mode(mode))?,
        name => parsed.volume(name).ok_or_else(|| bad_mode(mode))??,
    };
    Ok(MountRequest { target, read_only: parsed.read_only == Some(true), source, mode: mode.to_owned() })
}

fn bad_mode(mode: &str) -> MountError {
    MountError::Mode { mode: mode.to_owned() }
}

/// The words behind the second colon, each of which may come once.
#[derive(Default)]
struct Mode {
    read_only: Option<bool>,
    propagation: Option<Propagation>,
    no_copy: bool,
    label: bool,
    consistency: bool,
}

impl Mode {
    fn parse(text: &str) -> Result<Self, MountError> {
        let mut mode = Self::default();
        for word in text.split(',') {
            let is_new = match word {
                "ro" | "rw" => mode.read_only.replace(word == "ro").is_none(),
                // Labels are SELinux's, which has none here.
                "z" | "Z" => !std::mem::replace(&mut mode.label, true),
                "nocopy" => !std::mem::replace(&mut mode.no_copy, true),
                // Of other systems; Docker takes and ignores them here as well.
                "consistent" | "cached" | "delegated" | "default" => {
                    !std::mem::replace(&mut mode.consistency, true)
                }
                word => {
                    let propagation = propagation(word).ok_or_else(|| bad_mode(text))?;
                    mode.propagation.replace(propagation).is_none()
                }
            };
            if !is_new {
                return Err(bad_mode(text));
            }
        }
        Ok(mode)
    }

    /// None if the mode is not for a path of the host.
    fn bind(&self, path: &str) -> Option<MountSource> {
        let propagation = self.propagation.unwrap_or_default();
        let binding = Binding { propagation, ..Binding::default() };
        let path = PathBuf::from(super::request::clean(path));
        (!self.no_copy).then_some(MountSource::Bind { path, missing: Missing::Create, binding })
    }

    /// None if the mode is not for a volume.
    fn volume(&self, name: Option<&str>) -> Option<Result<MountSource, MountError>> {
        if self.propagation.is_some() {
            return None;
        }
        if let Some(Err(error)) = name.map(check_name) {
            return Some(Err(error.into()));
        }
        let volume =
            VolumeSource { name: name.map(str::to_owned), no_copy: self.no_copy, ..VolumeSource::default() };
        Some(Ok(MountSource::Volume(volume)))
    }
}

/// The word of a propagation.
pub(super) fn propagation(word: &str) -> Option<Propagation> {
    Some(match word {
        "private" | "rprivate" => Propagation::Private,
        "slave" => Propagation::Slave(Reach::One),
        "rslave" => Propagation::Slave(Reach::All),
        "shared" => Propagation::Shared(Reach::One),
        "rshared" => Propagation::Shared(Reach::All),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse_volume(text) {
            Err(error) => error.to_string(),
            Ok(MountRequest { target, read_only, source, .. }) => {
                let source = match source {
                    MountSource::Bind { path, binding, .. } => {
                        format!("{} {:?}", path.display(), binding.propagation)
                    }
                    MountSource::Volume(VolumeSource { name, no_copy, .. }) => format!("{name:?} {no_copy}"),
                    MountSource::Tmpfs { .. } => unreachable!("not asked for"),
                };
                format!("{source} {target} {read_only}")
            }
        }
    }

    #[test]
    fn volumes_as_in_docker() {
        insta::assert_snapshot!(shown("/data"), @"None false /data false");
        insta::assert_snapshot!(shown("name:/data/../x//y/"), @r#"Some("name") false /x/y false"#);
        insta::assert_snapshot!(shown("name:/data:ro,nocopy,z"), @r#"Some("name") true /data true"#);
        insta::assert_snapshot!(shown("/a/./b:/data:rw"), @"/a/b Private /data false");
        insta::assert_snapshot!(shown("/a:/data:rslave,ro,cached"), @"/a Slave(All) /data true");
    }

    #[test]
    fn mistakes_are_told_in_dockers_words() {
        insta::assert_snapshot!(shown("a:b:c:d"), @"invalid volume specification: 'a:b:c:d'");
        insta::assert_snapshot!(shown(":/x"), @"invalid volume specification: ':/x'");
        insta::assert_snapshot!(shown("/x:"), @"invalid volume specification: '/x:'");
        insta::assert_snapshot!(shown("/x:ro"), @"invalid volume specification: '/x:ro'");
        insta::assert_snapshot!(shown("/x:/y:"), @"invalid volume specification: '/x:/y:'");
        insta::assert_snapshot!(shown("/x:/y:U"), @"invalid mode: U");
        insta::assert_snapshot!(shown("/x:/y:ro,rw"), @"invalid mode: ro,rw");
        insta::assert_snapshot!(shown("/x:/y:nocopy"), @"invalid mode: nocopy");
        insta::assert_snapshot!(shown("name:/y:shared"), @"invalid mode: shared");
        insta::assert_snapshot!(shown("name:y"), @"invalid mount path: 'y' mount path must be absolute");
        insta::assert_snapshot!(shown("name:/y/.."), @"invalid mount path: '/y/..' destination can't be '/'");
        insta::assert_snapshot!(shown("a/b:/y"), @r#"create a/b: "a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path"#);
    }
}
