//! What clients may rely on. They degrade by these lists, so nothing is in them that does not work.

use crate::llb::CAPS;
use crate::proto::ApiCap;

/// What calls of the gateway can be.
const FRONTEND: [&str; 22] = [
    "solve.base",
    "resolveimage",
    "resolveimage.resolvemode",
    "source.metaresolver",
    "return",
    "returnmap",
    "proto.refarray",
    "reference.output",
    "readfile",
    "readdir",
    "statfile",
    "frontend.caps",
    "gateway.exec",
    "gateway.exec.extrahosts",
    "gateway.exec.secretenv",
    "gateway.exec.signals",
    "gateway.solve.metadata",
    "gateway.solve.evaluate",
    "gateway.evaluate",
    "gateway.warnings",
    "importcaches",
    "frontend.inputs",
];

fn caps(ids: &[&str]) -> Vec<ApiCap> {
    ids.iter().map(|id| ApiCap { id: (*id).to_owned(), enabled: true, ..ApiCap::default() }).collect()
}

pub(super) fn frontend() -> Vec<ApiCap> {
    caps(&FRONTEND)
}

pub(super) fn llb() -> Vec<ApiCap> {
    caps(&CAPS)
}
