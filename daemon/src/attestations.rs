//! What clients want to have attested: the attributes `attest:provenance` and `attest:sbom`.

use engine::{Provenance, ProvenanceMode};
use tonic::Status;

use crate::attributes::{Attributes, invalid};

/// What is attested of an image that leaves.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Attestations {
    pub(crate) provenance: Option<Provenance>,
    pub(crate) sbom: bool,
    /// Whether somebody wants one as a document of its own, beside files that are no image.
    pub(crate) is_wanted_beside_files: bool,
}

/// Reads the attributes.
pub(crate) fn read(attributes: Attributes<'_>) -> Result<Attestations, Status> {
    let mut found = Attestations::default();
    for (kind, text) in attributes.with_prefix("attest:") {
        let options = Options { kind, text };
        if options.is_on("disabled")? {
            continue;
        }
        match kind {
            "provenance" => found.provenance = Some(options.provenance()?),
            "sbom" => {
                options.only(&[])?;
                found.sbom = true;
            }
            other => return Err(Status::invalid_argument(format!("unknown attestation `attest:{other}`"))),
        }
        found.is_wanted_beside_files |= !options.is_on("inline-only")?;
    }
    Ok(found)
}

/// `NAME=VALUE,...` of one attestation.
struct Options<'a> {
    kind: &'a str,
    text: &'a str,
}

impl<'a> Options<'a> {
    fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let fields = self.text.split(',').map(str::trim).filter(|field| !field.is_empty());
        fields.map(|field| field.split_once('=').unwrap_or((field, "")))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.pairs().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn is_on(&self, name: &str) -> Result<bool, Status> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(invalid(name, other, "true or false")),
        }
    }

    /// Whether there is nothing but what every attestation understands, and `others`.
    fn only(&self, others: &[&str]) -> Result<(), Status> {
        let known =
            |name: &str| matches!(name, "type" | "disabled" | "inline-only") || others.contains(&name);
        match self.pairs().find(|(name, _)| !known(name)) {
            None => Ok(()),
            Some(("generator", value)) => Err(Status::unimplemented(format!(
                "slipway lists packages itself: there is no other generator, `{value}` included"
            ))),
            Some((name, _)) => {
                let kind = self.kind;
                Err(Status::invalid_argument(format!("unknown option `{name}` of `attest:{kind}`")))
            }
        }
    }

    fn provenance(&self) -> Result<Provenance, Status> {
        self.only(&["mode", "builder-id", "version"])?;
        let mode = match self.get("mode") {
            None | Some("min" | "") => ProvenanceMode::Min,
            Some("max") => ProvenanceMode::Max,
            Some(other) => return Err(invalid("mode", other, "min or max")),
        };
        match self.get("version") {
            None | Some("v1" | "") => {}
            Some(other) => return Err(invalid("version", other, "v1")),
        }
        Ok(Provenance { mode, builder_id: self.get("builder-id").map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn of(kind: &str, text: &str) -> Result<Attestations, String> {
        let map = HashMap::from([(format!("attest:{kind}"), text.to_owned())]);
        read(Attributes(&map)).map_err(|status| status.message().to_owned())
    }

    #[test]
    fn attestations_are_read_as_buildx_writes_them() {
        let default = of("provenance", "mode=min,inline-only=true").unwrap();
        let min = Provenance { mode: ProvenanceMode::Min, builder_id: None };
        assert_eq!(default.provenance, Some(min));
        assert!(!default.is_wanted_beside_files);
        let most = of("provenance", "mode=max,builder-id=me").unwrap();
        let max = Provenance { mode: ProvenanceMode::Max, builder_id: Some("me".to_owned()) };
        assert_eq!(most.provenance, Some(max));
        assert!(most.is_wanted_beside_files);
        assert!(of("sbom", "").unwrap().sbom);
        assert_eq!(of("provenance", "disabled=true"), Ok(Attestations::default()));
    }

    #[test]
    fn what_cannot_be_attested_is_refused_by_name() {
        for (kind, text, expected) in [
            ("provenance", "mode=most", "invalid value `most` of `mode`, expected min or max"),
            ("provenance", "version=v0.2", "invalid value `v0.2` of `version`, expected v1"),
            ("provenance", "reproducible=true", "unknown option `reproducible` of `attest:provenance`"),
            ("sbom", "disabled=perhaps", "invalid value `perhaps` of `disabled`, expected true or false"),
            ("vsa", "", "unknown attestation `attest:vsa`"),
        ] {
            assert_eq!(of(kind, text), Err(expected.to_owned()), "{kind} {text}");
        }
        assert!(of("sbom", "generator=other").unwrap_err().contains("`other`"));
    }
}
