//! `type=s3`, `type=azblob` and `type=gcs` of `--cache-from` and `--cache-to`, with the attributes of BuildKit.

use engine::remote_cache::{ObjectPlace, ObjectService, ObjectSettings};

use super::caches::{CacheError, Pairs};
use super::destination::wrong;
use super::environment::Environment;
use crate::output::parse_age;

/// The types that are object stores.
pub(super) const KINDS: [&str; 3] = ["s3", "azblob", "gcs"];
/// The name of a cache when nobody gives one, as in BuildKit.
const NAME_DEFAULT: &str = "buildkit";
/// The container of a cache in Azure when nobody names one, as in BuildKit.
const CONTAINER_DEFAULT: &str = "buildkit-cache";
/// Blobs that are sent at the same time, as in BuildKit.
const UPLOADS_DEFAULT: usize = 4;

/// The attributes that say where a cache is.
pub(super) fn place_options(kind: &str) -> Vec<&'static str> {
    let own: &[&str] = match kind {
        "s3" => &[
            "bucket",
            "region",
            "endpoint_url",
            "use_path_style",
            "access_key_id",
            "secret_access_key",
            "session_token",
        ],
        "azblob" => &["account_url", "account_name", "container", "secret_access_key"],
        _ => &["bucket", "endpoint_url", "credentials"],
    };
    [own, &["prefix", "manifests_prefix", "blobs_prefix", "name"]].concat()
}

/// The attributes that say how it is written.
pub(super) fn export_options(kind: &str) -> &'static [&'static str] {
    match kind {
        "s3" => &["upload_parallelism", "touch_refresh"],
        _ => &["upload_parallelism"],
    }
}

/// The place that these attributes and the environment name.
pub(super) fn place(pairs: &Pairs, environment: &Environment) -> Result<ObjectPlace, CacheError> {
    let (service, bucket, settings) = match pairs.kind.as_str() {
        "s3" => s3(pairs, environment)?,
        "azblob" => azure(pairs, environment)?,
        _ => gcs(pairs, environment)?,
    };
    let names = pairs.get("name").unwrap_or(NAME_DEFAULT);
    let touch_after = |value: &str| {
        let problem =
            |problem| CacheError::Duration { name: "touch_refresh", value: value.to_owned(), problem };
        parse_age(value).map_err(problem)
    };
    let uploads = |value: &str| match value.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(wrong("upload_parallelism", value, "a positive number")),
    };
    Ok(ObjectPlace {
        service,
        bucket,
        settings,
        manifests_prefix: prefix(pairs, environment, "manifests"),
        blobs_prefix: prefix(pairs, environment, "blobs"),
        names: names.split(';').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        uploads_max: pairs.get("upload_parallelism").map(uploads).transpose()?.unwrap_or(UPLOADS_DEFAULT),
        touch_after: pairs.get("touch_refresh").map(touch_after).transpose()?,
    })
}

/// What keys begin with: with Azure, BuildKit joins its parts as paths, elsewhere as they are.
fn prefix(pairs: &Pairs, environment: &Environment, what: &str) -> String {
    let own = pairs.get(&format!("{what}_prefix")).map(str::to_owned);
    if pairs.kind != "azblob" {
        return pairs.get("prefix").unwrap_or_default().to_owned() + &own.unwrap_or(format!("{what}/"));
    }
    let of_all = pairs.get("prefix").or_else(|| environment.get(&["BUILDKIT_AZURE_STORAGE_PREFIX"]));
    let own = own.unwrap_or_else(|| what.to_owned());
    let parts = of_all.unwrap_or_default().split('/').chain(own.split('/'));
    parts.filter(|part| !part.is_empty()).map(|part| format!("{part}/")).collect()
}

type Found = (ObjectService, String, ObjectSettings);

fn s3(pairs: &Pairs, environment: &Environment) -> Result<Found, CacheError> {
    let mut settings = ObjectSettings::default();
    if environment.get(&["AWS_ACCESS_KEY_ID"]).is_none() {
        environment.aws_profile().iter().for_each(|(name, value)| settings.set(name, value));
    }
    environment.beginning("AWS_").for_each(|(name, value)| settings.set(name, value));
    let needed = |needed| CacheError::NoPlace { kind: pairs.kind.clone(), needed };
    let bucket = pairs.get("bucket").or_else(|| environment.get(&["AWS_BUCKET"]));
    let bucket = bucket.ok_or_else(|| needed("`bucket=NAME`, or AWS_BUCKET in the environment"))?;
    let region = pairs
        .get("region")
        .or_else(|| environment.get(&["AWS_REGION", "AWS_DEFAULT_REGION"]))
        .or(settings.get("region"));
    let region = region.ok_or_else(|| needed("`region=NAME`, or AWS_REGION in the environment"))?.to_owned();
    settings.set("aws_region", region);
    for name in ["access_key_id", "secret_access_key", "session_token"] {
        if let Some(value) = pairs.get(name) {
            settings.set(format!("aws_{name}"), value);
        }
    }
    let has_bucket_in_path = pairs.boolean("use_path_style")?.unwrap_or(false);
    let of_environment = || environment.get(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
    if let Some(endpoint) = pairs.get("endpoint_url").or_else(of_environment) {
        let endpoint = match (has_bucket_in_path, endpoint.split_once("://")) {
            (false, Some((scheme, host))) => format!("{scheme}://{bucket}.{host}"),
            _ => endpoint.to_owned(),
        };
        settings.set("aws_endpoint_url_s3", endpoint.trim_end_matches('/'));
    }
    settings.set("aws_virtual_hosted_style_request", (!has_bucket_in_path).to_string());
    Ok((ObjectService::S3, bucket.to_owned(), settings))
}

fn azure(pairs: &Pairs, environment: &Environment) -> Result<Found, CacheError> {
    let mut settings = ObjectSettings::default();
    environment.beginning("AZURE_").for_each(|(name, value)| settings.set(name, value));
    let needed = "`account_url=URL`, or BUILDKIT_AZURE_STORAGE_ACCOUNT_URL in the environment";
    let no_account = || CacheError::NoPlace { kind: pairs.kind.clone(), needed };
    let url = pairs.get("account_url").or_else(|| environment.get(&["BUILDKIT_AZURE_STORAGE_ACCOUNT_URL"]));
    let url = url.ok_or_else(no_account)?;
    let first_label = url
        .split_once("://")
        .and_then(|(_, host)| host.split(['.', '/', ':']).next())
        .filter(|it| !it.is_empty());
    let account = pairs
        .get("account_name")
        .or_else(|| environment.get(&["BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_NAME"]))
        .or(first_label);
    settings.set("account_name", account.ok_or_else(no_account)?);
    settings.set("endpoint", url.trim_end_matches('/'));
    if let Some(key) = pairs.get("secret_access_key") {
        settings.set("access_key", key);
    }
    let container = pairs.get("container").or_else(|| environment.get(&["BUILDKIT_AZURE_STORAGE_CONTAINER"]));
    Ok((ObjectService::Azure, container.unwrap_or(CONTAINER_DEFAULT).to_owned(), settings))
}

fn gcs(pairs: &Pairs, environment: &Environment) -> Result<Found, CacheError> {
    let mut settings = ObjectSettings::default();
    environment.beginning("GOOGLE_").for_each(|(name, value)| settings.set(name, value));
    let bucket = pairs.get("bucket").or_else(|| environment.get(&["GOOGLE_BUCKET"]));
    let needed = "`bucket=NAME`, or GOOGLE_BUCKET in the environment";
    let bucket = bucket.ok_or_else(|| CacheError::NoPlace { kind: pairs.kind.clone(), needed })?;
    if let Some(url) = pairs.get("endpoint_url") {
        settings.set("base_url", url.trim_end_matches('/'));
    }
    if let Some(path) = pairs.get("credentials") {
        settings.set("application_credentials", path);
    }
    Ok((ObjectService::Gcs, bucket.to_owned(), settings))
}
