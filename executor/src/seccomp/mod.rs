//! Which system calls a container may make: an allow-list with the meaning of Docker's default profile.
//!
//! What the list does not contain fails with `EPERM`; a call that is newer than the list with `ENOSYS`, so that a C
//! library falls back to an older one. Calls of another ABI (32 bit, x32) fail with `EPERM`. Stricter than the
//! reference: socket families are an allow-list of the ordinary ones, and input cannot be faked to a terminal.

mod calls;
mod conditions;
mod profile;
mod program;

use std::collections::BTreeMap;
use std::sync::OnceLock;

pub use profile::{ProfileError, compile_profile};
use program::{Answer, Rule, compile};

use crate::capabilities::Capabilities;
use crate::spec::{Seccomp, Spec};

const EPERM: Answer = Answer::Refuse(libc::EPERM);
const ENOSYS: Answer = Answer::Refuse(libc::ENOSYS);

/// Families that socket(2) may create.
const SOCKET_FAMILIES: &[i32] =
    &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET];

/// Values of personality(2) that change no security property: the default, `PER_LINUX32`, `UNAME26` and both, and
/// the question what it is.
const PERSONALITIES: &[u32] = &[0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Flags of clone(2) that create a namespace.
const CLONE_NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// Requests of ioctl(2) that put characters into the input of a terminal, or of the console.
const IOCTL_INJECTIONS: &[u32] = &[libc::TIOCSTI as u32, libc::TIOCLINUX as u32];

/// The filter of most specifications.
static DEFAULT: OnceLock<Vec<u64>> = OnceLock::new();

/// Compiles the filter of most specifications, for [`filter`].
pub(crate) fn warm() {
    DEFAULT.get_or_init(|| build(Capabilities::default()));
}

/// The compiled filter of a specification, empty for none.
pub(crate) fn filter(spec: &Spec) -> Vec<u64> {
    match &spec.seccomp {
        Seccomp::Unconfined => Vec::new(),
        Seccomp::Program(program) => program.clone(),
        Seccomp::Default if spec.capabilities == Capabilities::default() => {
            DEFAULT.get_or_init(|| build(spec.capabilities)).clone()
        }
        Seccomp::Default => build(spec.capabilities),
    }
}

/// A filter that asks about every socket that has to do with the network, and allows all else: for one that
/// stands beside it and refuses what is not allowed.
pub(crate) fn socket_filter() -> Vec<u64> {
    let socket = u32::try_from(libc::SYS_socket).expect("numbers of calls are positive");
    let rule = Rule::Argument {
        index: 0,
        mask: u32::MAX,
        values: vec![libc::AF_UNIX as u32],
        listed: Answer::Allow,
        otherwise: Answer::Ask,
    };
    let rules = BTreeMap::from([(socket, rule)]);
    compile(&rules, socket, Answer::Allow, Answer::Allow, Answer::Allow)
}

fn build(capabilities: Capabilities) -> Vec<u64> {
    compile(&rules(capabilities), calls::KNOWN_MAX, EPERM, ENOSYS, EPERM)
}

fn rules(capabilities: Capabilities) -> BTreeMap<u32, Rule> {
    let mut rules = BTreeMap::new();
    let mut set = |call: libc::c_long, rule| {
        rules.insert(u32::try_from(call).expect("numbers of calls are positive"), rule);
    };
    let new = calls::ALLOWED_NEW.iter().map(|(_, number)| number);
    for call in calls::ALLOWED.iter().chain(calls::ALLOWED_HERE).chain(new) {
        set(*call, Rule::Always(Answer::Allow));
    }
    set(libc::SYS_socket, only(SOCKET_FAMILIES.iter().map(|family| *family as u32).collect()));
    set(libc::SYS_personality, only(PERSONALITIES.to_vec()));
    set(
        libc::SYS_clone,
        Rule::Argument {
            index: 0,
            mask: CLONE_NAMESPACES,
            values: vec![0],
            listed: Answer::Allow,
            otherwise: EPERM,
        },
    );
    // Its flags are behind a pointer, where no filter can look: libc falls back to clone.
    set(libc::SYS_clone3, Rule::Always(ENOSYS));
    set(
        libc::SYS_ioctl,
        Rule::Argument {
            index: 1,
            mask: u32::MAX,
            values: IOCTL_INJECTIONS.to_vec(),
            listed: EPERM,
            otherwise: Answer::Allow,
        },
    );
    for (capability, calls) in calls::WITH_CAPABILITY {
        if capabilities.has(capability) {
            calls.iter().for_each(|call| set(*call, Rule::Always(Answer::Allow)));
        }
    }
    rules
}

fn only(values: Vec<u32>) -> Rule {
    Rule::Argument { index: 0, mask: u32::MAX, values, listed: Answer::Allow, otherwise: EPERM }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::Capability;

    fn rule(capabilities: Capabilities, call: libc::c_long) -> Option<Rule> {
        rules(capabilities).remove(&u32::try_from(call).unwrap())
    }

    #[test]
    fn dangerous_calls_have_no_rule() {
        for call in [
            libc::SYS_add_key,
            libc::SYS_bpf,
            libc::SYS_fsopen,
            libc::SYS_io_uring_setup,
            libc::SYS_keyctl,
            libc::SYS_kexec_load,
            libc::SYS_mount,
            libc::SYS_perf_event_open,
            libc::SYS_request_key,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_userfaultfd,
        ] {
            assert_eq!(rule(Capabilities::default(), call), None, "call {call}");
        }
    }

    #[test]
    fn capabilities_widen_the_list() {
        let admin = Capabilities::default().with(Capability::from_name("SYS_ADMIN").unwrap());
        assert_eq!(rule(admin, libc::SYS_mount), Some(Rule::Always(Answer::Allow)));
        assert_eq!(rule(admin, libc::SYS_clone3), Some(Rule::Always(Answer::Allow)));
        let no_chroot = Capabilities::default().without(Capability::from_name("SYS_CHROOT").unwrap());
        assert_eq!(rule(no_chroot, libc::SYS_chroot), None);
    }

    #[test]
    fn the_program_fits_the_kernel() {
        // BPF_MAXINSNS
        assert!(build(Capabilities::ALL).len() <= 4096);
        assert!(build(Capabilities::default()).len() < 400);
    }
}
