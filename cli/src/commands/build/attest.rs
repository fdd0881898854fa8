//! `--attest`, `--provenance` and `--sbom` in the syntax of buildx.

use std::str::FromStr;

use engine::{Provenance, ProvenanceMode};

use crate::commands::csv::{CsvError, fields};

/// One `--attest`, or what `--provenance` and `--sbom` stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AttestSpec {
    /// `type=provenance`; none is `disabled=true`.
    Provenance(Option<Provenance>),
    /// `type=sbom`, and whether there is one.
    Sbom(bool),
}

/// `--provenance`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProvenanceSpec(pub(super) AttestSpec);

/// `--sbom`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SbomSpec(pub(super) AttestSpec);

/// Why a text is no attestation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AttestError {
    #[error(transparent)]
    Csv(#[from] CsvError),
    #[error("invalid value `{field}`, expected NAME=VALUE")]
    NotPair { field: String },
    #[error("type is required: provenance or sbom")]
    NoType,
    #[error("unknown type `{kind}`, expected provenance or sbom")]
    UnknownType { kind: String },
    #[error("unknown option `{name}` of `type={kind}`")]
    UnknownOption { name: String, kind: &'static str },
    #[error("invalid value `{value}` of `{name}`, expected {expected}")]
    Value { name: String, value: String, expected: &'static str },
    #[error("slipway lists packages itself: there is no other generator, `{value}` included")]
    Generator { value: String },
}

impl FromStr for AttestSpec {
    type Err = AttestError;

    fn from_str(text: &str) -> Result<Self, AttestError> {
        let mut kind = None;
        let mut options = Vec::new();
        for field in fields(text)? {
            let pair = field.split_once('=').ok_or_else(|| AttestError::NotPair { field: field.clone() })?;
            match pair {
                ("type", value) => kind = Some(value.to_owned()),
                (name, value) => options.push((name.to_owned(), value.to_owned())),
            }
        }
        match kind.as_deref() {
            Some("provenance") => provenance(options),
            Some("sbom") => sbom(options),
            Some(other) => Err(AttestError::UnknownType { kind: other.to_owned() }),
            None => Err(AttestError::NoType),
        }
    }
}

impl FromStr for ProvenanceSpec {
    type Err = AttestError;

    fn from_str(text: &str) -> Result<Self, AttestError> {
        match text {
            "false" => Ok(Self(AttestSpec::Provenance(None))),
            "true" | "" => provenance(Vec::new()).map(Self),
            "min" | "max" => format!("type=provenance,mode={text}").parse().map(Self),
            text => format!("type=provenance,{text}").parse().map(Self),
        }
    }
}

impl FromStr for SbomSpec {
    type Err = AttestError;

    fn from_str(text: &str) -> Result<Self, AttestError> {
        match text {
            "false" => Ok(Self(AttestSpec::Sbom(false))),
            "true" | "" => Ok(Self(AttestSpec::Sbom(true))),
            text => format!("type=sbom,{text}").parse().map(Self),
        }
    }
}

fn provenance(options: Vec<(String, String)>) -> Result<AttestSpec, AttestError> {
    let mut provenance = Provenance { mode: ProvenanceMode::Min, builder_id: None };
    let mut is_disabled = false;
    for (name, value) in options {
        match (name.as_str(), value.as_str()) {
            ("mode", "min") => provenance.mode = ProvenanceMode::Min,
            ("mode", "max") => provenance.mode = ProvenanceMode::Max,
            ("mode", _) => return Err(wrong(name, value, "min or max")),
            ("builder-id", _) => provenance.builder_id = Some(value),
            ("version", "v1") => {}
            ("version", _) => return Err(wrong(name, value, "v1")),
            ("disabled", "true" | "false") => is_disabled = value == "true",
            ("disabled", _) => return Err(wrong(name, value, "true or false")),
            _ => return Err(AttestError::UnknownOption { name, kind: "provenance" }),
        }
    }
    Ok(AttestSpec::Provenance((!is_disabled).then_some(provenance)))
}

fn sbom(options: Vec<(String, String)>) -> Result<AttestSpec, AttestError> {
    let mut is_wanted = true;
    for (name, value) in options {
        match (name.as_str(), value.as_str()) {
            ("disabled", "true" | "false") => is_wanted = value == "false",
            ("disabled", _) => return Err(wrong(name, value, "true or false")),
            ("generator", _) => return Err(AttestError::Generator { value }),
            _ => return Err(AttestError::UnknownOption { name, kind: "sbom" }),
        }
    }
    Ok(AttestSpec::Sbom(is_wanted))
}

fn wrong(name: String, value: String, expected: &'static str) -> AttestError {
    AttestError::Value { name, value, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<T: FromStr<Err = AttestError> + std::fmt::Debug>(text: &str) -> String {
        text.parse::<T>().map_or_else(|error| error.to_string(), |spec| format!("{spec:?}"))
    }

    #[test]
    fn attestations_are_written_as_in_buildx() {
        insta::assert_snapshot!(shown::<AttestSpec>("type=provenance,mode=max,builder-id=x"), @r#"Provenance(Some(Provenance { mode: Max, builder_id: Some("x") }))"#);
        insta::assert_snapshot!(shown::<AttestSpec>("type=sbom"), @"Sbom(true)");
        insta::assert_snapshot!(shown::<AttestSpec>("type=sbom,generator=x"), @"slipway lists packages itself: there is no other generator, `x` included");
        insta::assert_snapshot!(shown::<AttestSpec>("mode=max"), @"type is required: provenance or sbom");
        insta::assert_snapshot!(shown::<ProvenanceSpec>("mode=max"), @"ProvenanceSpec(Provenance(Some(Provenance { mode: Max, builder_id: None })))");
        insta::assert_snapshot!(shown::<ProvenanceSpec>("mode=most"), @"invalid value `most` of `mode`, expected min or max");
        insta::assert_snapshot!(shown::<ProvenanceSpec>("version=v0.2"), @"invalid value `v0.2` of `version`, expected v1");
        insta::assert_snapshot!(shown::<ProvenanceSpec>("false"), @"ProvenanceSpec(Provenance(None))");
        insta::assert_snapshot!(shown::<SbomSpec>("x=y"), @"unknown option `x` of `type=sbom`");
    }
}
