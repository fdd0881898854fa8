//! Networks of containers, and ports of the host that lead to them.
//!
//! ```text
//! ROOT/networks/lock         whoever makes or removes a network holds it
//! ROOT/networks/<id>.json    a network
//! ROOT/networks/<id>.lock    whoever joins it, starts its switch or removes it holds it
//! ROOT/networks/<id>.sock    where its switch listens, while it has containers
//! ```
//!
//! A network on the disk is only a plan. What is real of it, a bridge in a namespace, exists while containers are in it, and
//! belongs to a process, the switch: see the `executor` crate.

mod directory;
mod error;
mod facts;
mod filter;
mod join;
mod lifecycle;
mod membership;
mod owner;
mod place;
mod port;
mod publish;
mod setup;
mod subnet;
mod subnet6;

pub use error::{NetworkError, NetworkFault};
pub use facts::{Network, NetworkContainer};
pub use filter::NetworkFilters;
pub use join::NetworkRequest;
pub use lifecycle::{NewIpv6, NewNetwork};
pub(crate) use lifecycle::{identify, predefined_id};
pub use owner::{Founder, OwnerError};
pub(crate) use place::Place;
pub use port::{PortError, PortRequest, parse_exposed, parse_port};
pub use publish::PublishedPort;
pub use setup::NetworkSettings;
pub(crate) use setup::{Connected, Owner, SetUp, SetUpError, set_up};
pub use subnet::Subnet;
pub use subnet6::Subnet6;

/// The networks that are always there.
pub const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];
