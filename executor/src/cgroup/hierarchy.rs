//! Where the host has its control groups, and where in them we are.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::Controller;
use crate::error::{OrKernel, SandboxError};

/// The two interfaces of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

impl Version {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

/// One tree of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    pub(crate) version: Version,
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// The group of this process, below the mount.
    pub(crate) own: PathBuf,
    /// Names of its controllers.
    pub(crate) controllers: Vec<String>,
}

/// All hierarchies of the host, those with their controllers in version 1 first.
pub(crate) fn hierarchies() -> io::Result<Vec<Hierarchy>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let mut found: Vec<Hierarchy> = mounts.lines().filter_map(|line| mounted(line, &groups)).collect();
    found.sort_by_key(|hierarchy| hierarchy.version == Version::Two);
    Ok(found)
}

/// A line of mountinfo, see proc_pid_mountinfo(5).
fn mounted(line: &str, groups: &str) -> Option<Hierarchy> {
    let (place, kind) = line.split_once(" - ")?;
    let (mut place, mut kind) = (place.split(' ').skip(3), kind.split(' '));
    let (root, mount) = (place.next()?, PathBuf::from(place.next()?));
    let (fstype, options) = (kind.next()?, kind.nth(1)?);
    let (version, controllers): (_, Vec<String>) = match fstype {
        "cgroup" => {
            let names = options.split(',').filter(|name| *name != "rw" && *name != "ro");
            (Version::One, names.map(String::from).collect())
        }
        "cgroup2" => {
            let text = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
            (Version::Two, text.split_whitespace().map(String::from).collect())
        }
        _ => return None,
    };
    let group = own_group(groups, version, &controllers)?;
    // In a container the mount may begin below the root of the hierarchy.
    let own = Path::new(group).strip_prefix(root).unwrap_or(Path::new("")).to_path_buf();
    Some(Hierarchy { version, mount, own, controllers })
}

/// Our group by the lines `ID:CONTROLLERS:PATH`, see cgroups(7).
fn own_group<'a>(groups: &'a str, version: Version, controllers: &[String]) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (names, path) = (fields.next()?, fields.next()?);
        let is_it = match version {
            Version::Two => names.is_empty(),
            Version::One => names.split(',').any(|name| controllers.iter().any(|it| it == name)),
        };
        is_it.then_some(path)
    })
}

impl Hierarchy {
    pub(super) fn has(&self, controller: Controller) -> bool {
        // Every group of version 2 but the root can be frozen.
        if self.version == Version::Two && controller == Controller::Freezer {
            return true;
        }
        let name = controller.name(self.version);
        self.controllers.iter().any(|known| known == name)
    }

    /// The groups below which ours may be, the best first. In version 2 a group with processes has no children with
    /// controllers, except for the root.
    pub(super) fn parents(&self, wanted: &str) -> Vec<PathBuf> {
        if !wanted.is_empty() {
            let names = Path::new(wanted).components().filter(|it| matches!(it, Component::Normal(_)));
            return vec![self.mount.join(names.collect::<PathBuf>())];
        }
        match self.version {
            Version::One => vec![self.mount.join(&self.own)],
            Version::Two => self
                .own
                .ancestors()
                .skip(1)
                .map(|path| self.mount.join(path))
                .chain([self.mount.clone()])
                .collect(),
        }
    }

    /// Makes a group in the first parent that allows it.
    pub(super) fn make(
        &self,
        wanted: &str,
        name: &str,
        controllers: &[Controller],
    ) -> Result<PathBuf, SandboxError> {
        let mut refused = None;
        for parent in self.parents(wanted) {
            match self.make_in(&parent, name, controllers) {
                Ok(directory) => return Ok(directory),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.expect("there is at least one parent"))
    }

    fn make_in(
        &self,
        parent: &Path,
        name: &str,
        controllers: &[Controller],
    ) -> Result<PathBuf, SandboxError> {
        fs::create_dir_all(parent).or_kernel(|| format!("mkdir({parent:?})"))?;
        if self.version == Version::Two {
            self.hand_down(parent, controllers)?;
        }
        let directory = parent.join(name);
        fs::create_dir(&directory).or_kernel(|| format!("mkdir({directory:?})"))?;
        Ok(directory)
    }

    /// Lets the children of a group, and of every group above it, use the controllers.
    fn hand_down(&self, parent: &Path, controllers: &[Controller]) -> Result<(), SandboxError> {
        let mut path = self.mount.clone();
        let below = parent.strip_prefix(&self.mount).unwrap_or(Path::new(""));
        let steps = std::iter::once(path.clone()).chain(below.components().map(|name| {
            path.push(name);
            path.clone()
        }));
        for group in steps {
            let file = group.join("cgroup.subtree_control");
            let present = fs::read_to_string(&file).unwrap_or_default();
            for controller in controllers.iter().filter(|it| **it != Controller::Freezer) {
                let name = controller.name(Version::Two);
                if !present.split_whitespace().any(|known| known == name) {
                    let text = format!("+{name}");
                    fs::write(&file, &text).or_kernel(|| format!("write({file:?}, {text:?})"))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_in_a_container_begins_below_the_root() {
        let line = "30 24 0:26 /docker/abc /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory";
        let groups = "4:memory:/docker/abc/inner\n1:name=systemd:/\n0::/\n";
        let hierarchy = mounted(line, groups).expect("a hierarchy");
        assert_eq!(hierarchy.own, Path::new("inner"));
        assert_eq!(hierarchy.controllers, ["memory"]);
        assert_eq!(mounted("30 24 0:26 / /proc rw - proc proc rw", groups), None);
    }

    #[test]
    fn a_parent_stays_in_the_hierarchy() {
        let hierarchy = Hierarchy {
            version: Version::Two,
            mount: "/sys/fs/cgroup".into(),
            own: "user.slice/session.scope".into(),
            controllers: Vec::new(),
        };
        let parents = |wanted| -> Vec<String> {
            hierarchy.parents(wanted).iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(parents("/a//b/."), ["/sys/fs/cgroup/a/b"]);
        assert_eq!(parents(""), ["/sys/fs/cgroup/user.slice", "/sys/fs/cgroup/", "/sys/fs/cgroup"]);
    }
}
