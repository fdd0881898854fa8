//! Remote caches that clients name.

use std::collections::HashMap;

use engine::remote_cache::{
    CacheExport, CacheFailure, CacheFormat, CacheImport, CacheMode, CachePlace, CacheShape, InlineCache,
};
use image::Reference;
use serde::Deserialize;
use tonic::Status;

use crate::attributes::{Attributes, invalid};
use crate::form;
use crate::proto::control::{CacheOptions, CacheOptionsEntry};

/// Caches of one build, in each direction.
const CACHES_MAX: usize = 64;
/// A cache in a repository.
const REGISTRY: &str = "registry";
/// The same in our own format.
const SLIPWAY: &str = "slipway";

/// Where the results of the steps go.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CacheExports {
    pub(crate) exports: Vec<CacheExport>,
    pub(crate) inline: InlineCache,
}

/// An entry of the attribute `cache-imports`: JSON, as Go writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    r#type: String,
    #[serde(default)]
    attrs: Option<HashMap<String, String>>,
}

/// What a request says of caches to read; older clients name only repositories.
pub(crate) fn named_imports(options: Option<&CacheOptions>) -> Vec<CacheOptionsEntry> {
    let Some(options) = options else { return Vec::new() };
    let older = options.import_refs_deprecated.iter().map(|name| entry(name));
    options.imports.iter().cloned().chain(older).collect()
}

/// What the attributes of a frontend say of caches to read.
pub(crate) fn attribute_imports(attributes: Attributes<'_>) -> Result<Vec<CacheOptionsEntry>, Status> {
    let mut entries = Vec::new();
    if let Some(text) = attributes.get("cache-imports") {
        let wrong = |_| invalid("cache-imports", text, "JSON with a list of caches");
        let written: Vec<Written> = serde_json::from_str(text).map_err(wrong)?;
        entries.extend(written.into_iter().map(|it| entry_of(&it.r#type, it.attrs.unwrap_or_default())));
    }
    let names = attributes.get("cache-from").into_iter().flat_map(|text| text.split(','));
    entries.extend(names.map(str::trim).filter(|name| !name.is_empty()).map(entry));
    Ok(entries)
}

fn entry(name: &str) -> CacheOptionsEntry {
    entry_of(REGISTRY, HashMap::from([("ref".to_owned(), name.to_owned())]))
}

fn entry_of(kind: &str, attrs: HashMap<String, String>) -> CacheOptionsEntry {
    CacheOptionsEntry { r#type: kind.to_owned(), attrs }
}

/// Caches to read, each once. One that cannot be had does not fail a build: `refused` hears what it is, and why not.
pub(crate) fn imports(
    entries: &[CacheOptionsEntry],
    refused: &mut dyn FnMut(&str, &str),
) -> Result<Vec<CacheImport>, Status> {
    if entries.len() > CACHES_MAX {
        return Err(Status::invalid_argument(format!("more than {CACHES_MAX} caches to import")));
    }
    let mut imports = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        // Clients say it twice, in the request and in the attributes.
        if entries[..index].contains(entry) {
            continue;
        }
        match entry.r#type.as_str() {
            REGISTRY | SLIPWAY => {
                let place = CachePlace::Registry(reference(entry)?);
                imports.push(CacheImport { place, timeout: None });
            }
            other => {
                let named = |name: &str| entry.attrs.get(name).map(String::as_str);
                let what = named("ref").or(named("src")).or(named("name")).unwrap_or(other);
                refused(what, &format!("unknown cache importer: {other}"));
            }
        }
    }
    Ok(imports)
}

/// Caches to write. One that cannot be written fails the build, as in BuildKit, unless the client says otherwise.
pub(crate) fn exports(options: Option<&CacheOptions>) -> Result<CacheExports, Status> {
    let Some(options) = options else { return Ok(CacheExports::default()) };
    let mut entries = options.exports.clone();
    if !options.export_ref_deprecated.is_empty() {
        let mut older = entry(&options.export_ref_deprecated);
        older.attrs.extend(options.export_attrs_deprecated.clone());
        entries.push(older);
    }
    if entries.len() > CACHES_MAX {
        return Err(Status::invalid_argument(format!("more than {CACHES_MAX} caches to export")));
    }
    let mut found = CacheExports::default();
    for entry in &entries {
        match entry.r#type.as_str() {
            "inline" => found.inline = InlineCache::Present,
            REGISTRY | SLIPWAY => found.exports.push(export(entry)?),
            other => return Err(Status::unimplemented(format!("unknown cache exporter: {other}"))),
        }
    }
    Ok(found)
}

fn export(entry: &CacheOptionsEntry) -> Result<CacheExport, Status> {
    let attributes = &entry.attrs;
    let is_ours = entry.r#type == SLIPWAY;
    let name = reference(entry)?;
    if name.digest().is_some() {
        return Err(invalid(
            "ref",
            &name.to_string(),
            "a name without a digest: what is written has none yet",
        ));
    }
    let mode = match attributes.get("mode").map(String::as_str) {
        None | Some("") if is_ours => CacheMode::Max,
        None | Some("" | "min") => CacheMode::Min,
        Some("max") => CacheMode::Max,
        Some(other) => return Err(invalid("mode", other, "min or max")),
    };
    let is_index = attributes.contains_key("image-manifest") && !form::is_on(attributes, "image-manifest")?;
    Ok(CacheExport {
        place: CachePlace::Registry(name),
        format: if is_ours { CacheFormat::Slipway } else { CacheFormat::BuildKit },
        mode,
        layers: form::layers(attributes)?,
        media_types: form::media_types(attributes)?,
        shape: if is_index { CacheShape::Index } else { CacheShape::Manifest },
        failure: match form::is_on(attributes, "ignore-error")? {
            true => CacheFailure::Ignored,
            false => CacheFailure::Fatal,
        },
        timeout: None,
    })
}

fn reference(entry: &CacheOptionsEntry) -> Result<Reference, Status> {
    let name = entry.attrs.get("ref").map_or("", String::as_str);
    let expected = format!("the name of a repository, which `type={}` needs", entry.r#type);
    name.parse().map_err(|_| invalid("ref", name, &expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(kind: &str, attributes: &[(&str, &str)]) -> CacheOptionsEntry {
        let attrs = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        entry_of(kind, attrs.collect())
    }

    fn shown(entries: &[CacheOptionsEntry]) -> (String, String) {
        let mut unknown = String::new();
        let found = imports(entries, &mut |what, why| unknown += &format!("{what}: {why}"));
        let found = found.map(|all| all.iter().map(|it| it.place.to_string()).collect::<Vec<_>>().join(" "));
        (found.unwrap_or_else(|status| status.message().to_owned()), unknown)
    }

    #[test]
    fn a_cache_that_is_named_twice_is_read_once() {
        let map = HashMap::from([
            (
                "cache-imports".to_owned(),
                r#"[{"Type":"registry","Attrs":{"ref":"host:5000/a:1"}},{"Type":"gha","Attrs":null}]"#
                    .to_owned(),
            ),
            ("cache-from".to_owned(), "host:5000/b, host:5000/a:1".to_owned()),
        ]);
        let entries = attribute_imports(Attributes(&map)).unwrap();
        let expected =
            ("host:5000/a:1 host:5000/b:latest".to_owned(), "gha: unknown cache importer: gha".to_owned());
        assert_eq!(shown(&entries), expected);
        assert_eq!(
            shown(&[named("registry", &[])]).0,
            "invalid value `` of `ref`, expected the name of a repository, which `type=registry` needs"
        );
        let map = HashMap::from([("cache-imports".to_owned(), "{".to_owned())]);
        let status = attribute_imports(Attributes(&map)).unwrap_err();
        assert!(status.message().contains("`cache-imports`"), "{status}");
    }

    #[test]
    fn exports_say_what_goes_where() {
        let read = |entries: &[CacheOptionsEntry]| {
            exports(Some(&CacheOptions { exports: entries.to_vec(), ..CacheOptions::default() }))
        };
        let found = read(&[
            named("inline", &[]),
            named("registry", &[("ref", "host:5000/a"), ("mode", "max"), ("image-manifest", "false")]),
            named("slipway", &[("ref", "host:5000/b"), ("ignore-error", "true"), ("compression", "zstd")]),
        ])
        .unwrap();
        assert_eq!(found.inline, InlineCache::Present);
        let [registry, ours] = found.exports.as_slice() else { panic!("{found:?}") };
        assert_eq!((registry.mode, registry.shape), (CacheMode::Max, CacheShape::Index));
        assert_eq!((registry.format, registry.failure), (CacheFormat::BuildKit, CacheFailure::Fatal));
        assert_eq!((ours.mode, ours.failure), (CacheMode::Max, CacheFailure::Ignored));
        for (kind, attributes, expected) in [
            ("s4", [("ref", "a")], "unknown cache exporter: s4"),
            ("registry", [("ref", "A")], "invalid value `A` of `ref`"),
            ("registry", [("x", "y")], "invalid value `` of `ref`"),
        ] {
            let status = read(&[named(kind, &attributes)]).unwrap_err();
            assert!(status.message().starts_with(expected), "{status}");
        }
        let wrong = read(&[named("registry", &[("ref", "a"), ("mode", "most")])]).unwrap_err();
        assert_eq!(wrong.message(), "invalid value `most` of `mode`, expected min or max");
    }
}
