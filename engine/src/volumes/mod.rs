//! Volumes, and everything else that a user mounts into a container.
//!
//! A volume is a directory of the store with facts beside it. Where its driver options say so, it is a directory of the host
//! or a file system of its own instead, which is mounted in the container's mount namespace alone: nothing is ever
//! mounted on the host, so nothing has to be unmounted when processes die.

mod facts;
mod filter;
mod grammar;
mod lifecycle;
mod mount_option;
mod plan;
mod point;
mod request;
mod server;

pub use facts::{ANONYMOUS_LABEL, LocalOptions, Volume};
pub use filter::VolumeFilters;
pub use grammar::parse_volume;
pub use lifecycle::{PrunedVolumes, VolumeError, VolumeRequest};
pub use mount_option::{parse_mount, parse_tmpfs};
pub(crate) use plan::{Image, MountPlan, plan};
pub use point::MountPoint;
pub use request::{Missing, MountError, MountRequest, MountSource, VolumeSource};
