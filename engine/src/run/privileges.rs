//! What a container may do beyond the default, or not even that.

use executor::{Capabilities, Capability, ProfileError, Seccomp, Spec, compile_profile};
use serde::{Deserialize, Serialize};

/// The word for every capability, as in Docker.
const ALL: &str = "ALL";

/// What a container is given and denied. The default is Docker's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Privileges {
    /// `--cap-add` as it was written, for people.
    pub cap_add: Vec<String>,
    /// `--cap-drop` as it was written, for people.
    pub cap_drop: Vec<String>,
    /// Its capabilities, or everything.
    pub grants: Grants,
    /// `--security-opt no-new-privileges`; `None` for the default of the sandbox.
    pub no_new_privileges: Option<bool>,
    /// `--security-opt seccomp=`.
    pub system_calls: SystemCalls,
    /// `--read-only`.
    pub is_root_read_only: bool,
    /// `--sysctl`: names and values of parameters that belong to a namespace of the container.
    pub sysctls: Vec<(String, String)>,
}

/// Which system calls a container may make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SystemCalls {
    /// The default of the sandbox; all if the container is privileged.
    #[default]
    Default,
    /// The default of the sandbox, also if the container is privileged.
    Builtin,
    /// All.
    All,
    /// What a profile in Docker's format says.
    Profile(String),
}

/// Which capabilities a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grants {
    /// These, for user 0.
    Capabilities(Capabilities),
    /// `--privileged`: nothing is taken away that is no namespace.
    Everything,
}

impl Default for Grants {
    fn default() -> Self {
        Self::Capabilities(Capabilities::default())
    }
}

impl Grants {
    /// The default set without `drop` and with `add`, by Docker's rules: `ALL` in one of them is the set from which the
    /// other takes away, or to which it adds.
    ///
    /// # Errors
    ///
    /// A name that is no capability.
    pub fn some(add: &[String], drop: &[String]) -> Result<Self, String> {
        let is_all = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(ALL));
        let (adds, drops) = (parse(add)?, parse(drop)?);
        let without = |set: Capabilities| drops.iter().fold(set, |set, capability| set.without(*capability));
        let with = |set: Capabilities| adds.iter().fold(set, |set, capability| set.with(*capability));
        Ok(Self::Capabilities(match (is_all(add), is_all(drop)) {
            (true, true) => Capabilities::ALL,
            (true, false) => without(Capabilities::ALL),
            (false, true) => with(Capabilities::NONE),
            (false, false) => with(without(Capabilities::default())),
        }))
    }
}

fn parse(names: &[String]) -> Result<Vec<Capability>, String> {
    let wanted = names.iter().filter(|name| !name.eq_ignore_ascii_case(ALL));
    wanted
        .map(|name| Capability::from_name(name).ok_or_else(|| format!("unknown capability `{name}`")))
        .collect()
}

impl Privileges {
    /// The specification with these in place of its own.
    ///
    /// # Errors
    ///
    /// That the profile of system calls is none.
    pub(crate) fn apply(&self, spec: Spec) -> Result<Spec, ProfileError> {
        let Self {
            cap_add: _,
            cap_drop: _,
            grants,
            no_new_privileges,
            system_calls,
            is_root_read_only,
            sysctls,
        } = self;
        let mut spec = match grants {
            Grants::Everything => spec.privileged(),
            Grants::Capabilities(capabilities) => Spec { capabilities: *capabilities, ..spec },
        };
        match system_calls {
            SystemCalls::Default => {}
            SystemCalls::Builtin => spec.seccomp = Seccomp::Default,
            SystemCalls::All => spec.seccomp = Seccomp::Unconfined,
            SystemCalls::Profile(text) => {
                spec.seccomp = Seccomp::Program(compile_profile(text, spec.capabilities)?);
            }
        }
        spec.no_new_privs = no_new_privileges.unwrap_or(spec.no_new_privs);
        spec.read_only_root = *is_root_read_only;
        spec.sysctls.clone_from(sysctls);
        Ok(spec)
    }

    /// Looks at the profile of system calls before a container is made with it.
    ///
    /// # Errors
    ///
    /// That it is none.
    pub fn check(&self) -> Result<(), ProfileError> {
        let capabilities = match self.grants {
            Grants::Capabilities(capabilities) => capabilities,
            Grants::Everything => Capabilities::ALL,
        };
        match &self.system_calls {
            SystemCalls::Profile(text) => compile_profile(text, capabilities).map(|_| ()),
            SystemCalls::Default | SystemCalls::Builtin | SystemCalls::All => Ok(()),
        }
    }

    /// `--security-opt` as Docker shows it.
    pub fn security_options(&self) -> Vec<String> {
        let no_new_privileges = self.no_new_privileges.map(|is_set| format!("no-new-privileges={is_set}"));
        let system_calls = match &self.system_calls {
            SystemCalls::Default => None,
            SystemCalls::Builtin => Some("seccomp=builtin".to_owned()),
            SystemCalls::All => Some("seccomp=unconfined".to_owned()),
            SystemCalls::Profile(text) => Some(format!("seccomp={text}")),
        };
        no_new_privileges.into_iter().chain(system_calls).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(add: &[&str], drop: &[&str]) -> u64 {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        match Grants::some(&owned(add), &owned(drop)) {
            Ok(Grants::Capabilities(set)) => set.bits(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_is_where_the_other_begins() {
        let default = Capabilities::default().bits();
        assert_eq!(bits(&[], &[]), default);
        assert_eq!(bits(&["SYS_TIME"], &["cap_chown"]), (default | 1 << 25) & !1);
        assert_eq!(bits(&["all"], &["CHOWN"]), Capabilities::ALL.bits() & !1);
        assert_eq!(bits(&["CHOWN"], &["ALL"]), 1);
        assert_eq!(bits(&["CHOWN"], &["CHOWN"]), default);
        assert!(Grants::some(&["FLY".to_owned()], &[]).is_err());
    }
}
