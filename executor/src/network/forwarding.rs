//! Forwarding of IPv4 packets: a switch of each interface that stays as it was left, see ip-sysctl.
//!
//! Packets of a sandbox arrive at its own interface, which vanishes with it. The answers arrive at an interface of
//! the host; where that does not forward, it is switched on, and the last keeper switches it off. A file says
//! which, so that this also holds when keepers were killed.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::netlink::Netlink;
use super::passage;

/// Where the switches of the interfaces are.
const SWITCHES: &str = "/proc/sys/net/ipv4/conf";

/// What keepers of one host share. It is empty after a restart of the host, as the switches are.
const STATE: &str = "/run/slipway";

/// Forwarding on the interfaces of the host, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Forwarding {
    /// Locked, shared, by every keeper that needs it.
    users: File,
    state: State,
    /// How other firewalls are told.
    netfilter: Rc<Netlink>,
    /// What this keeper has switched on.
    pub(crate) switched_on: Vec<String>,
}

#[derive(Debug)]
struct State(PathBuf);

impl Forwarding {
    /// Switches it on for `uplinks` where it is off, and makes other firewalls let through what comes from
    /// interfaces whose names begin with `sandboxes`, or goes to them.
    pub(crate) fn switch_on(netfilter: Rc<Netlink>, uplinks: &[String], sandboxes: &str) -> io::Result<Self> {
        let state = State(PathBuf::from(STATE));
        fs::create_dir_all(&state.0)?;
        let users = open(&state.0.join("network.users"))?;
        let mut list = state.lock()?;
        flock(&users, FlockOperation::LockShared)?;
        let mut names = read(&mut list)?;
        let mut switched_on = Vec::new();
        passage::open(&netfilter, sandboxes)?;
        for name in uplinks {
            if is_on(name)? {
                continue;
            }
            // Noted first: a keeper that is killed in between leaves a note too many, which is harmless.
            names.insert(name.clone());
            write(&mut list, &names)?;
            switch(name, "1")?;
            switched_on.push(name.clone());
        }
        Ok(Self { users, state, netfilter, switched_on })
    }

    fn leave(&self) -> io::Result<()> {
        let mut list = self.state.lock()?;
        flock(&self.users, FlockOperation::Unlock)?;
        match flock(&self.users, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(()),
            result => result?,
        }
        passage::close(&self.netfilter)?;
        // Somebody else has switched it on for the whole host meanwhile, and needs it.
        let is_wanted = is_on("all")?;
        for name in read(&mut list)? {
            if !is_wanted && exists(&name) {
                switch(&name, "0")?;
            }
        }
        write(&mut list, &BTreeSet::new())
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        // Nobody is left who could be told; the next keeper tries again.
        let _ = self.leave();
    }
}

impl State {
    /// The list of interfaces, for this process alone until it is closed.
    fn lock(&self) -> io::Result<File> {
        let list = open(&self.0.join("network.forwarding"))?;
        flock(&list, FlockOperation::LockExclusive)?;
        Ok(list)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn read(list: &mut File) -> io::Result<BTreeSet<String>> {
    let mut text = String::new();
    list.rewind()?;
    list.read_to_string(&mut text)?;
    Ok(text.lines().filter(|name| is_name(name)).map(String::from).collect())
}

fn write(list: &mut File, names: &BTreeSet<String>) -> io::Result<()> {
    list.rewind()?;
    list.set_len(0)?;
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    list.write_all(text.as_bytes())
}

/// A name of an interface is one name of a directory.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains('/')
}

fn path(name: &str) -> PathBuf {
    Path::new(SWITCHES).join(name).join("forwarding")
}

fn exists(name: &str) -> bool {
    path(name).exists()
}

fn is_on(name: &str) -> io::Result<bool> {
    Ok(fs::read_to_string(path(name))?.trim() != "0")
}

/// Lets an interface forward what arrives at it, or not.
pub(crate) fn switch(name: &str, value: &str) -> io::Result<()> {
    fs::write(path(name), value)
}
