//! The ladder: how far a sandbox isolates on this machine.

use serde::Serialize;

use super::Root;
use crate::error::chain;
use crate::namespace::Ids;

/// One rung of the ladder, the best first. The engine takes the highest that holds, by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// Root makes all namespaces but the one of users.
    Root,
    /// An ordinary user is root of a user namespace with many ids.
    UserNamespace,
    /// The same with the user's own id alone.
    SingleId,
    /// User namespaces, and the kernel stacks no layers in them: each step works on a copy.
    Copies,
    /// The same in a container whose `/proc` is covered in part: that of the container is seen inside.
    SharedProcesses,
    /// Neither root nor user namespaces: nothing can be run.
    Nothing,
}

impl Rung {
    /// Every rung, the best first.
    pub const ALL: [Self; 6] =
        [Self::Root, Self::UserNamespace, Self::SingleId, Self::Copies, Self::SharedProcesses, Self::Nothing];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "full namespaces, as root",
            Self::UserNamespace => "full namespaces in a user namespace",
            Self::SingleId => "full namespaces, a single id",
            Self::Copies => "full namespaces, layers copied",
            Self::SharedProcesses => "in a container, processes shown",
            Self::Nothing => "no sandbox",
        }
    }

    /// What it does not isolate, and what it costs.
    pub fn not_isolated(self) -> &'static str {
        match self {
            Self::Root => {
                "The kernel is shared. Ids are the host's: root inside has the id of root, without most of its capabilities"
            }
            Self::UserNamespace => {
                "The kernel is shared, and more of it can be reached than by a user without namespaces"
            }
            Self::SingleId => {
                "As above. Every process inside has the user's own id: `USER` and `chown` to another id are refused"
            }
            Self::Copies => {
                "As above. No less isolated; a step costs the time and the space of a copy of what is below it"
            }
            Self::SharedProcesses => {
                "As above. The names and arguments of the processes of the container around it can be read; Landlock keeps the rest of them out of reach"
            }
            Self::Nothing => {
                "Nothing is run: steps that run a command are refused, and so are images that have to be unpacked"
            }
        }
    }
}

/// What the kernel does in the namespaces of this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    /// It mounts overlays.
    pub(super) stacks: bool,
    /// It makes a `/proc` for a new pid namespace.
    pub(super) shows_own: bool,
}

/// The rung of this machine, and why it is not the next one above.
pub(super) fn of(root: &Root, kernel: Kernel) -> (Rung, Option<String>) {
    match root {
        Err(error) => (Rung::Nothing, Some(chain(error))),
        Ok(_) if !kernel.shows_own => (
            Rung::SharedProcesses,
            Some(String::from(
                "the `/proc` of this container is covered in part, so the kernel makes no other",
            )),
        ),
        Ok(_) if !kernel.stacks => (Rung::Copies, Some(String::from("the kernel mounts no overlay here"))),
        Ok(Ids::Unchanged) => (Rung::Root, None),
        Ok(Ids::Ranges) => (Rung::UserNamespace, None),
        Ok(Ids::Single { reason }) => (Rung::SingleId, Some(reason.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Errno;
    use crate::namespace::NamespaceError;

    #[test]
    fn the_best_that_holds_is_taken() {
        let single = || Ok(Ids::Single { reason: "no ranges".into() });
        let refused = Err(NamespaceError::Kernel { call: "unshare()".into(), source: Errno(libc::EPERM) });
        let all = Kernel { stacks: true, shows_own: true };
        assert_eq!(of(&Ok(Ids::Unchanged), all).0, Rung::Root);
        assert_eq!(of(&Ok(Ids::Ranges), all).0, Rung::UserNamespace);
        assert_eq!(of(&single(), all), (Rung::SingleId, Some("no ranges".into())));
        assert_eq!(of(&single(), Kernel { stacks: false, ..all }).0, Rung::Copies);
        assert_eq!(of(&single(), Kernel { stacks: false, shows_own: false }).0, Rung::SharedProcesses);
        assert_eq!(
            of(&refused, all),
            (Rung::Nothing, Some("unshare(): Operation not permitted (os error 1)".into()))
        );
    }
}
