//! What the process may do: limits, ids, capabilities, system calls.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Gid, Signal, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::{OrKernel, SandboxError};
use crate::on_demand;
use crate::spec::{Network, Rlimit, Spec};
use crate::sys;
use crate::user::Identity;

/// Highest capability number that the interface of capset(2) can carry.
const CAPABILITY_NUMBERS: u32 = 64;

/// Gives up everything that the specification does not grant.
///
/// The filter comes last with `no_new_privs`, see [`finish`]; without, it needs a capability that is about to go. Returns
/// the listener of a network on demand.
pub(crate) fn reduce(
    spec: &Spec,
    filter: &[u64],
    identity: &Identity,
) -> Result<Option<OwnedFd>, SandboxError> {
    let mut listener = None;
    for limit in &spec.rlimits {
        set_rlimit(limit)?;
    }
    let own = rustix::thread::capabilities(None).or_kernel(|| String::from("capget()"))?;
    if !spec.no_new_privs {
        listener = listen(spec)?;
        install(filter)?;
    }
    let granted = spec.capabilities.bits() & own.permitted.bits();
    let ambient = spec.ambient.bits() & granted;
    shrink_bounding_set(granted)?;
    if ambient != 0 {
        rustix::thread::set_keep_capabilities(true).or_kernel(|| String::from("prctl(PR_SET_KEEPCAPS)"))?;
    }
    become_user(identity)?;
    let held = if identity.uid == 0 { granted } else { ambient };
    let held = CapabilitySet::from_bits_retain(held);
    // Without ambient capabilities the inheritable ones stay empty, as in Docker.
    let inheritable = CapabilitySet::from_bits_retain(ambient);
    let sets = CapabilitySets { effective: held, permitted: held, inheritable };
    rustix::thread::set_capabilities(None, sets).or_kernel(|| format!("capset({held:?})"))?;
    raise_ambient(ambient)?;
    // A change of ids has cleared it.
    die_with_parent()?;
    if spec.no_new_privs {
        rustix::thread::set_no_new_privs(true).or_kernel(|| String::from("prctl(PR_SET_NO_NEW_PRIVS)"))?;
        listener = listen(spec)?;
    }
    Ok(listener)
}

/// Installs the filter if that is still to be done. What follows is only what the filter allows.
pub(crate) fn finish(spec: &Spec, filter: &[u64]) -> Result<(), SandboxError> {
    if spec.no_new_privs { install(filter) } else { Ok(()) }
}

/// The kernel kills this process when its parent ends.
pub(crate) fn die_with_parent() -> Result<(), SandboxError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .or_kernel(|| String::from("prctl(PR_SET_PDEATHSIG)"))
}

fn install(filter: &[u64]) -> Result<(), SandboxError> {
    if filter.is_empty() {
        return Ok(());
    }
    sys::install_filter(filter)
        .or_kernel(|| format!("seccomp(SET_MODE_FILTER, {} instructions)", filter.len()))
}

fn listen(spec: &Spec) -> Result<Option<OwnedFd>, SandboxError> {
    matches!(spec.network, Network::OnDemand(_)).then(on_demand::install).transpose()
}

fn shrink_bounding_set(granted: u64) -> Result<(), SandboxError> {
    for number in 0..CAPABILITY_NUMBERS {
        if granted & 1 << number != 0 {
            continue;
        }
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // The kernel knows no more capabilities.
            Err(Errno::INVAL) => break,
            result => result.or_kernel(|| format!("prctl(PR_CAPBSET_DROP, {number})"))?,
        }
    }
    Ok(())
}

fn raise_ambient(ambient: u64) -> Result<(), SandboxError> {
    for number in (0..CAPABILITY_NUMBERS).filter(|number| ambient & 1 << number != 0) {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        rustix::thread::configure_capability_in_ambient_set(capability, true)
            .or_kernel(|| format!("prctl(PR_CAP_AMBIENT_RAISE, {number})"))?;
    }
    Ok(())
}

fn become_user(identity: &Identity) -> Result<(), SandboxError> {
    let Identity { uid, gid, groups, home: _ } = identity;
    let list: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    match rustix::thread::set_thread_groups(&list) {
        // With a single mapped id the kernel forbids the call, and user 0 does without it.
        Err(Errno::PERM) if *uid == 0 && groups.iter().all(|group| *group == 0) => {}
        result => result.or_kernel(|| format!("setgroups({groups:?})"))?,
    }
    let gid = Gid::from_raw(*gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid).or_kernel(|| format!("setresgid({gid:?})"))?;
    let uid = Uid::from_raw(*uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid).or_kernel(|| format!("setresuid({uid:?})"))
}

/// Docker's names of resource limits.
const RESOURCES: &[(&str, u32)] = &[
    ("as", libc::RLIMIT_AS),
    ("core", libc::RLIMIT_CORE),
    ("cpu", libc::RLIMIT_CPU),
    ("data", libc::RLIMIT_DATA),
    ("fsize", libc::RLIMIT_FSIZE),
    ("locks", libc::RLIMIT_LOCKS),
    ("memlock", libc::RLIMIT_MEMLOCK),
    ("msgqueue", libc::RLIMIT_MSGQUEUE),
    ("nice", libc::RLIMIT_NICE),
    ("nofile", libc::RLIMIT_NOFILE),
    ("nproc", libc::RLIMIT_NPROC),
    ("rss", libc::RLIMIT_RSS),
    ("rtprio", libc::RLIMIT_RTPRIO),
    ("rttime", libc::RLIMIT_RTTIME),
    ("sigpending", libc::RLIMIT_SIGPENDING),
    ("stack", libc::RLIMIT_STACK),
];

fn resource(name: &str) -> Option<u32> {
    RESOURCES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// Checks the names of limits before anything is set up.
pub(crate) fn check_rlimits(limits: &[Rlimit]) -> Result<(), SandboxError> {
    match limits.iter().find(|limit| resource(&limit.name).is_none()) {
        None => Ok(()),
        Some(unknown) => Err(SandboxError::BadField {
            field: String::from("rlimits"),
            value: unknown.name.clone(),
            problem: String::from("no resource limit has this name"),
        }),
    }
}

fn set_rlimit(limit: &Rlimit) -> Result<(), SandboxError> {
    let Some(number) = resource(&limit.name) else { return check_rlimits(std::slice::from_ref(limit)) };
    let raw = |value: Option<u64>| value.unwrap_or(libc::RLIM64_INFINITY);
    match sys::set_rlimit(number, raw(limit.soft), raw(limit.hard)) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Err(too_high(limit, number)),
        result => result.or_kernel(|| format!("prlimit64({limit:?})")),
    }
}

/// What to say of a limit that this process may not give.
fn too_high(limit: &Rlimit, number: u32) -> SandboxError {
    let text = |value: Option<u64>| value.map_or(String::from("unlimited"), |value| value.to_string());
    let own = sys::hard_rlimit(number).map_or(String::from("lower"), text);
    SandboxError::BadField {
        field: String::from("rlimits"),
        value: format!("{}={}:{}", limit.name, text(limit.soft), text(limit.hard)),
        problem: format!("the hard limit of this process is {own}, and raising it needs CAP_SYS_RESOURCE"),
    }
}
