//! Definitions: builds that clients have put together themselves, in BuildKit's LLB, become graphs.
//!
//! What is refused is refused before anything runs, with its name: an operation, a source, an attribute or a flag that
//! nobody here knows, an input or an output that is not there, more of anything than the limits allow. What an operation
//! may do to the machine is checked on the graph, as for every build.
//!
//! A vertex of ours makes one layer. So an operation of whose outputs several are used becomes several vertices, each of
//! which does the work for one of them.

mod caps;
mod error;
mod exec;
mod file;
mod label;
mod lower;
mod mounts;
mod read;
mod source;

use engine::operations::Op;
use image::{Digest, Platform};
use prost::Message as _;

pub(crate) use caps::IDS as CAPS;
pub use error::LlbError;
pub(crate) use lower::{Lowered, lower, of_message as platform_of};
pub(crate) use source::{Local, RESULT, Unnamed};

use crate::proto::pb;

/// Reads the bytes of a definition, and says how many steps the build has.
///
/// # Errors
///
/// When it cannot be built, with what is wrong.
pub fn check(bytes: &[u8]) -> Result<usize, LlbError> {
    let definition = pb::Definition::decode(bytes).map_err(|source| LlbError::Definition { source })?;
    Ok(lower(&definition, &Platform::host())?.graph.len())
}

/// The operation of a source alone.
pub(crate) fn source(source: &pb::SourceOp, platform: &Platform) -> Result<Op, LlbError> {
    let op = pb::Op { op: Some(pb::op::Op::Source(source.clone())), ..pb::Op::default() }.encode_to_vec();
    let digest = Digest::of(&op).to_string();
    let end = pb::Op { inputs: vec![pb::Input { digest, index: 0 }], ..pb::Op::default() }.encode_to_vec();
    let definition = pb::Definition { def: vec![op, end], ..pb::Definition::default() };
    let lowered = lower(&definition, platform)?;
    Ok(lowered.graph.vertex(lowered.target).op.clone())
}

#[cfg(test)]
mod tests;
