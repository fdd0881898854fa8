//! `--cache-from` and `--cache-to` in the syntax of buildx.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use engine::images::{Compression, Existing, LayerForm, MediaTypes};
use engine::remote_cache::{
    CacheExport, CacheFailure, CacheFormat, CacheImport, CacheMode, CachePlace, CacheShape,
};
use image::Reference;

use super::super::csv::{CsvError, fields};
use super::cache_actions;
use super::cache_objects;
use super::destination::{OutputError, boolean, compression, wrong};
use super::environment::Environment;
use crate::output::parse_age;

/// The name of a cache in a directory when nobody gives one, as in BuildKit.
const TAG_DEFAULT: &str = "latest";
/// What a cache that is written in every type understands.
const TO_OPTIONS: [&str; 10] = [
    "type",
    "mode",
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "image-manifest",
    "ignore-error",
    "timeout",
    "tag",
];

/// What one under names understands, which has no documents of a registry.
const KEYED_TO_OPTIONS: &[&str] =
    &["type", "mode", "compression", "compression-level", "force-compression", "ignore-error", "timeout"];

/// One `--cache-from`: a service may have several caches that we may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FromSpec(pub(super) Vec<CacheImport>);

/// One `--cache-to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToSpec {
    /// The image itself.
    Inline,
    /// Somewhere else.
    Export(CacheExport),
}

/// Why a text is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CacheError {
    #[error(transparent)]
    Csv(#[from] CsvError),
    #[error("invalid field `{field}`, expected NAME=VALUE")]
    NotPair { field: String },
    #[error(
        "`tag` is the name of a cache in a directory; that of one in a registry is a part of `ref=NAME:TAG`"
    )]
    TagOfDirectory,
    #[error(
        "an image has only the steps that it continues in it, `mode=min`; `mode=max` needs a cache of another type"
    )]
    InlineMax,
    #[error("unknown type `{kind}`, expected one of {}", known.join(", "))]
    UnknownType { kind: String, known: &'static [&'static str] },
    #[error("unknown option `{name}` of `type={kind}`, expected one of {}", known.join(", "))]
    UnknownOption { name: String, kind: String, known: Vec<&'static str> },
    #[error("`type={kind}` needs {needed}")]
    NoPlace { kind: String, needed: &'static str },
    #[error("a cache is either in a registry (`ref`) or in a directory")]
    TwoPlaces,
    #[error("invalid cache name `{name}`: {problem}")]
    Name { name: String, problem: String },
    #[error(transparent)]
    Value(#[from] OutputError),
    #[error("invalid value `{value}` of `{name}`: {problem}")]
    Duration { name: &'static str, value: String, problem: String },
}

/// `NAME=VALUE` in order, with what `type` says; a bare name is a registry's.
pub(super) struct Pairs {
    pub(super) kind: String,
    pairs: Vec<(String, String)>,
}

impl Pairs {
    /// Of a kind that is known.
    pub(super) fn of(kind: &str, pairs: Vec<(String, String)>) -> Self {
        Self { kind: kind.to_owned(), pairs }
    }

    fn parse(text: &str, known: &'static [&'static str]) -> Result<Self, CacheError> {
        let fields = fields(text)?;
        if let [only] = fields.as_slice()
            && !only.contains('=')
        {
            let pairs = vec![("ref".to_owned(), only.clone())];
            return Ok(Self { kind: "registry".to_owned(), pairs });
        }
        let mut pairs = Vec::new();
        for field in fields {
            let pair = field.split_once('=').ok_or_else(|| CacheError::NotPair { field: field.clone() })?;
            pairs.push((pair.0.trim().to_ascii_lowercase(), pair.1.to_owned()));
        }
        let kind = pairs.iter().rev().find(|(name, _)| name == "type").map(|(_, kind)| kind.clone());
        let kind = kind.unwrap_or_else(|| "registry".to_owned());
        if known.contains(&kind.as_str()) {
            Ok(Self { kind, pairs })
        } else {
            Err(CacheError::UnknownType { kind, known })
        }
    }

    /// The options of this type: those of its place, and others.
    fn check(&self, directory: &'static str, others: &[&'static str]) -> Result<(), CacheError> {
        if self.kind == "inline" {
            // Its layers leave with the image, in the form of the image.
            return self.only(&["type", "mode"]);
        }
        let place: Vec<&'static str> = match self.kind.as_str() {
            "registry" => vec!["ref"],
            "local" => vec![directory],
            "slipway" => vec!["ref", directory],
            cache_actions::KIND => cache_actions::PLACE_OPTIONS.to_vec(),
            kind => cache_objects::place_options(kind),
        };
        self.only(&[&place, others].concat())
    }

    fn only(&self, known: &[&'static str]) -> Result<(), CacheError> {
        match self.pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(CacheError::UnknownOption {
                name: name.clone(),
                kind: self.kind.clone(),
                known: known.to_vec(),
            }),
            None => Ok(()),
        }
    }

    /// Whether it is a place that knows names and bytes, and no documents of a registry.
    fn is_keyed(&self) -> bool {
        self.kind == cache_actions::KIND || cache_objects::KINDS.contains(&self.kind.as_str())
    }

    /// The last value of an option that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let last = self.pairs.iter().rev().find(|(known, _)| known == name);
        last.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, CacheError> {
        Ok(self.get(name).map(|value| boolean(name, value)).transpose()?)
    }

    fn timeout(&self) -> Result<Option<Duration>, CacheError> {
        let wrong =
            |value: &str, problem| CacheError::Duration { name: "timeout", value: value.to_owned(), problem };
        let parse = |value: &str| parse_age(value).map_err(|problem| wrong(value, problem));
        self.get("timeout").map(parse).transpose()
    }

    fn place(&self, directory: &'static str, environment: &Environment) -> Result<CachePlace, CacheError> {
        if self.kind == cache_actions::KIND {
            return Ok(CachePlace::Actions(cache_actions::written(self, environment)?));
        }
        if cache_objects::KINDS.contains(&self.kind.as_str()) {
            return Ok(CachePlace::Objects(Box::new(cache_objects::place(self, environment)?)));
        }
        let no_place = |needed| CacheError::NoPlace { kind: self.kind.clone(), needed };
        match (self.get("ref"), self.get(directory)) {
            (Some(_), Some(_)) => Err(CacheError::TwoPlaces),
            (Some(_), None) if self.get("tag").is_some() => Err(CacheError::TagOfDirectory),
            (Some(name), None) => Ok(CachePlace::Registry(reference(name)?)),
            (None, Some(path)) => Ok(CachePlace::Directory {
                path: PathBuf::from(path),
                tag: self.get("tag").unwrap_or(TAG_DEFAULT).to_owned(),
            }),
            (None, None) => Err(no_place(match (self.kind.as_str(), directory) {
                ("registry", _) => "`ref=NAME`",
                ("local", "src") => "`src=DIR`",
                ("local", _) => "`dest=DIR`",
                (_, "src") => "`ref=NAME` or `src=DIR`",
                _ => "`ref=NAME` or `dest=DIR`",
            })),
        }
    }
}

fn reference(name: &str) -> Result<Reference, CacheError> {
    let wrong = |problem: String| CacheError::Name { name: name.to_owned(), problem };
    name.parse().map_err(|error: image::ReferenceError| wrong(error.to_string()))
}

impl FromStr for FromSpec {
    type Err = CacheError;

    fn from_str(text: &str) -> Result<Self, CacheError> {
        Self::parse(text, &Environment::of_process())
    }
}

impl FromSpec {
    pub(super) fn parse(text: &str, environment: &Environment) -> Result<Self, CacheError> {
        Self::of(
            &Pairs::parse(text, &["azblob", "gcs", "gha", "local", "registry", "s3", "slipway"])?,
            environment,
        )
    }

    pub(super) fn of(pairs: &Pairs, environment: &Environment) -> Result<Self, CacheError> {
        let others: &[&str] = match pairs.is_keyed() {
            true => &["type", "timeout"],
            false => &["type", "tag", "timeout"],
        };
        pairs.check("src", others)?;
        let timeout = pairs.timeout()?;
        let places = match pairs.kind.as_str() {
            cache_actions::KIND => {
                cache_actions::read(pairs, environment)?.into_iter().map(CachePlace::Actions).collect()
            }
            _ => vec![pairs.place("src", environment)?],
        };
        Ok(Self(places.into_iter().map(|place| CacheImport { place, timeout }).collect()))
    }
}

impl FromStr for ToSpec {
    type Err = CacheError;

    fn from_str(text: &str) -> Result<Self, CacheError> {
        Self::parse(text, &Environment::of_process())
    }
}

impl ToSpec {
    pub(super) fn parse(text: &str, environment: &Environment) -> Result<Self, CacheError> {
        Self::of(
            &Pairs::parse(text, &["azblob", "gcs", "gha", "inline", "local", "registry", "s3", "slipway"])?,
            environment,
        )
    }

    pub(super) fn of(pairs: &Pairs, environment: &Environment) -> Result<Self, CacheError> {
        match pairs.is_keyed() {
            true => {
                let own = cache_objects::export_options(&pairs.kind);
                pairs.check("dest", &[KEYED_TO_OPTIONS, own].concat())?;
            }
            false => pairs.check("dest", &TO_OPTIONS)?,
        }
        if pairs.kind == "inline" {
            return match pairs.get("mode") {
                None | Some("min") => Ok(Self::Inline),
                Some("max") => Err(CacheError::InlineMax),
                Some(other) => Err(wrong("mode", other, "min").into()),
            };
        }
        let place = pairs.place("dest", environment)?;
        if let CachePlace::Registry(name) = &place
            && name.digest().is_some()
        {
            let problem = "what is written has no digest yet".to_owned();
            return Err(CacheError::Name { name: name.familiar(), problem });
        }
        let is_ours = pairs.kind == "slipway";
        let mode = match pairs.get("mode") {
            Some("min") => CacheMode::Min,
            Some("max") => CacheMode::Max,
            None if is_ours => CacheMode::Max,
            None => CacheMode::Min,
            Some(other) => return Err(wrong("mode", other, "min or max").into()),
        };
        Ok(Self::Export(CacheExport {
            place,
            format: if is_ours { CacheFormat::Slipway } else { CacheFormat::BuildKit },
            mode,
            layers: pairs.layers()?,
            media_types: match pairs.boolean("oci-mediatypes")? {
                Some(false) => MediaTypes::Docker,
                _ => MediaTypes::Oci,
            },
            shape: match pairs.boolean("image-manifest")? {
                Some(false) => CacheShape::Index,
                _ => CacheShape::Manifest,
            },
            failure: match pairs.boolean("ignore-error")? {
                Some(false) => CacheFailure::Fatal,
                _ => CacheFailure::Ignored,
            },
            timeout: pairs.timeout()?,
        }))
    }
}

impl Pairs {
    fn layers(&self) -> Result<LayerForm, CacheError> {
        let level = self.get("compression-level").map(str::parse).transpose();
        let level = level.map_err(|_| {
            wrong("compression-level", self.get("compression-level").unwrap_or_default(), "a number")
        })?;
        let compression: Option<Compression> = compression(self.get("compression"), level)?;
        let existing = match self.boolean("force-compression")? {
            Some(true) => Existing::Recompress,
            _ => Existing::Keep,
        };
        Ok(LayerForm { compression, existing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> String {
        match FromSpec::parse(text, &Environment::default()) {
            Ok(FromSpec(imports)) => {
                let shown =
                    imports.iter().map(|CacheImport { place, timeout }| format!("{place} {timeout:?}"));
                shown.collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    fn to(text: &str) -> String {
        match ToSpec::parse(text, &Environment::default()) {
            Ok(ToSpec::Inline) => "inline".to_owned(),
            Ok(ToSpec::Export(CacheExport {
                place,
                format,
                mode,
                layers,
                media_types,
                shape,
                failure,
                timeout,
            })) => {
                let LayerForm { compression, existing } = layers;
                format!(
                    "{place} {format:?} {mode:?} {compression:?} {existing:?} {media_types:?} {shape:?} {failure:?} {timeout:?}"
                )
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        insta::assert_snapshot!(from("type=registry,ref=app:cache,tag=x"), @"`tag` is the name of a cache in a directory; that of one in a registry is a part of `ref=NAME:TAG`");
        assert_eq!(to("type=slipway,ref=app:cache,tag=x"), from("type=registry,ref=app:cache,tag=x"));
        insta::assert_snapshot!(to("type=inline,mode=max"), @"an image has only the steps that it continues in it, `mode=min`; `mode=max` needs a cache of another type");
        assert_eq!(to("type=inline,mode=min"), "inline");
    }

    #[test]
    fn caches_are_named_as_in_buildx() {
        let texts = [
            "user/app:cache",
            "type=registry,ref=user/app:cache",
            "ref=host:5000/app",
            "type=local,src=dir",
            "type=local,src=dir,tag=x,timeout=5s",
            "type=slipway,src=dir",
            "type=slipway,ref=a,src=b",
            "type=slipway",
            "type=registry",
            "type=local",
            "type=s3,bucket=x",
            "type=s3,bucket=x,region=r,name=a;b,prefix=p/",
            "type=s3,bucket=x,region=r,mode=max",
            "type=azblob",
            "type=azblob,account_url=https://me.example,prefix=p",
            "type=gcs,bucket=x,tag=y",
            "type=gha,url_v2=https://host",
            "type=gha,url_v2=https://host,token=x,scope=s",
            "type=gha,url_v2=https://host,token=x,version=1",
            "type=oss",
            "type=registry,ref=A",
            "type=registry,ref=a,dest=x",
            "type=registry,ref=a,timeout=x",
            "a,b",
        ];
        let shown: Vec<_> = texts.iter().map(|text| format!("{text:36} {}", from(text))).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        user/app:cache                       user/app:cache None
        type=registry,ref=user/app:cache     user/app:cache None
        ref=host:5000/app                    host:5000/app:latest None
        type=local,src=dir                   dir:latest None
        type=local,src=dir,tag=x,timeout=5s  dir:x Some(5s)
        type=slipway,src=dir                 dir:latest None
        type=slipway,ref=a,src=b             a cache is either in a registry (`ref`) or in a directory
        type=slipway                         `type=slipway` needs `ref=NAME` or `src=DIR`
        type=registry                        `type=registry` needs `ref=NAME`
        type=local                           `type=local` needs `src=DIR`
        type=s3,bucket=x                     `type=s3` needs `region=NAME`, or AWS_REGION in the environment
        type=s3,bucket=x,region=r,name=a;b,prefix=p/ s3://x/p/manifests/a;b None
        type=s3,bucket=x,region=r,mode=max   unknown option `mode` of `type=s3`, expected one of bucket, region, endpoint_url, use_path_style, access_key_id, secret_access_key, session_token, prefix, manifests_prefix, blobs_prefix, name, type, timeout
        type=azblob                          `type=azblob` needs `account_url=URL`, or BUILDKIT_AZURE_STORAGE_ACCOUNT_URL in the environment
        type=azblob,account_url=https://me.example,prefix=p azblob://buildkit-cache/p/manifests/buildkit None
        type=gcs,bucket=x,tag=y              unknown option `tag` of `type=gcs`, expected one of bucket, endpoint_url, credentials, prefix, manifests_prefix, blobs_prefix, name, type, timeout
        type=gha,url_v2=https://host         `type=gha` needs `token=TEXT`, or ACTIONS_RUNTIME_TOKEN in the environment
        type=gha,url_v2=https://host,token=x,scope=s gha:s None
        type=gha,url_v2=https://host,token=x,version=1 invalid value `1` of `version`, expected 2
        type=oss                             unknown type `oss`, expected one of azblob, gcs, gha, local, registry, s3, slipway
        type=registry,ref=A                  invalid cache name `A`: invalid reference format: repository name `library/A` must be lowercase
        type=registry,ref=a,dest=x           unknown option `dest` of `type=registry`, expected one of ref, type, tag, timeout
        type=registry,ref=a,timeout=x        invalid value `x` of `timeout`: invalid age `x`, expected a time like 30m, 1h30m, 7d or 2w
        a,b                                  invalid field `a`, expected NAME=VALUE
        ");
    }

    #[test]
    fn the_environment_says_what_the_attributes_do_not() {
        let environment = Environment::of(&[
            ("AWS_BUCKET", "bucket"),
            ("AWS_REGION", "region"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_ENDPOINT_URL", "http://host:1/"),
        ]);
        let setting =
            |text: &str, name: &str| match FromSpec::parse(text, &environment).unwrap().0.remove(0).place {
                CachePlace::Objects(place) => place.settings.get(name).map(str::to_owned),
                other => panic!("{other}"),
            };
        let endpoint = "aws_endpoint_url_s3";
        assert_eq!(setting("type=s3", endpoint).unwrap(), "http://bucket.host:1");
        assert_eq!(setting("type=s3,use_path_style=true", endpoint).unwrap(), "http://host:1");
        assert_eq!(setting("type=s3", "aws_access_key_id").unwrap(), "key");
        assert_eq!(setting("type=s3,access_key_id=other", "aws_access_key_id").unwrap(), "other");
        let shown =
            format!("{:?}", FromSpec::parse("type=s3,secret_access_key=hidden", &environment).unwrap());
        assert!(!shown.contains("hidden") && shown.contains("aws_secret_access_key"), "{shown}");
    }

    #[test]
    fn exports_say_more() {
        let texts = [
            "user/app:cache",
            "type=slipway,ref=a",
            "type=local,dest=dir,mode=max,compression=zstd,compression-level=3",
            "type=registry,ref=a,oci-mediatypes=false,image-manifest=false,ignore-error=false,force-compression=1",
            "type=registry,ref=a,timeout=10m",
            "type=local,src=dir",
            "type=registry,ref=a,mode=all",
            "type=registry,ref=a,compression=lz4",
            "type=registry,ref=a,ignore-error=maybe",
            "type=inline",
            "type=inline,ref=a",
            "type=s3,bucket=x,region=r,upload_parallelism=0",
            "type=s3,bucket=x,region=r,touch_refresh=24h,upload_parallelism=8,mode=max",
            "type=s3,bucket=x,region=r,image-manifest=true",
        ];
        let shown: Vec<_> = texts.iter().map(|text| format!("{text}\n  {}", to(text))).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        user/app:cache
          user/app:cache BuildKit Min None Keep Oci Manifest Ignored None
        type=slipway,ref=a
          a:latest Slipway Max None Keep Oci Manifest Ignored None
        type=local,dest=dir,mode=max,compression=zstd,compression-level=3
          dir:latest BuildKit Max Some(Zstd { level: Some(3) }) Keep Oci Manifest Ignored None
        type=registry,ref=a,oci-mediatypes=false,image-manifest=false,ignore-error=false,force-compression=1
          a:latest BuildKit Min None Recompress Docker Index Fatal None
        type=registry,ref=a,timeout=10m
          a:latest BuildKit Min None Keep Oci Manifest Ignored Some(600s)
        type=local,src=dir
          unknown option `src` of `type=local`, expected one of dest, type, mode, compression, compression-level, force-compression, oci-mediatypes, image-manifest, ignore-error, timeout, tag
        type=registry,ref=a,mode=all
          invalid value `all` of `mode`, expected min or max
        type=registry,ref=a,compression=lz4
          invalid value `lz4` of `compression`, expected gzip, zstd or uncompressed
        type=registry,ref=a,ignore-error=maybe
          invalid value `maybe` of `ignore-error`, expected true or false
        type=inline
          inline
        type=inline,ref=a
          unknown option `ref` of `type=inline`, expected one of type, mode
        type=s3,bucket=x,region=r,upload_parallelism=0
          invalid value `0` of `upload_parallelism`, expected a positive number
        type=s3,bucket=x,region=r,touch_refresh=24h,upload_parallelism=8,mode=max
          s3://x/manifests/buildkit BuildKit Max None Keep Oci Manifest Ignored None
        type=s3,bucket=x,region=r,image-manifest=true
          unknown option `image-manifest` of `type=s3`, expected one of bucket, region, endpoint_url, use_path_style, access_key_id, secret_access_key, session_token, prefix, manifests_prefix, blobs_prefix, name, type, mode, compression, compression-level, force-compression, ignore-error, timeout, upload_parallelism, touch_refresh
        ");
    }
}
