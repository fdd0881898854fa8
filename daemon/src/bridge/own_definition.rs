//! Results as definitions: what clients hand back to us instead of building on them.
//!
//! Clients that keep a result ask for the definition that it was made of. Ours says only which result it is: nobody else
//! can make anything of it, and we find the result again.

use std::collections::HashMap;

use image::Digest;
use prost::Message as _;

use crate::llb::RESULT;
use crate::proto::pb::{Definition, Input, Op, SourceOp, op};

/// The definition that names a result.
pub(super) fn encode(build: &str, result: &str) -> Definition {
    let source = SourceOp { identifier: format!("{RESULT}://{build}/{result}"), ..SourceOp::default() };
    let source = Op { op: Some(op::Op::Source(source)), ..Op::default() }.encode_to_vec();
    let digest = Digest::of(&source).to_string();
    let input = Input { digest: digest.clone(), index: 0 };
    let end = Op { inputs: vec![input], ..Op::default() }.encode_to_vec();
    let metadata = HashMap::from([(digest, Default::default())]).into_iter().collect();
    Definition { def: vec![source, end], metadata, source: None }
}

/// The build and the result that a definition names; none when it is of another kind.
pub(super) fn decode(definition: &Definition) -> Option<(String, String)> {
    // One that goes on with a result is no name of it.
    let [source, end] = definition.def.as_slice() else { return None };
    if Op::decode(end.as_slice()).ok()?.op.is_some() {
        return None;
    }
    match Op::decode(source.as_slice()).ok()?.op? {
        op::Op::Source(source) => {
            let (build, result) =
                source.identifier.strip_prefix(RESULT)?.strip_prefix("://")?.split_once('/')?;
            Some((build.to_owned(), result.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_found_again() {
        let definition = encode("build", "slipway-0");
        assert_eq!(decode(&definition), Some(("build".to_owned(), "slipway-0".to_owned())));
        assert_eq!(decode(&Definition::default()), None);
        let garbage = Definition { def: vec![vec![0xff; 9]], ..Definition::default() };
        assert_eq!(decode(&garbage), None);
    }
}
