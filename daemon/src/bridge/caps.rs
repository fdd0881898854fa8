//! What clients may rely on. They degrade by these lists, so nothing is in them that does not work.

use crate::proto::ApiCap;

/// What calls of the gateway can be.
const FRONTEND: [&str; 15] = [
    "solve.base",
    "return",
    "returnmap",
    "proto.refarray",
    "reference.output",
    "readfile",
    "readdir",
    "statfile",
    "frontend.caps",
    "gateway.solve.metadata",
    "gateway.solve.evaluate",
    "gateway.evaluate",
    "gateway.warnings",
    "importcaches",
    "frontend.inputs",
];

/// What a build can be made of, where clients ask before they use it: several outputs, and contexts by their kinds.
const LLB: [&str; 17] = [
    "source.image",
    "source.image.resolvemode",
    "source.local",
    "source.local.unique",
    "source.local.sessionid",
    "source.local.includepatterns",
    "source.local.followpaths",
    "source.local.excludepatterns",
    "source.local.sharedkeyhint",
    "source.git",
    "source.git.keepgitdir",
    "source.git.fullurl",
    "source.http",
    "source.http.checksum",
    "exporter.multiple",
    "exporter.image.annotations",
    "exporter.image.attestations",
];

fn caps(ids: &[&str]) -> Vec<ApiCap> {
    ids.iter().map(|id| ApiCap { id: (*id).to_owned(), enabled: true, ..ApiCap::default() }).collect()
}

pub(super) fn frontend() -> Vec<ApiCap> {
    caps(&FRONTEND)
}

pub(super) fn llb() -> Vec<ApiCap> {
    caps(&LLB)
}
