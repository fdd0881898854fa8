//! The rules of the private network, in a table that the kernel removes with the socket that made it.
//!
//! nf_tables tables with an owner exist since Linux 5.12, as do the mount calls that every sandbox needs.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink;

use super::netlink::{Attributes, Message, Netlink};

// `linux/netfilter/nf_tables.h` and `nfnetlink.h`.
const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
pub(super) const NEW_RULE: u16 = 6;
pub(super) const GET_CHAIN: u16 = 4;
pub(super) const GET_RULE: u16 = 7;
pub(super) const DELETE_RULE: u16 = 8;
pub(super) const CHAIN_TABLE: u16 = 1;
pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
pub(super) const RULE_TABLE: u16 = 1;
pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const RULE_HANDLE: u16 = 3;
pub(super) const RULE_EXPRESSIONS: u16 = 4;
pub(super) const RULE_USER_DATA: u16 = 7;
/// Length of `struct nfgenmsg`.
pub(super) const HEADER_BYTES: usize = 4;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const TABLE_OWNED: u32 = 2;
pub(super) const HOOK_FORWARD: u32 = 2;
const HOOK_POSTROUTING: u32 = 4;
const PRIORITY_FILTER: u32 = 0;
const PRIORITY_SOURCE_NAT: u32 = 100;
const REGISTER_VERDICT: u32 = 0;
const REGISTER_1: u32 = 1;
pub(super) const VERDICT_DROP: u32 = 0;
pub(super) const META_INPUT_NAME: u32 = 6;
pub(super) const META_OUTPUT_NAME: u32 = 7;
const CONNTRACK_STATE: u32 = 0;
const STATE_INVALID: u32 = 1;
const STATE_NEW: u32 = 8;
/// Where the source address is in an IPv4 header.
const SOURCE_ADDRESS_OFFSET: u32 = 12;
/// The same in an IPv6 header.
const SOURCE_ADDRESS6_OFFSET: u32 = 8;

/// How a value must compare.
#[derive(Debug, Clone, Copy)]
enum Comparison {
    Equal = 0,
    Other = 1,
}

/// The kernel needs so long to free what was removed, unless it is very busy.
const REMOVAL_TIME: Duration = Duration::from_millis(50);

/// A socket for rules. To close one makes every other change of rules wait, for whatever the kernel has still to free: so each
/// keeper has a single one.
pub(crate) fn open() -> Result<Netlink, Errno> {
    let netlink = Netlink::open(Some(netlink::NETFILTER))?;
    // The kernel gives each socket a number that no other one of this network has.
    rustix::net::bind(&netlink.socket, &netlink::SocketAddrNetlink::new(0, 0))?;
    Ok(netlink)
}

/// The rules. They go with the socket, and dropping this removes them before: the kernel holds all other changes of rules up
/// while it removes those of a socket that was closed, some milliseconds on a quiet machine, and the next keeper may be about to
/// add its own.
#[derive(Debug)]
pub(crate) struct Firewall {
    owner: Rc<Netlink>,
    table: String,
}

impl Drop for Firewall {
    fn drop(&mut self) {
        let removal = deletion(DELETE_TABLE, Attributes::new().text(1, &self.table));
        if self.owner.request(&transaction([removal])).is_ok() {
            // Nobody waits for the end of a keeper.
            std::thread::sleep(REMOVAL_TIME);
        }
    }
}

impl Firewall {
    /// Sends what comes from `pool` under the address of the interface that it leaves through. Connections to a
    /// sandbox are only made from this host: neither from other hosts nor from other sandboxes.
    ///
    /// `uplinks` forward nothing else, where they did not forward anything before us.
    pub(crate) fn set_up(
        netlink: Rc<Netlink>,
        interfaces: &str,
        pool: (Ipv4Addr, u8),
        uplinks: &[String],
    ) -> Result<Self, Errno> {
        let table = format!("slipway-{}", address_of(&netlink)?);
        let mut messages = vec![
            addition(NEW_TABLE, Attributes::new().text(1, &table).be32(2, TABLE_OWNED)),
            chain(&table, "postrouting", "nat", HOOK_POSTROUTING, PRIORITY_SOURCE_NAT),
            rule(&table, "postrouting", from_pool(pool).chain([expression("masq", &Attributes::new())])),
            chain(&table, "forward", "filter", HOOK_FORWARD, PRIORITY_FILTER),
            rule(
                &table,
                "forward",
                has_prefix(META_OUTPUT_NAME, interfaces).into_iter().chain(drop_unasked()),
            ),
        ];
        for uplink in uplinks {
            let from = named(META_INPUT_NAME, Comparison::Equal, uplink, Name::Whole);
            let elsewhere = named(META_OUTPUT_NAME, Comparison::Other, interfaces, Name::Prefix);
            let parts = from.into_iter().chain(elsewhere).chain(drop_unasked());
            messages.push(rule(&table, "forward", parts));
        }
        netlink.request(&transaction(messages))?;
        Ok(Self { owner: netlink, table })
    }
}

/// In a namespace of its own: sends what comes from a subnet, and leaves through `uplink`, under the address of that.
pub(super) fn translate(netlink: &Netlink, subnet: (Ipv4Addr, u8), uplink: &str) -> Result<(), Errno> {
    const TABLE: &str = "slipway";
    let leaves = named(META_OUTPUT_NAME, Comparison::Equal, uplink, Name::Whole);
    let parts = from_pool(subnet).chain(leaves).chain([expression("masq", &Attributes::new())]);
    let messages = [
        addition(NEW_TABLE, Attributes::new().text(1, TABLE)),
        chain(TABLE, "postrouting", "nat", HOOK_POSTROUTING, PRIORITY_SOURCE_NAT),
        rule(TABLE, "postrouting", parts),
    ];
    netlink.request(&transaction(messages))
}

/// The same for IPv6.
pub(super) fn translate6(netlink: &Netlink, subnet: (Ipv6Addr, u8), uplink: &str) -> Result<(), Errno> {
    const TABLE: &str = "slipway6";
    let leaves = named(META_OUTPUT_NAME, Comparison::Equal, uplink, Name::Whole);
    let parts = from_pool6(subnet).chain(leaves).chain([expression("masq", &Attributes::new())]);
    let messages = [
        addition(NEW_TABLE, Attributes::new().text(1, TABLE)),
        chain(TABLE, "postrouting", "nat", HOOK_POSTROUTING, PRIORITY_SOURCE_NAT),
        rule(TABLE, "postrouting", parts),
    ];
    // Of the other family, and otherwise the same.
    let of_ipv6 = |message: Message| {
        let mut header = message.header;
        header[0] = libc::NFPROTO_IPV6 as u8;
        Message { header, ..message }
    };
    netlink.request(&transaction(messages.map(of_ipv6)))
}

fn address_of(netlink: &Netlink) -> Result<u32, Errno> {
    let address = rustix::net::getsockname(&netlink.socket)?;
    Ok(netlink::SocketAddrNetlink::try_from(address)?.pid())
}

/// A `struct nfgenmsg`.
fn header(family: u8, resource: u16) -> Vec<u8> {
    let mut header = vec![family, 0];
    header.extend(resource.to_be_bytes());
    header
}

fn batch(kind: u16) -> Message {
    Message { kind, flags: 0, header: header(0, SUBSYSTEM), attributes: Attributes::new() }
}

/// Messages that all succeed, or change nothing.
pub(super) fn transaction(messages: impl IntoIterator<Item = Message>) -> Vec<Message> {
    std::iter::once(batch(BATCH_BEGIN)).chain(messages).chain([batch(BATCH_END)]).collect()
}

/// One message of a transaction.
pub(super) fn message(kind: u16, family: u8, flags: i32, attributes: Attributes) -> Message {
    let flags = flags | libc::NLM_F_ACK;
    Message { kind: SUBSYSTEM << 8 | kind, flags, header: header(family, 0), attributes }
}

/// A message that is none of a transaction.
pub(super) fn question(kind: u16, family: u8, attributes: Attributes) -> Message {
    Message { kind: SUBSYSTEM << 8 | kind, flags: 0, header: header(family, 0), attributes }
}

fn deletion(kind: u16, attributes: Attributes) -> Message {
    message(kind, libc::NFPROTO_IPV4 as u8, 0, attributes)
}

fn addition(kind: u16, attributes: Attributes) -> Message {
    message(kind, libc::NFPROTO_IPV4 as u8, libc::NLM_F_CREATE | libc::NLM_F_APPEND, attributes)
}

fn chain(table: &str, name: &str, kind: &str, hook: u32, priority: u32) -> Message {
    let hook = Attributes::new().be32(1, hook).be32(2, priority);
    let place = Attributes::new().text(CHAIN_TABLE, table).text(CHAIN_NAME, name);
    addition(NEW_CHAIN, place.nested(CHAIN_HOOK, &hook).text(CHAIN_TYPE, kind))
}

fn rule(table: &str, chain: &str, parts: impl IntoIterator<Item = Attributes>) -> Message {
    let list = parts.into_iter().fold(Attributes::new(), |list, part| list.nested(1, &part));
    let place = Attributes::new().text(RULE_TABLE, table).text(RULE_CHAIN, chain);
    addition(NEW_RULE, place.nested(RULE_EXPRESSIONS, &list))
}

pub(super) fn expression(name: &str, data: &Attributes) -> Attributes {
    Attributes::new().text(1, name).nested(2, data)
}

fn value(bytes: &[u8]) -> Attributes {
    Attributes::new().bytes(1, bytes)
}

fn compare(how: Comparison, bytes: &[u8]) -> Attributes {
    let data = Attributes::new().be32(1, REGISTER_1).be32(2, how as u32).nested(3, &value(bytes));
    expression("cmp", &data)
}

/// Keeps the bits of `mask`.
fn masked(mask: [u8; 4]) -> Attributes {
    let data = Attributes::new().be32(1, REGISTER_1).be32(2, REGISTER_1).be32(3, 4);
    expression("bitwise", &data.nested(4, &value(&mask)).nested(5, &value(&[0; 4])))
}

fn from_pool((first, prefix): (Ipv4Addr, u8)) -> impl Iterator<Item = Attributes> {
    let source = Attributes::new().be32(1, REGISTER_1).be32(2, 1).be32(3, SOURCE_ADDRESS_OFFSET).be32(4, 4);
    let mask = u32::MAX << (32 - u32::from(prefix));
    let first = compare(Comparison::Equal, &first.octets());
    [expression("payload", &source), masked(mask.to_be_bytes()), first].into_iter()
}

fn from_pool6((first, prefix): (Ipv6Addr, u8)) -> impl Iterator<Item = Attributes> {
    let bytes = size_of::<Ipv6Addr>() as u32;
    let source =
        Attributes::new().be32(1, REGISTER_1).be32(2, 1).be32(3, SOURCE_ADDRESS6_OFFSET).be32(4, bytes);
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0).to_be_bytes();
    let data = Attributes::new().be32(1, REGISTER_1).be32(2, REGISTER_1).be32(3, bytes);
    let masked = expression("bitwise", &data.nested(4, &value(&mask)).nested(5, &value(&[0; 16])));
    let first = compare(Comparison::Equal, &first.octets());
    [expression("payload", &source), masked, first].into_iter()
}

/// How much of an interface's name is given.
#[derive(Debug, Clone, Copy)]
enum Name {
    Prefix,
    Whole,
}

fn named(key: u32, how: Comparison, name: &str, part: Name) -> [Attributes; 2] {
    let mut bytes = name.as_bytes().to_vec();
    if matches!(part, Name::Whole) {
        bytes.resize(libc::IFNAMSIZ, 0);
    }
    let meta = Attributes::new().be32(1, REGISTER_1).be32(2, key);
    [expression("meta", &meta), compare(how, &bytes)]
}

/// Compares the beginning of an interface's name.
pub(super) fn has_prefix(key: u32, prefix: &str) -> [Attributes; 2] {
    named(key, Comparison::Equal, prefix, Name::Prefix)
}

/// Drops whatever belongs to no connection that a sandbox, or somebody before us, has opened.
fn drop_unasked() -> [Attributes; 4] {
    let state = Attributes::new().be32(1, REGISTER_1).be32(2, CONNTRACK_STATE);
    let mask = (STATE_INVALID | STATE_NEW).to_ne_bytes();
    let is_unasked = compare(Comparison::Other, &[0; 4]);
    [expression("ct", &state), masked(mask), is_unasked, verdict(VERDICT_DROP)]
}

/// Ends the way of a packet through the chain.
pub(super) fn verdict(code: u32) -> Attributes {
    let verdict = Attributes::new().nested(2, &Attributes::new().be32(1, code));
    expression("immediate", &Attributes::new().be32(1, REGISTER_VERDICT).nested(2, &verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_the_rules_of_both_families() {
        // Others have namespaces only after more than a thread can do.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        // Of this thread alone.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let netlink = open().unwrap();
        translate(&netlink, (Ipv4Addr::new(10, 0, 0, 0), 8), "eth0").unwrap();
        translate6(&netlink, ("fd00::".parse().unwrap(), 64), "eth0").unwrap();
    }
}
