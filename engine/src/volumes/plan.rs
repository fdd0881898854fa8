//! From what a user asks for to what the sandbox mounts.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cache::{LayerId, Seed, VolumeUse};
use executor::{Binding, Mount, Propagation, Reach};

use super::facts::{LOCAL, LocalOptions};
use super::lifecycle::{VolumeError, VolumeRequest};
use super::point::MountPoint;
use super::request::{Missing, MountError, MountRequest, MountSource, VolumeSource, clean_target};
use super::server::with_address;
use crate::Engine;

/// Mode of a directory of the host that `--volume` makes, as in Docker.
const DIRECTORY_MODE: u32 = 0o755;
/// Where the kernel lists the mounts that we see.
const MOUNTS: &str = "/proc/self/mountinfo";

/// What mounts have to know of an image and its container.
pub(crate) struct Image<'a> {
    /// Lowest first.
    pub(crate) layers: &'a [LayerId],
    /// `VOLUME`.
    pub(crate) volumes: Vec<&'a str>,
    /// Is told of a volume that is made for the container alone, before that is there.
    pub(crate) announce: &'a dyn Fn(&str),
}

/// The mounts of one container. Its volumes stay while this lives.
#[derive(Debug, Default)]
pub(crate) struct MountPlan {
    /// For the sandbox, outer ones first.
    pub(crate) mounts: Vec<Mount>,
    /// For those who look at the container, in the same order.
    pub(crate) points: Vec<MountPoint>,
    /// Names of volumes that were made for this container.
    pub(crate) anonymous: Vec<String>,
    uses: Vec<VolumeUse>,
}

/// Makes the volumes that are missing, and the directories of the host where that is allowed. What the image declares as
/// volumes and nobody mounts anything on becomes anonymous volumes.
///
/// Everything that can be refused is looked at before anything is made.
pub(crate) fn plan(
    engine: &Engine,
    requests: &[MountRequest],
    image: &Image<'_>,
) -> Result<MountPlan, MountError> {
    let mut all: Vec<MountRequest> = requests.to_vec();
    check(&all)?;
    for volume in &image.volumes {
        let target = clean_target(volume)?;
        if !all.iter().any(|request| request.target == target) {
            let source = MountSource::Volume(VolumeSource::default());
            all.push(MountRequest { target, read_only: false, source, mode: String::new() });
        }
    }
    // Outer ones first, whatever the order in which they were asked for.
    all.sort_by_key(|request| request.target.matches('/').count());
    let mut plan = MountPlan::default();
    let made = all.iter().try_for_each(|request| plan.add(engine, request, image));
    if made.is_err() {
        plan.discard(engine);
    }
    made.map(|()| plan)
}

/// What can be refused before anything is made.
fn check(requests: &[MountRequest]) -> Result<(), MountError> {
    let mut targets = BTreeSet::new();
    for MountRequest { target, source, .. } in requests {
        if !targets.insert(target) {
            return Err(MountError::Duplicate { target: target.clone() });
        }
        if let MountSource::Bind { path, missing, binding } = source {
            if *missing == Missing::Refuse && fs::metadata(path).is_err() {
                return Err(MountError::NoSource { path: path.clone() });
            }
            check_propagation(path, binding.propagation)?;
        }
    }
    Ok(())
}

/// A path can only share the mounts below it when its own mount does.
fn check_propagation(path: &Path, propagation: Propagation) -> Result<(), MountError> {
    let (kind, marks): (_, &[&str]) = match propagation {
        Propagation::Private => return Ok(()),
        Propagation::Shared(_) => ("shared", &["shared:"]),
        Propagation::Slave(_) => ("shared or slave", &["shared:", "master:"]),
    };
    let text = fs::read_to_string(MOUNTS).unwrap_or_default();
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mounts = text.lines().filter_map(|line| {
        let (left, _) = line.split_once(" - ")?;
        let mut fields = left.split(' ').skip(4);
        let mount = PathBuf::from(fields.next()?);
        let tags: Vec<&str> = fields.skip(1).collect();
        path.starts_with(&mount).then_some((mount, tags))
    });
    let Some((mount, tags)) = mounts.max_by_key(|(mount, _)| mount.as_os_str().len()) else { return Ok(()) };
    if tags.iter().any(|tag| marks.iter().any(|mark| tag.starts_with(mark))) {
        return Ok(());
    }
    Err(MountError::NotShared { path, mount, kind })
}

impl MountPlan {
    fn add(&mut self, engine: &Engine, request: &MountRequest, image: &Image<'_>) -> Result<(), MountError> {
        let MountRequest { target, read_only, source, .. } = request;
        match source {
            MountSource::Bind { path, missing, binding } => {
                if *missing == Missing::Create {
                    make_directory(path)?;
                }
                let point = MountPoint {
                    propagation: propagation_word(binding.propagation).to_owned(),
                    ..point("bind", path, request)
                };
                let (source, subpath, target) = (path.clone(), String::new(), target.clone());
                self.push(
                    Mount::Bind { source, subpath, target, read_only: *read_only, binding: *binding },
                    point,
                );
            }
            MountSource::Tmpfs { options } => {
                let options = if *read_only { format!("{options},ro") } else { options.clone() };
                let mount = Mount::FileSystem {
                    fstype: "tmpfs".to_owned(),
                    source: "tmpfs".to_owned(),
                    options,
                    target: target.clone(),
                };
                self.push(mount, point("tmpfs", Path::new(""), request));
            }
            MountSource::Volume(volume) => self.add_volume(engine, request, volume, image)?,
        }
        Ok(())
    }

    fn push(&mut self, mount: Mount, point: MountPoint) {
        self.mounts.push(mount);
        self.points.push(point);
    }

    fn add_volume(
        &mut self,
        engine: &Engine,
        request: &MountRequest,
        volume: &VolumeSource,
        image: &Image<'_>,
    ) -> Result<(), MountError> {
        let wanted = VolumeRequest {
            name: volume.name.clone(),
            driver: volume.driver.clone(),
            options: volume.options.clone(),
            labels: volume.labels.clone(),
        };
        let name = engine.ensure_volume(&wanted, image.announce)?;
        if volume.name.is_none() {
            self.anonymous.push(name.clone());
        }
        let missing = || VolumeError::NotThere { name: name.clone() };
        let held = engine.store.use_volume(&name)?.ok_or_else(missing)?;
        let found = engine.volume(&name)?;
        let (target, read_only) = (request.target.clone(), request.read_only);
        let point = MountPoint {
            name: Some(name.clone()),
            driver: Some(LOCAL.to_owned()),
            ..point("volume", held.path(), request)
        };
        let copies = !volume.no_copy && volume.subpath.is_empty();
        let seed = copies.then(|| Seed { layers: Arc::from(image.layers), path: PathBuf::from(&target) });
        let failed = |source| MountError::Copy { target: request.target.clone(), source };
        let bind = |source: PathBuf, read_only| Mount::Bind {
            source,
            subpath: volume.subpath.clone(),
            target: target.clone(),
            read_only,
            binding: Binding::default(),
        };
        let mount = match LocalOptions::parse(&found.options.unwrap_or_default())? {
            LocalOptions::Own => {
                let has_others = || !engine.users_of_volume(&name).is_empty();
                seed.map_or(Ok(()), |seed| engine.store.seed_volume(&held, &seed, has_others))
                    .map_err(failed)?;
                bind(held.path().to_owned(), read_only)
            }
            LocalOptions::Bind { path, read_only: is_device_read_only } => {
                check_device(&name, &path)?;
                seed.map_or(Ok(()), |seed| engine.store.seed_directory(&path, &seed)).map_err(failed)?;
                bind(path, read_only || is_device_read_only)
            }
            LocalOptions::FileSystem { fstype, device, options } => {
                let options = with_address(&name, &fstype, &options)?;
                let options = if read_only { format!("{options},ro") } else { options };
                Mount::FileSystem { fstype, source: device, options, target: target.clone() }
            }
        };
        self.uses.push(held);
        self.push(mount, point);
        Ok(())
    }

    /// Lets go of the volumes, and removes those that were made for this container alone.
    pub(crate) fn discard(&mut self, engine: &Engine) {
        self.uses.clear();
        for name in self.anonymous.drain(..) {
            // Somebody else may have it by now: then it stays.
            if let Err(error) = engine.remove_volume(&name) {
                tracing::debug!(%error, "an anonymous volume stays");
            }
        }
    }
}

/// `--volume` makes directories that are missing, with those above them.
fn make_directory(path: &Path) -> Result<(), MountError> {
    if fs::metadata(path).is_ok() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
    made.map_err(|source| MountError::CreateSource { path: path.to_owned(), source })
}

fn check_device(name: &str, path: &Path) -> Result<(), VolumeError> {
    let failed =
        |source| VolumeError::Device { name: name.to_owned(), path: path.display().to_string(), source };
    if path.is_absolute() {
        fs::metadata(path).map(drop).map_err(failed)
    } else {
        Err(failed(std::io::Error::from(std::io::ErrorKind::NotFound)))
    }
}

fn point(kind: &str, source: &Path, request: &MountRequest) -> MountPoint {
    MountPoint {
        kind: kind.to_owned(),
        name: None,
        source: source.to_owned(),
        destination: request.target.clone(),
        driver: None,
        mode: request.mode.clone(),
        is_writable: !request.read_only,
        propagation: String::new(),
    }
}

fn propagation_word(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Private => "rprivate",
        Propagation::Slave(Reach::One) => "slave",
        Propagation::Slave(Reach::All) => "rslave",
        Propagation::Shared(Reach::One) => "shared",
        Propagation::Shared(Reach::All) => "rshared",
    }
}
