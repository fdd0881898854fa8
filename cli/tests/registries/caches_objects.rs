//! Caches in object stores: of Amazon, Azure and Google, as far as servers here speak their protocols.

use std::fs;

use serde_json::Value;

use crate::object_server::{BUCKET, ObjectServer, throttled};
use crate::support::Home;

/// Builds of other tests as well: a step with a mount, and one with 9 MiB that are no smaller when compressed: they travel in parts.
const DOCKERFILE: &str = "\
FROM base
COPY f /f
RUN --mount=type=cache,target=/c cat /f >> /c/seen && cat /c/seen > /seen
RUN cat /f > /g
COPY large /large
";
pub(crate) const ALL_HIT: &str = "\
hit [2/5] COPY f /f
hit [3/5] RUN --mount=type=cache,target=/c cat /f >> /c/seen && cat /c/seen > /seen
hit [4/5] RUN cat /f > /g
hit [5/5] COPY large /large";
const LARGE_BYTES: usize = 9 << 20;

/// Signatures are not looked at.
const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x\r\n";
/// The stand-in wants no tokens.
const SERVICE_ACCOUNT: &str =
    r#"{"private_key": "", "private_key_id": "", "client_email": "", "disable_oauth": true}"#;

/// A home with a base image that others can load, and the context of the build.
pub(crate) struct Builder {
    pub(crate) home: Home,
    pub(crate) base: String,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let home = Home::new();
        let base = home.path("base-image.tar").to_str().unwrap().to_owned();
        home.ok(&["save", "-o", &base, "base"]);
        Self { home, base }
    }

    /// Builds with these flags in a fresh store.
    pub(crate) fn fresh(&self, text: &str, flags: &[&str]) -> (Home, String) {
        let other = Home::without_base();
        other.ok(&["load", "-q", "-i", &self.base]);
        let log = build(&other, text, flags);
        (other, log)
    }
}

pub(crate) fn build(home: &Home, text: &str, flags: &[&str]) -> String {
    let context = home.context(DOCKERFILE, &[("f", text)]);
    fs::write(format!("{context}/large"), noise(LARGE_BYTES)).unwrap();
    home.log(&[&["-t", "app"], flags, &[&context]].concat())
}

/// Bytes that look like chance, always the same.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    std::iter::repeat_with(next).take(count / 8).flat_map(u64::to_le_bytes).collect()
}

pub(crate) fn sorted(log: &str) -> String {
    let mut lines: Vec<_> = log.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// A fresh store finds everything in the cache, and a changed file what lies below it; mounts travel.
pub(crate) fn round_trip(cache: &str) {
    let builder = Builder::new();
    let to = format!("{cache},mode=max,ignore-error=false");
    build(&builder.home, "one\n", &["--cache-to", &to]);
    let (other, log) = builder.fresh("one\n", &["--cache-from", cache]);
    assert_eq!(sorted(&log), ALL_HIT);
    assert_eq!(other.ok(&["run", "app", "cat", "/g"]), "one\n");
    assert_eq!(other.ok(&["run", "app", "stat", "-c", "%s", "/large"]), format!("{LARGE_BYTES}\n"));
    let id = |home: &Home| home.ok(&["inspect", "--format", "{{.Id}}", "app"]);
    assert_eq!(id(&other), id(&builder.home));
    let (third, log) = builder.fresh("two\n", &["--cache-from", cache, "--cache-to", &to]);
    assert!(log.contains("run [4/5]") && log.contains("hit [5/5]") == log.contains("hit [2/5]"), "{log}");
    assert_eq!(third.ok(&["run", "app", "cat", "/seen"]), "one\ntwo\n", "the mount has come as well");
    let (_, log) = builder.fresh("two\n", &["--output=type=cacheonly", "--cache-from", cache]);
    assert_eq!(sorted(&log), ALL_HIT);
}

#[test]
fn amazon() {
    let Some(server) = ObjectServer::s3() else { return };
    round_trip(&format!("{},prefix=p/,name=main;other", server.s3_cache()));
    let listed = server.request("GET", &format!("/{BUCKET}?prefix=p/"), "");
    for key in ["p/manifests/main<", "p/manifests/other<", "p/blobs/sha256:"] {
        assert!(listed.contains(&format!("<Key>{key}")), "{key}: {listed}");
    }
    // What BuildKit looks for is in it.
    let config = server.request("GET", &format!("/{BUCKET}/p/manifests/main"), SIGNED);
    let config: Value = serde_json::from_str(config.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert!(config["layers"].is_array() && !config["records"].as_array().unwrap().is_empty(), "{config}");
    touched(&server);
    broken(&server);
}

/// With `touch_refresh` a build renews what it uses, and otherwise nothing moves.
fn touched(server: &ObjectServer) {
    let (builder, cache) = (Builder::new(), format!("{},prefix=t/,mode=max", server.s3_cache()));
    let versions = || {
        let listed = server.request("GET", &format!("/{BUCKET}?prefix=t/blobs/"), "");
        let times = listed.split("<LastModified>").skip(1).map(|it| it.split('<').next().unwrap().to_owned());
        times.collect::<Vec<_>>()
    };
    build(&builder.home, "one\n", &["--cache-to", &cache]);
    let before = versions();
    build(&builder.home, "one\n", &["--cache-to", &cache]);
    build(&builder.home, "one\n", &["--cache-to", &format!("{cache},touch_refresh=24h")]);
    assert_eq!(versions(), before);
    crate::support::wait_for("a second on the server's clock", || {
        build(&builder.home, "one\n", &["--cache-to", &format!("{cache},touch_refresh=0s")]);
        let now = versions();
        now.len() == before.len() && now.iter().zip(&before).filter(|(now, before)| now > before).count() >= 4
    });
}

/// Whatever is wrong with an object store is a miss, and throttling is waited for.
fn broken(server: &ObjectServer) {
    let builder = Builder::new();
    let cache = server.s3_cache().replace("bucket=bucket", "bucket=nothing");
    let output = |flags: &[&str]| {
        let context = builder.home.context(DOCKERFILE, &[("f", "x\n"), ("large", "")]);
        let output = builder.home.run(&[&["build", "--progress=plain"], flags, &[&context]].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, shown) = output(&["--cache-from", &cache, "--cache-to", &cache]);
    assert!(code == Some(0) && shown.contains("NoSuchBucket"), "{shown}");
    assert!(!shown.contains("secret_access_key"), "{shown}");
    let (code, shown) = output(&["--cache-to", &format!("{cache},ignore-error=false")]);
    assert!(code == Some(69) && shown.contains("NoSuchBucket"), "{code:?} {shown}");
    let cache = server.s3_cache().replace(&server.authority, &throttled(&server.authority));
    let (code, shown) =
        output(&["--no-cache", "--cache-to", &format!("{cache},name=slow,ignore-error=false")]);
    assert!(code == Some(0), "{shown}");
    let listed = server.request("GET", &format!("/{BUCKET}?prefix=manifests/slow"), "");
    assert!(listed.contains("<Key>manifests/slow<"), "{listed}");
}

#[test]
fn azure() {
    let Some(server) = ObjectServer::azure() else { return };
    // The container is made.
    round_trip(&server.azure_cache());
}

#[test]
fn google() {
    let server = ObjectServer::stand_in();
    let builder = Builder::new();
    let cache = format!("type=gcs,bucket={BUCKET},endpoint_url=http://{}", server.authority);
    let context = builder.home.context("FROM base\nRUN echo 1 > /f\n", &[]);
    let run = |home: &Home, flag: &str| {
        let mut command = home.command(&["build", "--progress=plain", flag, &cache, &context]);
        let output = command.env("GOOGLE_SERVICE_ACCOUNT_KEY", SERVICE_ACCOUNT).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !shown.contains("ERROR"), "{shown}");
        shown
    };
    run(&builder.home, "--cache-to");
    let other = Home::without_base();
    other.ok(&["load", "-q", "-i", &builder.base]);
    let shown = run(&other, "--cache-from");
    assert!(crate::support::log(&shown).contains("hit [2/2]"), "{shown}");
}
