//! Which steps run, which are cached, in which order.
//!
//! [`solve`] makes the targets of a graph and whatever they need, and nothing else. It knows operations, keys
//! and outputs; what they are on a disk is the [`Worker`]'s business.
//!
//! Every vertex is first *probed*, inputs before those that use them: its key is computed and looked up.
//! What the targets need and what was not found then *runs*, as soon as its inputs are there, everything
//! independent at the same time. A vertex whose dependents were all found never runs, even if it was not
//! found itself.

mod key;
mod solve;
mod state;
mod worker;

pub use key::Key;
pub use solve::{Event, Origin, Settled, SolveError, Solved, solve};
pub use worker::{Finished, Found, Identity, Input, Keys, Lookup, Worker};
