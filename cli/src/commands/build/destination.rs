//! `--output` in the syntax of buildx.

use std::path::PathBuf;
use std::str::FromStr;

use engine::images::{Compression, Existing, FileTimes, ImageForm, LayerForm, MediaTypes, PushAs};
use engine::{
    Archive, ArchivePlace, Destination, ImageOutput, LocalMode, LocalOutput, Output, PlatformSplit, TarOutput,
};
use image::Reference;

use super::annotation;
use crate::commands::csv::{CsvError, fields};

/// One `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OutputSpec {
    /// Into the store, where every image goes anyway: `type=docker` without a destination.
    Store,
    /// Nowhere but into the cache.
    CacheOnly,
    /// To somewhere else, or with more to it.
    Export(Output),
}

/// Whether the image is to stay in the store, with a name or without: as long as nothing else is asked for.
pub(super) fn want_image(outputs: &[OutputSpec]) -> bool {
    let wants =
        |output: &OutputSpec| matches!(output, OutputSpec::Store | OutputSpec::Export(Output::Image(_)));
    outputs.is_empty() || outputs.iter().any(wants)
}

/// Why a text is no `--output`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutputError {
    #[error(transparent)]
    Csv(#[from] CsvError),
    #[error("invalid value `{field}`, expected NAME=VALUE")]
    NotPair { field: String },
    #[error("type is required for output")]
    NoType,
    #[error("unknown type `{kind}`, expected one of cacheonly, docker, image, local, oci, registry, tar")]
    UnknownType { kind: String },
    #[error("unknown option `{name}` of `type={kind}`, expected {}", list(known))]
    UnknownOption { name: String, kind: String, known: Vec<&'static str> },
    #[error("invalid value `{value}` of `{name}`, expected {expected}")]
    Value { name: String, value: String, expected: &'static str },
    #[error("dest is required for `type={kind}`")]
    NoDestination { kind: String },
    #[error("compression-level is of gzip and zstd, it says nothing of `compression=uncompressed`")]
    LevelOfNothing,
    #[error("name-canonical needs push=true: the digest in the name is that of the registry's manifest")]
    CanonicalWithoutPush,
}

impl FromStr for OutputSpec {
    type Err = OutputError;

    fn from_str(text: &str) -> Result<Self, OutputError> {
        let fields = fields(text)?;
        if let [only] = fields.as_slice()
            && !only.is_empty()
            && !only.starts_with("type=")
        {
            return Ok(Self::Export(match only.as_str() {
                "-" => Output::Tar(Destination::Stdout.into()),
                directory => Output::Local(PathBuf::from(directory).into()),
            }));
        }
        let mut attributes = Vec::new();
        for field in fields {
            let pair = field.split_once('=').ok_or_else(|| OutputError::NotPair { field: field.clone() })?;
            attributes.push((pair.0.trim().to_owned(), pair.1.to_owned()));
        }
        let kind = attributes.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case("type"));
        let kind = kind.map(|(_, kind)| kind.clone()).ok_or(OutputError::NoType)?;
        let mut read = Attributes::new(kind);
        for (name, value) in attributes {
            read.take(&name, value)?;
        }
        read.finish()
    }
}

/// What the attributes of an output say.
struct Attributes {
    kind: String,
    dest: Option<String>,
    names: Vec<Reference>,
    pushes: Option<bool>,
    by_digest: bool,
    is_canonical: bool,
    as_tar: bool,
    split: PlatformSplit,
    mode: LocalMode,
    compression: Option<String>,
    level: Option<i32>,
    form: ImageForm,
}

/// What a kind of output understands beside `type`.
const FORM: [&str; 6] = [
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "rewrite-timestamp",
    "annotation.KEY",
];

impl Attributes {
    fn new(kind: String) -> Self {
        Self {
            kind,
            dest: None,
            names: Vec::new(),
            pushes: None,
            by_digest: false,
            is_canonical: false,
            as_tar: true,
            split: PlatformSplit::default(),
            mode: LocalMode::default(),
            compression: None,
            level: None,
            form: ImageForm::default(),
        }
    }

    fn known(&self) -> Vec<&'static str> {
        let own: &[&str] = match self.kind.as_str() {
            "image" | "registry" => &[
                "name",
                "name-canonical",
                "prefer-nondist-layers",
                "push",
                "push-by-digest",
                "store",
                "unpack",
            ],
            "oci" | "docker" => &["dest", "name", "tar"],
            "tar" => &["dest", "platform-split"],
            "local" => &["dest", "platform-split", "mode"],
            _ => &[],
        };
        let form: &[&str] = match self.kind.as_str() {
            "image" | "registry" | "oci" | "docker" => &FORM,
            _ => &[],
        };
        [own, form].concat()
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), OutputError> {
        let name = if name.starts_with("annotation") { name.to_owned() } else { name.to_ascii_lowercase() };
        let known = self.known();
        let word = name.as_str();
        let is_known = match word.starts_with("annotation") {
            true => known.contains(&"annotation.KEY"),
            false => word == "type" || known.contains(&word),
        };
        if !is_known {
            return Err(OutputError::UnknownOption { name, kind: self.kind.clone(), known });
        }
        match word {
            "dest" => self.dest = Some(value),
            "name" => self.names = references(&value)?,
            "push" => self.pushes = Some(boolean(word, &value)?),
            "push-by-digest" => self.by_digest = boolean(word, &value)?,
            "tar" => self.as_tar = boolean(word, &value)?,
            "platform-split" => {
                let splits = boolean(word, &value)?;
                self.split = if splits { PlatformSplit::Always } else { PlatformSplit::Never };
            }
            "mode" => {
                self.mode = match value.as_str() {
                    "copy" => LocalMode::Copy,
                    "delete" => LocalMode::Delete,
                    other => return Err(wrong(word, other, "copy or delete")),
                };
            }
            "compression" => self.compression = Some(value),
            "compression-level" => {
                let wrong = |_| wrong(word, &value, "a number");
                self.level = Some(value.parse().map_err(wrong)?);
            }
            "force-compression" => {
                let force = boolean(word, &value)?;
                self.form.layers.existing = if force { Existing::Recompress } else { Existing::Keep };
            }
            "oci-mediatypes" => {
                let is_oci = boolean(word, &value)?;
                self.form.media_types = if is_oci { MediaTypes::Oci } else { MediaTypes::Docker };
            }
            "rewrite-timestamp" => {
                let rewrites = boolean(word, &value)?;
                self.form.file_times = if rewrites { FileTimes::Epoch } else { FileTimes::AsBuilt };
            }
            "prefer-nondist-layers" if !boolean(word, &value)? => {
                return Err(wrong(
                    word,
                    &value,
                    "true: layers that only other servers have keep their names",
                ));
            }
            "store" if !boolean(word, &value)? => {
                return Err(wrong(word, &value, "true: what is built is in the store"));
            }
            // Whoever looks into a layer unpacks it.
            "unpack" => drop(boolean(word, &value)?),
            // What is pushed is always known by its digest as well.
            "name-canonical" if boolean(word, &value)? => self.is_canonical = true,
            _ if word.starts_with("annotation") => {
                let annotation = annotation::attribute(word, &value);
                let known = self.known();
                self.form.annotations.0.push(annotation.ok_or_else(|| OutputError::UnknownOption {
                    name: name.clone(),
                    kind: self.kind.clone(),
                    known,
                })?);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Result<OutputSpec, OutputError> {
        self.form.layers = LayerForm { compression: self.compression()?, ..self.form.layers };
        let Self { kind, dest, names, pushes, by_digest, is_canonical, as_tar, split, mode, form, .. } = self;
        let destination = match dest.as_deref() {
            None | Some("-") => Destination::Stdout,
            Some(path) => Destination::File(PathBuf::from(path)),
        };
        let place = match (as_tar, &dest) {
            (true, _) => ArchivePlace::Tar(destination.clone()),
            (false, Some(path)) => ArchivePlace::Directory(PathBuf::from(path)),
            (false, None) => return Err(OutputError::NoDestination { kind }),
        };
        if is_canonical && !pushes.unwrap_or(kind == "registry" || by_digest) {
            return Err(OutputError::CanonicalWithoutPush);
        }
        let push_as = if by_digest { PushAs::Digest } else { PushAs::Tag };
        let image = |push| {
            OutputSpec::Export(Output::Image(ImageOutput { names: names.clone(), push, form: form.clone() }))
        };
        Ok(match kind.as_str() {
            "cacheonly" => OutputSpec::CacheOnly,
            "image" => image(pushes.unwrap_or(by_digest).then_some(push_as)),
            "registry" => image(pushes.unwrap_or(true).then_some(push_as)),
            "docker" if dest.is_none() && names.is_empty() => OutputSpec::Store,
            "docker" if dest.is_none() => image(None),
            "docker" => OutputSpec::Export(Output::Docker(Archive { to: place, names, form })),
            "oci" => OutputSpec::Export(Output::Oci(Archive { to: place, names, form })),
            "tar" => OutputSpec::Export(Output::Tar(TarOutput { to: destination, split })),
            "local" => match dest {
                Some(directory) => {
                    let directory = PathBuf::from(directory);
                    OutputSpec::Export(Output::Local(LocalOutput { directory, split, mode }))
                }
                None => return Err(OutputError::NoDestination { kind }),
            },
            _ => return Err(OutputError::UnknownType { kind }),
        })
    }

    fn compression(&self) -> Result<Option<Compression>, OutputError> {
        compression(self.compression.as_deref(), self.level)
    }
}

/// What `compression` and `compression-level` say together.
pub(super) fn compression(
    name: Option<&str>,
    level: Option<i32>,
) -> Result<Option<Compression>, OutputError> {
    let checked = |range: std::ops::RangeInclusive<i32>, expected| match level {
        Some(level) if !range.contains(&level) => {
            Err(wrong("compression-level", &level.to_string(), expected))
        }
        level => Ok(level),
    };
    Ok(match name {
        None if level.is_none() => None,
        None | Some("gzip") => Some(Compression::Gzip { level: checked(0..=12, "0 to 12 for gzip")? }),
        Some("zstd") => Some(Compression::Zstd { level: checked(1..=22, "1 to 22 for zstd")? }),
        Some("uncompressed") if level.is_some() => return Err(OutputError::LevelOfNothing),
        Some("uncompressed") => Some(Compression::None),
        Some(other) => return Err(wrong("compression", other, "gzip, zstd or uncompressed")),
    })
}

fn list(known: &[&str]) -> String {
    if known.is_empty() { "none".to_owned() } else { format!("one of {}", known.join(", ")) }
}

fn references(text: &str) -> Result<Vec<Reference>, OutputError> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let parse = |name: &str| match name.parse::<Reference>() {
        Ok(reference) if reference.digest().is_none() => Ok(reference),
        _ => Err(wrong("name", name, "a name with or without a tag")),
    };
    names.map(parse).collect()
}

pub(super) fn boolean(name: &str, value: &str) -> Result<bool, OutputError> {
    match value {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
        _ => Err(wrong(name, value, "true or false")),
    }
}

pub(super) fn wrong(name: &str, value: &str, expected: &'static str) -> OutputError {
    OutputError::Value { name: name.to_owned(), value: value.to_owned(), expected }
}

/// Whether an output is written to standard output.
pub(super) fn goes_to_stdout(output: &Output) -> bool {
    match output {
        Output::Oci(archive) | Output::Docker(archive) => {
            archive.to == ArchivePlace::Tar(Destination::Stdout)
        }
        Output::Tar(tar) => tar.to == Destination::Stdout,
        Output::Image(_) | Output::Local(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        match text.parse::<OutputSpec>() {
            Ok(spec) => format!("{spec:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn outputs_are_written_as_in_buildx() {
        let texts = [
            "out",
            "-",
            "type=local,dest=out",
            "type=oci,dest=a.tar",
            "type=oci",
            "type=docker",
            "type=docker,dest=-",
            "\"dest=a,b.tar\",type=tar",
            "type=tar,dest=\"x\"",
            "",
            "dest=x,y=z",
            "dest=x,x",
            "type=image",
            "type=image,name=a,push=true",
            "type=registry,\"name=a,b:1\",push-by-digest=true",
            "type=oci,compression=zstd,compression-level=9,force-compression=true",
            "type=oci,compression-level=9",
            "type=oci,compression=zstd,compression-level=99",
            "type=oci,compression=uncompressed,compression-level=1",
            "type=oci,compression=estargz",
            "type=image,name=a,unpack=true,store=true,prefer-nondist-layers=1",
            "type=image,store=false",
            "type=image,prefer-nondist-layers=false",
            "type=image,unpack=maybe",
            "type=oci,dest=d,tar=false,oci-mediatypes=false,annotation.K=v",
            "type=oci,tar=false",
            "type=image,push=maybe",
            "type=image,name=a,name-canonical=true",
            "type=cacheonly",
            "type=cacheonly,dest=x",
            "type=other",
            "type=local",
            "type=tar,push=true",
            "\"type=tar",
        ];
        let shown: Vec<_> = texts.iter().map(|text| format!("{text:26} {}", parse(text))).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        out                        Export(Local(LocalOutput { directory: "out", split: WhenSeveral, mode: Copy }))
        -                          Export(Tar(TarOutput { to: Stdout, split: WhenSeveral }))
        type=local,dest=out        Export(Local(LocalOutput { directory: "out", split: WhenSeveral, mode: Copy }))
        type=oci,dest=a.tar        Export(Oci(Archive { to: Tar(File("a.tar")), names: [], form: ImageForm { layers: LayerForm { compression: None, existing: Keep }, media_types: Oci, file_times: AsBuilt, annotations: Annotations([]) } }))
        type=oci                   Export(Oci(Archive { to: Tar(Stdout), names: [], form: ImageForm { layers: LayerForm { compression: None, existing: Keep }, media_types: Oci, file_times: AsBuilt, annotations: Annotations([]) } }))
        type=docker                Store
        type=docker,dest=-         Export(Docker(Archive { to: Tar(Stdout), names: [], form: ImageForm { layers: LayerForm { compression: None, existing: Keep }, media_types: Oci, file_times: AsBuilt, annotations: Annotations([]) } }))
        "dest=a,b.tar",type=tar    Export(Tar(TarOutput { to: File("a,b.tar"), split: WhenSeveral }))
        type=tar,dest="x"          a quote stands in the middle of `type=tar,dest="x"`; quotes go around NAME=VALUE
                                   invalid value ``, expected NAME=VALUE
        dest=x,y=z                 type is required for output
        dest=x,x                   invalid value `x`, expected NAME=VALUE
        type=image                 Export(Image(ImageOutput { names: [], push: None, form: ImageForm { layers: LayerForm { compression: None, existing: Keep }, media_types: Oci, file_times: AsBuilt, annotations: Annotations([]) } }))
        type=image,name=a,push=true Export(Image(ImageOutput { names: [docker.io/library/a:latest], push: Some(Tag), form: ImageForm { layers: LayerForm { compression: None, existing: Keep }, media_types: Oci, file_times: AsBuilt, annotations: Annotations([]) } }))
        type=registry,"name=a,b:1",push-by-digest=true Export(Image(ImageOutput { names: [docker.io/library/a:latest, docker.io/library/b:1], push: Some(Digest), form: ImageForm { layers: LayerForm { compression: None, existing: Keep }, media_types: Oci, file_times: AsBuilt, annotations: Annotations([]) } }))
        type=oci,compression=zstd,compression-level=9,force-compression=true Export(Oci(Archive { to: Tar(Stdout), names: [], form: ImageForm { layers: LayerForm { compression: Some(Zstd { level: Some(9) }), existing: Recompress }, media_types: Oci, file_times: AsBuilt, annotations: Annotations([]) } }))
        type=oci,compression-level=9 Export(Oci(Archive { to: Tar(Stdout), names: [], form: ImageForm { layers: LayerForm { compression: Some(Gzip { level: Some(9) }), existing: Keep }, media_types: Oci, file_times: AsBuilt, annotations: Annotations([]) } }))
        type=oci,compression=zstd,compression-level=99 invalid value `99` of `compression-level`, expected 1 to 22 for zstd
        type=oci,compression=uncompressed,compression-level=1 compression-level is of gzip and zstd, it says nothing of `compression=uncompressed`
        type=oci,compression=estargz invalid value `estargz` of `compression`, expected gzip, zstd or uncompressed
        type=image,name=a,unpack=true,store=true,prefer-nondist-layers=1 Export(Image(ImageOutput { names: [docker.io/library/a:latest], push: None, form: ImageForm { layers: LayerForm { compression: None, existing: Keep }, media_types: Oci, file_times: AsBuilt, annotations: Annotations([]) } }))
        type=image,store=false     invalid value `false` of `store`, expected true: what is built is in the store
        type=image,prefer-nondist-layers=false invalid value `false` of `prefer-nondist-layers`, expected true: layers that only other servers have keep their names
        type=image,unpack=maybe    invalid value `maybe` of `unpack`, expected true or false
        type=oci,dest=d,tar=false,oci-mediatypes=false,annotation.K=v Export(Oci(Archive { to: Directory("d"), names: [], form: ImageForm { layers: LayerForm { compression: None, existing: Keep }, media_types: Docker, file_times: AsBuilt, annotations: Annotations([Annotation { level: Manifest, platform: None, key: "K", value: "v" }]) } }))
        type=oci,tar=false         dest is required for `type=oci`
        type=image,push=maybe      invalid value `maybe` of `push`, expected true or false
        type=image,name=a,name-canonical=true name-canonical needs push=true: the digest in the name is that of the registry's manifest
        type=cacheonly             CacheOnly
        type=cacheonly,dest=x      unknown option `dest` of `type=cacheonly`, expected none
        type=other                 unknown type `other`, expected one of cacheonly, docker, image, local, oci, registry, tar
        type=local                 dest is required for `type=local`
        type=tar,push=true         unknown option `push` of `type=tar`, expected one of dest, platform-split
        "type=tar                  a quote is not closed
        "#);
    }
}
