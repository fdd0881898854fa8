//! Passage for sandboxes through the firewalls of others.
//!
//! A packet is forwarded only if every table lets it pass. Docker, ufw and firewalld drop what they do not know; in
//! their chains two rules of ours let through what comes from a sandbox or goes to one. They are written the way
//! `iptables` writes its own, which therefore goes on showing them. What may go to a sandbox, our own table says.

use rustix::io::Errno;

use super::firewall::{
    self, DELETE_RULE, GET_CHAIN, GET_RULE, HOOK_FORWARD, META_INPUT_NAME, META_OUTPUT_NAME, VERDICT_DROP,
    expression, has_prefix, verdict,
};
use super::netlink::{Attributes, Message, Netlink, attribute, text};

/// Verdict of a rule that lets a packet pass.
const VERDICT_ACCEPT: u32 = 1;

/// How our rules are known again: a comment, as a kind, a length and a text.
const MARK: &[u8] = b"\x00\x08slipway\x00";

/// The table of firewalld, whose chains drop by a last rule instead of their policy.
const FIREWALLD: &str = "firewalld";

/// A chain that decides what is forwarded.
struct Chain {
    family: u8,
    table: String,
    name: String,
}

/// Adds the rules where they are needed and not there yet.
pub(crate) fn open(netlink: &Netlink, interfaces: &str) -> Result<(), Errno> {
    for chain in strict_chains(netlink)? {
        if our_rules(netlink, &chain)?.is_empty() {
            let rules = [META_INPUT_NAME, META_OUTPUT_NAME].map(|key| pass(&chain, key, interfaces));
            netlink.request(&firewall::transaction(rules))?;
        }
    }
    Ok(())
}

/// Removes the rules.
pub(crate) fn close(netlink: &Netlink) -> Result<(), Errno> {
    for chain in strict_chains(netlink)? {
        let rules = our_rules(netlink, &chain)?;
        if !rules.is_empty() {
            let messages = rules.iter().map(|handle| {
                let attributes = named(&chain).bytes(firewall::RULE_HANDLE, handle);
                firewall::message(DELETE_RULE, chain.family, 0, attributes)
            });
            netlink.request(&firewall::transaction(messages))?;
        }
    }
    Ok(())
}

fn strict_chains(netlink: &Netlink) -> Result<Vec<Chain>, Errno> {
    let request = firewall::question(GET_CHAIN, libc::NFPROTO_UNSPEC as u8, Attributes::new());
    Ok(netlink.dump(&request)?.iter().filter_map(|answer| strict_chain(answer)).collect())
}

fn strict_chain(answer: &[u8]) -> Option<Chain> {
    let family = *answer.first()?;
    let list = answer.get(firewall::HEADER_BYTES..)?;
    let hook = attribute(list, firewall::CHAIN_HOOK).and_then(|hook| attribute(hook, 1))?;
    let policy = attribute(list, firewall::CHAIN_POLICY)?;
    let (table, name) =
        (text(attribute(list, firewall::CHAIN_TABLE)?), text(attribute(list, firewall::CHAIN_NAME)?));
    let handles_ipv4 = [libc::NFPROTO_IPV4, libc::NFPROTO_INET].contains(&i32::from(family));
    let is_strict = policy == VERDICT_DROP.to_be_bytes() || table == FIREWALLD;
    (handles_ipv4 && hook == HOOK_FORWARD.to_be_bytes() && is_strict).then_some(Chain { family, table, name })
}

/// Handles of the rules that we have added to a chain.
fn our_rules(netlink: &Netlink, chain: &Chain) -> Result<Vec<Vec<u8>>, Errno> {
    let rules = netlink.dump(&firewall::question(GET_RULE, chain.family, named(chain)))?;
    let handle = |rule: &Vec<u8>| {
        let list = rule.get(firewall::HEADER_BYTES..)?;
        // Older kernels list the rules of all chains.
        let is_here = text(attribute(list, firewall::RULE_TABLE)?) == chain.table
            && text(attribute(list, firewall::RULE_CHAIN)?) == chain.name;
        let is_ours = attribute(list, firewall::RULE_USER_DATA)? == MARK;
        (is_here && is_ours).then(|| attribute(list, firewall::RULE_HANDLE).map(<[u8]>::to_vec))?
    };
    Ok(rules.iter().filter_map(handle).collect())
}

fn named(chain: &Chain) -> Attributes {
    Attributes::new().text(firewall::RULE_TABLE, &chain.table).text(firewall::RULE_CHAIN, &chain.name)
}

/// A rule at the beginning of the chain, with a counter as `iptables` has one.
fn pass(chain: &Chain, key: u32, interfaces: &str) -> Message {
    let counter = expression("counter", &Attributes::new().bytes(1, &[0; 8]).bytes(2, &[0; 8]));
    let parts = has_prefix(key, interfaces).into_iter().chain([counter, verdict(VERDICT_ACCEPT)]);
    let list = parts.fold(Attributes::new(), |list, part| list.nested(1, &part));
    let attributes =
        named(chain).nested(firewall::RULE_EXPRESSIONS, &list).bytes(firewall::RULE_USER_DATA, MARK);
    firewall::message(firewall::NEW_RULE, chain.family, libc::NLM_F_CREATE, attributes)
}
