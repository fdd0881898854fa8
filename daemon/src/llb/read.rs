//! The operations of a definition, in an order in which they could run, with nothing that leads nowhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use image::Digest;
use prost::Message as _;

use super::LlbError;
use crate::proto::pb;

/// Operations of a definition. The largest that are known have some thousands.
const OPERATIONS_MAX: usize = 20_000;
/// Inputs of one operation.
const INPUTS_MAX: usize = 4_096;
/// Longest way from a source to the result, counted in operations.
const DEPTH_MAX: usize = 10_000;

/// An operation and what is said beside it.
pub(super) struct Operation {
    pub(super) digest: String,
    pub(super) op: pb::Op,
    pub(super) metadata: pb::OpMetadata,
    /// Its outputs that others have as inputs, or that are the result.
    pub(super) used: BTreeSet<i64>,
    /// Its inputs, by the places of their operations in the order.
    pub(super) inputs: Vec<(usize, i64)>,
}

/// The operations that the result needs, inputs before those that have them.
pub(super) struct Read {
    pub(super) operations: Vec<Operation>,
    /// The result: an operation, by its place, and which of its outputs; none is the empty file system.
    pub(super) result: Option<(usize, i64)>,
}

/// The names of operations are digests of their bytes, so that none can be its own input: what would be a circle names
/// something that is not there.
pub(super) fn read(definition: &pb::Definition) -> Result<Read, LlbError> {
    if definition.def.len() > OPERATIONS_MAX {
        return Err(LlbError::TooMany { what: "operations", max: OPERATIONS_MAX });
    }
    let Some((last, _)) = definition.def.split_last() else { return Err(LlbError::Empty) };
    let bytes: HashMap<String, &Vec<u8>> =
        definition.def.iter().map(|bytes| (Digest::of(bytes).to_string(), bytes)).collect();
    let end = decode(&Digest::of(last).to_string(), last)?;
    if end.op.is_some() || end.inputs.len() > 1 {
        return Err(LlbError::NoResult);
    }
    let Some(result) = end.inputs.into_iter().next() else {
        return Ok(Read { operations: Vec::new(), result: None });
    };
    let mut reading =
        Reading { bytes, metadata: &definition.metadata, places: HashMap::new(), read: Vec::new() };
    let place = reading.reach(&Digest::of(last).to_string(), &result)?;
    let mut operations = reading.read;
    operations[place].used.insert(result.index);
    Ok(Read { operations, result: Some((place, result.index)) })
}

fn decode(digest: &str, bytes: &[u8]) -> Result<pb::Op, LlbError> {
    pb::Op::decode(bytes).map_err(|source| LlbError::Operation { operation: digest.to_owned(), source })
}

struct Reading<'a> {
    bytes: HashMap<String, &'a Vec<u8>>,
    metadata: &'a BTreeMap<String, pb::OpMetadata>,
    places: HashMap<String, usize>,
    read: Vec<Operation>,
}

/// An operation whose inputs are being read.
struct Pending {
    digest: String,
    op: pb::Op,
    inputs: Vec<(usize, i64)>,
}

impl Reading<'_> {
    /// Reads an operation after all that it needs. Its place in the order.
    fn reach(&mut self, by: &str, first: &pb::Input) -> Result<usize, LlbError> {
        let mut way = vec![self.begin(by, &first.digest)?];
        loop {
            let depth = way.len();
            let top = way.last_mut().expect("it ends with the first");
            let Some(next) = top.op.inputs.get(top.inputs.len()) else {
                let Pending { digest, op, inputs } = way.pop().expect("it was just looked at");
                let place = self.add(digest, op, inputs);
                match way.is_empty() {
                    true => return Ok(place),
                    false => continue,
                }
            };
            match self.places.get(&next.digest) {
                Some(place) => {
                    let (place, index) = (*place, next.index);
                    self.read[place].used.insert(index);
                    top.inputs.push((place, index));
                }
                None if depth >= DEPTH_MAX => {
                    return Err(LlbError::TooMany {
                        what: "operations that need one another",
                        max: DEPTH_MAX,
                    });
                }
                None => {
                    let (by, digest) = (top.digest.clone(), next.digest.clone());
                    way.push(self.begin(&by, &digest)?);
                }
            }
        }
    }

    fn begin(&self, by: &str, digest: &str) -> Result<Pending, LlbError> {
        let unknown = || LlbError::UnknownInput { operation: by.to_owned(), digest: digest.to_owned() };
        let op = decode(digest, self.bytes.get(digest).ok_or_else(unknown)?)?;
        if op.inputs.len() > INPUTS_MAX {
            return Err(LlbError::TooMany { what: "inputs of one operation", max: INPUTS_MAX });
        }
        Ok(Pending { digest: digest.to_owned(), op, inputs: Vec::new() })
    }

    fn add(&mut self, digest: String, op: pb::Op, inputs: Vec<(usize, i64)>) -> usize {
        let metadata = self.metadata.get(&digest).cloned().unwrap_or_default();
        let place = self.read.len();
        self.places.insert(digest.clone(), place);
        self.read.push(Operation { digest, op, metadata, used: BTreeSet::new(), inputs });
        place
    }
}
