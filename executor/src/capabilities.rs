//! Sets of capabilities, see capabilities(7).

use serde::{Deserialize, Serialize};

/// Names without `CAP_`, in the order of their numbers in `linux/capability.h`.
const NAMES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What Docker leaves to a container.
const DEFAULT_NAMES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SYS_CHROOT",
    "MKNOD",
    "AUDIT_WRITE",
    "SETFCAP",
];

/// One capability, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability(u8);

impl Capability {
    /// The capability of this name, in any case, with or without `CAP_`. `None` if there is no such capability.
    pub fn from_name(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let number = NAMES.iter().position(|known| *known == bare)?;
        Some(Self(u8::try_from(number).expect("there are fewer than 64 capabilities")))
    }
}

/// A set of capabilities. A bit that the engine itself does not have is left out when the sandbox starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities(u64);

impl Capabilities {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// Every one that the kernel knows.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// This set and one more.
    pub fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability.0)
    }

    /// This set without one.
    pub fn without(self, capability: Capability) -> Self {
        Self(self.0 & !(1 << capability.0))
    }

    /// Whether the set contains it.
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & 1 << capability.0 != 0
    }

    /// The set as the kernel writes it in `/proc/PID/status`: bit N for capability N.
    pub fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn has(self, name: &str) -> bool {
        Capability::from_name(name).is_some_and(|capability| self.contains(capability))
    }
}

impl Default for Capabilities {
    /// Docker's default set.
    fn default() -> Self {
        DEFAULT_NAMES.iter().filter_map(|name| Capability::from_name(name)).fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_set_is_dockers() {
        assert_eq!(Capabilities::default().bits(), 0xa804_25fb);
    }

    #[test]
    fn names_are_numbered_as_in_the_kernel() {
        assert_eq!(Capability::from_name("cap_sys_admin"), Some(Capability(21)));
        assert_eq!(Capability::from_name("CHECKPOINT_RESTORE"), Some(Capability(40)));
        assert_eq!(Capability::from_name("CAP_NOTHING"), None);
    }

    #[test]
    fn sets_grow_and_shrink() {
        let admin = Capability::from_name("SYS_ADMIN").unwrap();
        assert!(Capabilities::ALL.contains(admin));
        assert!(!Capabilities::ALL.without(admin).contains(admin));
        assert!(Capabilities::NONE.with(admin).contains(admin));
    }
}
