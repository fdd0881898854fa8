//! Devices of the host for steps: `RUN --device`, with the files of the Container Device Interface.

mod edits;
mod file;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use graph::Device;

pub(crate) use edits::DeviceEdits;
use file::{Described, DeviceFile, is_kind};

/// Where files are looked for. What is in a later directory goes before what is in an earlier one.
pub(crate) const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// A driver with a hundred devices has some 100 kB.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// A device with this annotation needs no entitlement, as in BuildKit.
const AUTO_ALLOW: &str = "org.mobyproject.buildkit.device.autoallow";
/// Another name of a device, as in BuildKit.
const CLASS: &str = "org.mobyproject.buildkit.device.class";

/// Which devices a build may have: `--allow device`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceGrant {
    /// All that there are.
    All,
    /// Those of this name.
    Named(String),
    /// That of this name, which the Dockerfile calls by another one.
    Aliased {
        /// Its own name.
        name: String,
        /// What the Dockerfile calls it.
        alias: String,
    },
}

/// Why a step cannot have a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The name is none.
    #[error("invalid device `{name}`, expected VENDOR/CLASS=NAME")]
    Invalid {
        /// What the Dockerfile says.
        name: String,
    },
    /// No file describes it. The wording is BuildKit's.
    #[error("required device \"{name}\" is not registered{}", broken.iter().map(|it| format!("; {it}")).collect::<String>())]
    NotRegistered {
        /// What the Dockerfile says.
        name: String,
        /// Files that cannot be used, and why.
        broken: Vec<String>,
    },
    /// The user has not allowed it. The wording is BuildKit's.
    #[error("device {name} is requested by the build but not allowed")]
    NotAllowed {
        /// Its full name.
        name: String,
    },
    /// It wants something for a container that a step cannot have.
    #[error("device {name} needs {what} (`{}`)", path.display())]
    Unsupported {
        /// Its full name.
        name: String,
        /// The file that says so.
        path: PathBuf,
        /// What it needs.
        what: String,
    },
}

/// The devices of this machine that files describe.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    /// By their full names, `vendor.com/class=name`.
    registered: BTreeMap<String, Registered>,
    broken: Vec<String>,
}

#[derive(Debug, Clone)]
struct Registered {
    file: Arc<(PathBuf, DeviceFile)>,
    index: usize,
}

impl Registered {
    fn described(&self) -> &Described {
        &self.file.1.devices[self.index]
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        let own = self.described().annotations.get(name);
        own.or_else(|| self.file.1.annotations.get(name)).map(String::as_str)
    }
}

impl Devices {
    /// Reads the files. One that cannot be used is remembered for whoever misses a device.
    pub(crate) fn load(directories: &[impl AsRef<Path>]) -> Self {
        let mut devices = Self::default();
        for directory in directories {
            let mut here: BTreeMap<String, Registered> = BTreeMap::new();
            let mut twice = BTreeSet::new();
            for path in files(directory.as_ref()) {
                match read(&path) {
                    Err(problem) => devices.broken.push(format!("`{}` {problem}", path.display())),
                    Ok(file) => {
                        let file = Arc::new((path, file));
                        for (index, device) in file.1.devices.iter().enumerate() {
                            let name = format!("{}={}", file.1.kind, device.name);
                            if here.insert(name.clone(), Registered { file: file.clone(), index }).is_some() {
                                twice.insert(name);
                            }
                        }
                    }
                }
            }
            for name in twice {
                // Which of the two is meant nobody knows.
                here.remove(&name);
                devices
                    .broken
                    .push(format!("{name} is described twice in `{}`", directory.as_ref().display()));
            }
            devices.registered.extend(here);
        }
        devices
    }

    /// What a step gets with the devices that it asks for, if it may have them.
    pub(crate) fn edits(&self, asked: &[Device], grants: &[DeviceGrant]) -> Result<DeviceEdits, DeviceError> {
        let mut names = BTreeSet::new();
        for device in asked {
            let aliased = grants.iter().find_map(|grant| match grant {
                DeviceGrant::Aliased { name, alias } if *alias == device.name => Some(name),
                _ => None,
            });
            match aliased {
                Some(name) => names.extend(self.find(name, device.required)?),
                None => {
                    let found = self.find(&device.name, device.required)?;
                    self.check_allowed(&found, grants)?;
                    names.extend(found);
                }
            }
        }
        self.edits_of(&names)
    }

    fn check_allowed(&self, names: &[String], grants: &[DeviceGrant]) -> Result<(), DeviceError> {
        let mut granted = BTreeSet::new();
        for grant in grants {
            match grant {
                DeviceGrant::All => return Ok(()),
                DeviceGrant::Named(name) => granted.extend(self.find(name, false)?),
                DeviceGrant::Aliased { .. } => {}
            }
        }
        let is_allowed = |name: &String| {
            let auto = self.registered[name].annotation(AUTO_ALLOW);
            granted.contains(name) || matches!(auto, Some("1" | "t" | "T" | "TRUE" | "true" | "True"))
        };
        match names.iter().find(|name| !is_allowed(name)) {
            Some(name) => Err(DeviceError::NotAllowed { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// The full names of the devices that a name means: the kind alone is the first of its devices, `*` all of them.
    fn find(&self, asked: &str, required: bool) -> Result<Vec<String>, DeviceError> {
        let (kind, name) = asked.split_once('=').unwrap_or((asked, ""));
        if !is_kind(kind) {
            return Err(DeviceError::Invalid { name: asked.to_owned() });
        }
        let prefix = format!("{kind}=");
        let of_kind = || self.registered.iter().filter(|(full, _)| full.starts_with(&prefix));
        let full_name = |(full, _): (&String, &Registered)| full.clone();
        let found: Vec<String> = match name {
            "" => of_kind().take(1).map(full_name).collect(),
            "*" => of_kind().map(full_name).collect(),
            _ if self.registered.contains_key(asked) => vec![asked.to_owned()],
            class => of_kind().filter(|(_, it)| it.annotation(CLASS) == Some(class)).map(full_name).collect(),
        };
        if found.is_empty() && required {
            return Err(DeviceError::NotRegistered { name: asked.to_owned(), broken: self.broken.clone() });
        }
        Ok(found)
    }

    /// What a file says of all of its devices comes once, before what it says of each.
    fn edits_of(&self, names: &BTreeSet<String>) -> Result<DeviceEdits, DeviceError> {
        let mut edits = DeviceEdits::default();
        let mut seen = BTreeSet::new();
        for name in names {
            let device = &self.registered[name];
            let (path, file) = &*device.file;
            let unsupported =
                |what| DeviceError::Unsupported { name: name.clone(), path: path.clone(), what };
            if seen.insert(path) {
                edits.add(&file.container_edits).map_err(unsupported)?;
            }
            edits.add(&device.described().container_edits).map_err(unsupported)?;
        }
        Ok(edits)
    }
}

/// The files of a directory, in the order of their names.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_ours = |path: &PathBuf| {
        path.extension().is_some_and(|extension| matches!(extension.to_str(), Some("json" | "yaml" | "yml")))
    };
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(is_ours).collect();
    files.sort_unstable();
    files
}

fn read(path: &Path) -> Result<DeviceFile, String> {
    let text = read_text(path).map_err(|error| format!("cannot be read: {error}"))?;
    let file: DeviceFile = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(|error| first_line(&error))?,
        _ => serde_saphyr::from_str(&text).map_err(|error| first_line(&error))?,
    };
    file.check()?;
    Ok(file)
}

/// Of an error that may show a part of the file.
fn first_line(error: &dyn std::error::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
