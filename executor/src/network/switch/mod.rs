//! Networks that containers share: a bridge in a network namespace of its own, kept by a process of ours, the *switch*.
//!
//! ```text
//! container A --- eth0 | vethN --+
//!                                 bridge --- eth0 of the switch's namespace --- outlet, see `keeper`
//! container B --- eth0 | vethN --+
//! ```
//!
//! Everything is in namespaces: the bridge and the translation of addresses in that of the switch, which the kernel removes with
//! the process. The switch ends when the last container has left, and knows that from the descriptors that they hold open: no
//! death of any process leaves something behind. Root and everybody else have the same, but for the outlet.
//!
//! It also is the name server of its containers: it answers at 127.0.0.11 in each, for their names, and asks others for the rest.

mod bridge;
mod client;
mod endpoints;
mod message;
mod names;
mod outside;
mod process;
mod stream;

pub use client::{Attachment, join, leave, list, owner, start_switch};
pub use message::{Endpoint, Ipv6Plan, Join, SwitchPlan};
pub use names::fuzz_query;
pub(crate) use process::run;

/// Where the name server answers in every container, as in Docker.
pub const NAME_SERVER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 11);
