//! Makes, lists and removes volumes.

use std::collections::BTreeMap;
use std::io;

use cache::{StoreError, VolumeRemoval};
use jiff::Timestamp;

use super::facts::{ANONYMOUS_LABEL, Facts, LOCAL, LocalOptions, Volume};
use super::filter::VolumeFilters;
use crate::Engine;
use crate::events::{Event, EventKind};

/// Longest name: that of a file.
const NAME_BYTES_MAX: usize = 255;

/// A volume to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeRequest {
    /// Its name; none for an anonymous one.
    pub name: Option<String>,
    /// Its driver; empty for the one that there is.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// What a removal of unused volumes came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunedVolumes {
    /// The names of those that are gone.
    pub names: Vec<String>,
    /// What their files took.
    pub bytes: u64,
}

/// Why a volume cannot be made, used or removed.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A name that is none.
    #[error(
        "create {name}: \"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A name of a single letter, or one that is no file's.
    #[error(
        "create {name}: volume name is too {problem}, names should be at least two alphanumeric characters and at most {NAME_BYTES_MAX}"
    )]
    NameLength {
        /// The name.
        name: String,
        /// "short" or "long".
        problem: &'static str,
    },
    /// A driver that there is not.
    #[error("error looking up volume plugin {driver}: plugin \"{driver}\" not found")]
    Driver {
        /// Its name.
        driver: String,
    },
    /// An option of the driver that there is not.
    #[error("invalid option: \"{option}\"")]
    UnknownOption {
        /// Its name.
        option: String,
    },
    /// An option without another one that it needs.
    #[error("missing required option: \"{option}\"")]
    MissingOption {
        /// Its name.
        option: String,
    },
    /// A limit of a volume's size, which needs quotas of the file system.
    #[error("quota size requested but no quota support")]
    Quota,
    /// There is no volume of this name.
    #[error("get {name}: no such volume")]
    NotThere {
        /// Its name.
        name: String,
    },
    /// A container has it.
    #[error("remove {name}: volume is in use - [{users}]")]
    InUse {
        /// Its name.
        name: String,
        /// Who has it.
        users: String,
    },
    /// Nobody knows the server of a volume.
    #[error("error resolving the address of the server of volume {name}: {host}")]
    Server {
        /// The volume.
        name: String,
        /// The server.
        host: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The directory that a volume of the driver option `bind` is cannot be used.
    #[error("failed to mount local volume: mount {path}:{name}")]
    Device {
        /// The volume.
        name: String,
        /// The directory.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// What is known of it cannot be read, and so not where its files are.
    #[error("volume {name}: what is known of it is damaged, or of another version")]
    Facts {
        /// The volume.
        name: String,
        /// The cause.
        source: io::Error,
    },
    /// A filter that there is not, or a value that it does not have.
    #[error("invalid filter '{text}'")]
    Filter {
        /// As it was written.
        text: String,
    },
    /// The store cannot do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks a name by Docker's rules.
pub(super) fn check_name(name: &str) -> Result<(), VolumeError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric();
    let mut bytes = name.bytes();
    let is_valid =
        bytes.next().is_some_and(is_plain) && bytes.all(|byte| is_plain(byte) || b"_.-".contains(&byte));
    let name = || name.to_owned();
    match name().len() {
        1 => Err(VolumeError::NameLength { name: name(), problem: "short" }),
        _ if !is_valid => Err(VolumeError::Name { name: name() }),
        length if length > NAME_BYTES_MAX => Err(VolumeError::NameLength { name: name(), problem: "long" }),
        _ => Ok(()),
    }
}

impl Engine {
    /// Makes a volume, durable when this returns. One that is there stays as it is.
    ///
    /// # Errors
    ///
    /// A name, a driver or options that are none.
    pub fn create_volume(&self, request: &VolumeRequest) -> Result<String, VolumeError> {
        let name = self.ensure_volume(request, &|_| {})?;
        self.store.write_back()?;
        Ok(name)
    }

    /// The same, without a promise for the case of a power cut. `announce` is told the name of an anonymous one before it is
    /// there.
    pub(super) fn ensure_volume(
        &self,
        request: &VolumeRequest,
        announce: &dyn Fn(&str),
    ) -> Result<String, VolumeError> {
        let VolumeRequest { name, driver, options, labels } = request;
        if !driver.is_empty() && driver != LOCAL {
            return Err(VolumeError::Driver { driver: driver.clone() });
        }
        LocalOptions::parse(options)?;
        let some = |map: &BTreeMap<String, String>| (!map.is_empty()).then(|| map.clone());
        let facts = Facts {
            created_unix_s: Some(Timestamp::now().as_second()),
            labels: some(labels),
            options: some(options),
        };
        let Some(name) = name else { return self.create_anonymous_volume(facts, announce) };
        check_name(name)?;
        if self.store.volume_facts(name)?.is_none() {
            self.tell_volume("create", name);
        }
        self.store.create_volume(name, &facts.encode())?;
        Ok(name.clone())
    }

    fn tell_volume(&self, action: &str, name: &str) {
        Event::now(EventKind::Volume, action, name).with("driver", LOCAL).note(self.root());
    }

    fn create_anonymous_volume(
        &self,
        mut facts: Facts,
        announce: &dyn Fn(&str),
    ) -> Result<String, VolumeError> {
        facts.labels.get_or_insert_default().insert(ANONYMOUS_LABEL.to_owned(), String::new());
        let name = self.store.create_anonymous_volume(&facts.encode(), announce)?;
        self.tell_volume("create", &name);
        Ok(name)
    }

    /// The volume of this name.
    ///
    /// # Errors
    ///
    /// [`VolumeError::NotThere`].
    pub fn volume(&self, name: &str) -> Result<Volume, VolumeError> {
        let missing = || VolumeError::NotThere { name: name.to_owned() };
        check_name(name).map_err(|_| missing())?;
        let facts = Facts::decode(name, &self.store.volume_facts(name)?.ok_or_else(missing)?)?;
        self.told(name, facts)
    }

    fn told(&self, name: &str, facts: Facts) -> Result<Volume, VolumeError> {
        let changed = match facts.created_unix_s {
            Some(_) => 0,
            None => self.store.volume_changed_unix_s(name)?,
        };
        Ok(facts.volume(name, self.store.volume_path(name), changed))
    }

    /// The volumes that pass the filters, in the order of their names.
    pub fn volumes(&self, filters: &VolumeFilters) -> Result<Vec<Volume>, VolumeError> {
        let mut volumes = Vec::new();
        for name in self.store.volumes()? {
            let volume = match self.volume(&name) {
                Ok(volume) => volume,
                // It was removed in the meantime, or is nothing of ours.
                Err(VolumeError::NotThere { .. }) => continue,
                // It is shown, so that it can be removed.
                Err(error @ VolumeError::Facts { .. }) => {
                    tracing::warn!(%error, "a volume cannot be used");
                    self.told(&name, Facts::default())?
                }
                Err(error) => return Err(error),
            };
            let dangles = match filters.dangling {
                None => true,
                Some(wanted) => wanted != self.is_volume_in_use(&name)?,
            };
            if dangles && filters.pass(&volume) {
                volumes.push(volume);
            }
        }
        Ok(volumes)
    }

    /// Whether a container has a volume.
    fn is_volume_in_use(&self, name: &str) -> Result<bool, VolumeError> {
        Ok(!self.users_of_volume(name).is_empty() || self.store.is_volume_in_use(name)?)
    }

    /// Removes a volume with all its files.
    ///
    /// # Errors
    ///
    /// [`VolumeError::NotThere`], and [`VolumeError::InUse`] while a container has it.
    pub fn remove_volume(&self, name: &str) -> Result<(), VolumeError> {
        let missing = || VolumeError::NotThere { name: name.to_owned() };
        check_name(name).map_err(|_| missing())?;
        let name = name.to_owned();
        // Asked under its lock: whoever makes a container has that until the container is there.
        match self.store.remove_volume(&name, || self.users_of_volume(&name).is_empty())? {
            VolumeRemoval::Removed => {
                self.tell_volume("destroy", &name);
                Ok(())
            }
            VolumeRemoval::NotThere => Err(VolumeError::NotThere { name }),
            VolumeRemoval::InUse => {
                let users = self.users_of_volume(&name).join(", ");
                Err(VolumeError::InUse {
                    name,
                    users: if users.is_empty() { "a new container".to_owned() } else { users },
                })
            }
        }
    }

    /// Removes the anonymous volumes that no container has, or all of them.
    pub fn prune_volumes(&self, filters: &VolumeFilters) -> Result<PrunedVolumes, VolumeError> {
        let mut pruned = PrunedVolumes::default();
        for volume in self.volumes(filters)? {
            if !filters.all && !volume.is_anonymous() {
                continue;
            }
            if self.is_volume_in_use(&volume.name)? {
                continue;
            }
            let bytes = bytes_in(&volume.mountpoint);
            match self.remove_volume(&volume.name) {
                Ok(()) => {
                    pruned.names.push(volume.name);
                    pruned.bytes += bytes;
                }
                Err(VolumeError::InUse { .. } | VolumeError::NotThere { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.note_prune(EventKind::Volume, pruned.bytes);
        Ok(pruned)
    }
}

/// What the files in a directory take; what cannot be read counts nothing.
fn bytes_in(directory: &std::path::Path) -> u64 {
    let files = walkdir::WalkDir::new(directory).into_iter().filter_map(Result::ok);
    files.filter_map(|entry| entry.metadata().ok()).filter(|it| it.is_file()).map(|it| it.len()).sum()
}
