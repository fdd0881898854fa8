//! What the containers of builds and of users have in common.

mod attended;
pub(crate) mod cancel;
pub(crate) mod files;
mod privileges;
pub(crate) mod rootfs;
pub(crate) mod stacking;

pub use attended::{Attended, AttendedExit, AttendedMount, Steering, TakeOutput};
pub use privileges::{Grants, Privileges, SystemCalls};

pub use executor::WindowSize;
