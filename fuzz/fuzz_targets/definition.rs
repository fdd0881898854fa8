//! Any definition of a build in LLB: refused, or a graph, and always the same.
//!
//! Operations name one another by the digests of their bytes, which no chance finds. So the digest that an operation has for an
//! input only chooses one of those before it.

#![no_main]

use bollard_buildkit_proto::pb::{Definition, Input, Op, OpMetadata};
use daemon::llb::check;
use image::Digest;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|bytes: &[u8]| {
    let _ = check(bytes);
    let Ok(mut definition) = Definition::decode(bytes) else { return };
    let (mut digests, mut metadata): (Vec<String>, Vec<OpMetadata>) = Default::default();
    metadata.extend(std::mem::take(&mut definition.metadata).into_values());
    for bytes in &mut definition.def {
        let Ok(mut op) = Op::decode(bytes.as_slice()) else { continue };
        for Input { digest, .. } in &mut op.inputs {
            if let Some(before) = digests.get(digest.len() % digests.len().max(1)) {
                digest.clone_from(before);
            }
        }
        *bytes = op.encode_to_vec();
        digests.push(Digest::of(bytes).to_string());
    }
    definition.metadata = digests.into_iter().zip(metadata).collect();
    let linked = definition.encode_to_vec();
    let found = check(&linked).map_err(|error| error.to_string());
    assert_eq!(check(&linked).map_err(|error| error.to_string()), found);
});
