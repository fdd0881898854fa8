//! Remote caches that clients name.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use engine::remote_cache::{
    CacheExport, CacheFailure, CacheFormat, CacheImport, CacheMode, CachePlace, CacheShape, InlineCache,
};
use image::{BlobDigest, Reference};
use serde::Deserialize;
use tonic::Status;

use crate::attributes::{Attributes, invalid};
use crate::form;
use crate::proto::control::{CacheOptions, CacheOptionsEntry};
use crate::session::layout::{self, TAG};

/// Caches of one build, in each direction.
const CACHES_MAX: usize = 64;
/// A cache in a repository.
const REGISTRY: &str = "registry";
/// The same in our own format.
const SLIPWAY: &str = "slipway";
/// One in a directory of the client.
const LOCAL: &str = "local";

/// Reads what clients say of caches in object stores and services like them, which the environment says more of.
#[derive(Debug, Clone, Copy)]
pub struct KeyedCaches {
    /// The kinds that there are.
    pub kinds: &'static [&'static str],
    /// Those to read.
    pub imports: fn(&str, &Pairs) -> Result<Vec<CacheImport>, String>,
    /// One to write.
    pub export: fn(&str, &Pairs) -> Result<CacheExport, String>,
}

/// What is said of a cache beside its kind.
pub type Pairs = BTreeMap<String, String>;

/// A cache to read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Import {
    /// One that the engine finds itself.
    Elsewhere(CacheImport),
    /// One in a directory of the client's, by the digest of its manifest.
    OfClient { source: String, digest: BlobDigest },
}

/// A cache in a directory of the client's that is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClientExport {
    /// The directory.
    pub(crate) destination: String,
    /// How it is written; the place is yet to be found.
    pub(crate) export: CacheExport,
}

/// Where the results of the steps go.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CacheExports {
    pub(crate) exports: Vec<CacheExport>,
    pub(crate) of_client: Vec<ClientExport>,
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
    keyed: Option<KeyedCaches>,
    refused: &mut dyn FnMut(&str, &str),
) -> Result<Vec<Import>, Status> {
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
                imports.push(Import::Elsewhere(CacheImport { place, timeout: None }));
            }
            LOCAL => {
                let source = needed(entry, "src", "a directory of the client, which `type=local` needs")?;
                let digest = needed(entry, "digest", "a digest, which `type=local` needs")?;
                let digest = layout::digest(&digest)?;
                imports.push(Import::OfClient { source, digest });
            }
            other => {
                let named = |name: &str| entry.attrs.get(name).map(String::as_str);
                let what = named("ref").or(named("src")).or(named("name")).unwrap_or(other);
                match keyed.filter(|keyed| keyed.kinds.contains(&other)) {
                    None => refused(what, &format!("unknown cache importer: {other}")),
                    Some(keyed) => match (keyed.imports)(other, &pairs(entry)) {
                        Ok(found) => imports.extend(found.into_iter().map(Import::Elsewhere)),
                        Err(why) => refused(what, &why),
                    },
                }
            }
        }
    }
    Ok(imports)
}

/// Caches to write. One that cannot be written fails the build, as in BuildKit, unless the client says otherwise.
pub(crate) fn exports(
    options: Option<&CacheOptions>,
    keyed: Option<KeyedCaches>,
) -> Result<CacheExports, Status> {
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
            REGISTRY | SLIPWAY => {
                let place = CachePlace::Registry(written_reference(entry)?);
                found.exports.push(export(entry, place)?);
            }
            LOCAL => {
                let destination =
                    needed(entry, "dest", "a directory of the client, which `type=local` needs")?;
                let place = CachePlace::Directory { path: PathBuf::new(), tag: TAG.to_owned() };
                found.of_client.push(ClientExport { destination, export: export(entry, place)? });
            }
            other => {
                let known = keyed.filter(|keyed| keyed.kinds.contains(&other));
                let unknown = || Status::unimplemented(format!("unknown cache exporter: {other}"));
                let export = (known.ok_or_else(unknown)?.export)(other, &pairs(entry));
                found.exports.push(export.map_err(Status::invalid_argument)?);
            }
        }
    }
    Ok(found)
}

fn pairs(entry: &CacheOptionsEntry) -> Pairs {
    entry.attrs.clone().into_iter().collect()
}

fn needed(entry: &CacheOptionsEntry, name: &str, expected: &str) -> Result<String, Status> {
    let value = entry.attrs.get(name).filter(|value| !value.is_empty());
    value.cloned().ok_or_else(|| invalid(name, "", expected))
}

/// A name that something can be written under.
fn written_reference(entry: &CacheOptionsEntry) -> Result<Reference, Status> {
    let name = reference(entry)?;
    match name.digest() {
        None => Ok(name),
        Some(_) => {
            Err(invalid("ref", &name.to_string(), "a name without a digest: what is written has none yet"))
        }
    }
}

fn export(entry: &CacheOptionsEntry, place: CachePlace) -> Result<CacheExport, Status> {
    let attributes = &entry.attrs;
    let is_ours = entry.r#type == SLIPWAY;
    let mode = match attributes.get("mode").map(String::as_str) {
        None | Some("") if is_ours => CacheMode::Max,
        None | Some("" | "min") => CacheMode::Min,
        Some("max") => CacheMode::Max,
        Some(other) => return Err(invalid("mode", other, "min or max")),
    };
    let is_index = attributes.contains_key("image-manifest") && !form::is_on(attributes, "image-manifest")?;
    Ok(CacheExport {
        place,
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
        let found = imports(entries, None, &mut |what, why| unknown += &format!("{what}: {why}"));
        let shown = |import: &Import| match import {
            Import::Elsewhere(import) => import.place.to_string(),
            Import::OfClient { source, digest } => format!("{source}@{digest}"),
        };
        let found = found.map(|all| all.iter().map(shown).collect::<Vec<_>>().join(" "));
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
            exports(Some(&CacheOptions { exports: entries.to_vec(), ..CacheOptions::default() }), None)
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
