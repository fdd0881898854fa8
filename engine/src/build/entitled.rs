//! Whether a build may do what its graph says.

use std::collections::BTreeMap;

use frontend::Diagnostic;
use graph::{BuildGraph, Op, Vertex, VertexId};

use super::dockerfile::Source;
use crate::BuildError;
use crate::cdi::{DIRECTORIES, DeviceEdits, Devices};
use crate::entitlement::{Entitlement, Entitlements};

/// Checks every vertex: all are needed, so whatever one of them does happens. Returns what steps get with their devices.
pub(super) fn check(
    graph: &BuildGraph,
    allowed: &Entitlements,
    source: &Source,
) -> Result<BTreeMap<VertexId, DeviceEdits>, BuildError> {
    let grants: Vec<_> = allowed
        .iter()
        .filter_map(|entitlement| match entitlement {
            Entitlement::Device(grant) => Some(grant.clone()),
            Entitlement::NetworkHost | Entitlement::SecurityInsecure => None,
        })
        .collect();
    let mut known = None;
    let mut edits = BTreeMap::new();
    for (id, vertex) in graph.vertices() {
        let Op::Run(run) = &vertex.op else { continue };
        if let Some(entitlement) =
            Entitlement::needed_by(run).into_iter().find(|needed| !allowed.contains(needed))
        {
            let message = format!("this step needs the entitlement `{entitlement}`");
            return Err(BuildError::NotAllowed { rendered: render(source, vertex, message), entitlement });
        }
        if run.devices.is_empty() {
            continue;
        }
        let devices = known.get_or_insert_with(|| Devices::load(&DIRECTORIES));
        let given = devices.edits(&run.devices, &grants).map_err(|error| BuildError::Device {
            rendered: render(source, vertex, "this step asks for a device".to_owned()),
            error,
        })?;
        edits.insert(id, given);
    }
    Ok(edits)
}

fn render(source: &Source, vertex: &Vertex, message: String) -> String {
    let span = vertex.label.location.as_ref().map_or(0..0, |location| location.span.clone());
    frontend::render(&Diagnostic::error("Entitlement", span, message), &source.name, &source.text)
}
