//! `--provenance` and `--sbom`: what leaves beside an image.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::server::Registry;
use crate::support::{Home, check};

const STATUS: &str =
    "Package: made-up\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3\n\n";
const DOCKERFILE: &str = "FROM base AS one
ARG TOKEN
RUN --mount=type=secret,id=key cat /run/secrets/key > /dev/null; echo $TOKEN > /one
FROM base
COPY --from=one /one /one
COPY status /var/lib/dpkg/status
COPY package.json /app/node_modules/left-pad/package.json
";
const FILES: [(&str, &str); 2] =
    [("status", STATUS), ("package.json", r#"{"name":"left-pad","version":"1.3.0","license":"WTFPL"}"#)];
const SECRET: &str = "surely-not-to-be-told";

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn blob(layout: &Path, digest: &Value) -> Value {
    let digest = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    json(&layout.join("blobs/sha256").join(digest))
}

fn context(home: &Home) -> String {
    fs::write(home.path("key"), SECRET).unwrap();
    home.context(DOCKERFILE, &FILES)
}

/// The statements of the only image of a layout, by their types; and the index.
fn statements(layout: &Path) -> (Vec<(String, Value)>, Value) {
    let top = json(&layout.join("index.json"));
    let index = blob(layout, &top["manifests"][0]["digest"]);
    let attestation = blob(layout, &index["manifests"][1]["digest"]);
    let layers = attestation["layers"].as_array().unwrap().iter();
    let read = |layer: &Value| {
        assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
        let statement = blob(layout, &layer["digest"]);
        let kind = layer["annotations"]["in-toto.io/predicate-type"].as_str().unwrap().to_owned();
        assert_eq!(statement["predicateType"], kind.as_str());
        let image = index["manifests"][0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        assert_eq!(statement["subject"][0]["digest"]["sha256"], image);
        assert_eq!(statement["subject"][0]["name"], "pkg:docker/app@1?platform=linux%2Famd64");
        (kind, statement["predicate"].clone())
    };
    (layers.map(read).collect(), index)
}

#[test]
fn an_index_has_statements_about_its_image() {
    let home = Home::new();
    let (context, layout) = (context(&home), home.path("layout"));
    let to = format!("type=oci,dest={},tar=false", layout.display());
    let key = format!("id=key,src={}", home.path("key").display());
    let build = |mode: &str| {
        let _ = fs::remove_dir_all(&layout);
        let provenance = format!("--provenance=mode={mode}");
        let flags =
            ["-q", "-t", "app:1", "--sbom=true", "--secret", &key, "--build-arg", "TOKEN=told", "-o", &to];
        let proxies = ["--build-arg", "HTTP_PROXY=http://u:hidden@p", "--build-arg", "no_proxy=hidden"];
        home.ok(&[&["build", provenance.as_str()], &flags[..], &proxies, &[&context]].concat());
        statements(&layout)
    };
    let (found, index) = build("max");
    let attested = &index["manifests"][1];
    assert_eq!(attested["platform"]["architecture"], "unknown");
    assert_eq!(attested["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(attested["annotations"]["vnd.docker.reference.digest"], index["manifests"][0]["digest"]);
    let [(slsa, provenance), (spdx, sbom)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (slsa.as_str(), spdx.as_str()),
        ("https://slsa.dev/provenance/v1", "https://spdx.dev/Document")
    );
    let definition = &provenance["buildDefinition"];
    let request = &definition["externalParameters"]["request"];
    assert_eq!(request["args"]["build-arg:TOKEN"], "told");
    assert_eq!(request["secrets"][0]["id"], "key");
    assert_eq!(definition["resolvedDependencies"][0]["uri"], "pkg:docker/base@latest?platform=linux%2Famd64");
    let id = home.ok(&["inspect", "--format", "{{.Id}}", "base"]);
    assert_eq!(
        definition["resolvedDependencies"][0]["digest"]["sha256"],
        id.trim().strip_prefix("sha256:").unwrap()
    );
    assert!(definition["internalParameters"]["buildConfig"]["steps"].as_array().unwrap().len() > 3);
    assert!(provenance["runDetails"]["metadata"]["startedOn"].is_string());
    assert!(!provenance.to_string().contains(SECRET));
    assert!(!provenance.to_string().contains("hidden"), "the password of a proxy: {provenance}");
    let listed: Vec<_> = sbom["packages"].as_array().unwrap().iter().skip(1).collect();
    let urls: Vec<_> = listed.iter().map(|it| it["externalRefs"][0]["referenceLocator"].clone()).collect();
    assert_eq!(urls, ["pkg:deb/debian/made-up@1:2-3?arch=amd64", "pkg:npm/left-pad@1.3.0"]);
    let (least, _) = build("min");
    assert!(!least[0].1.to_string().contains("told"), "{least:?}");
    // Other tools, and ours, find the image in it.
    let from = format!("oci:{}:1", layout.display());
    check(Command::new("skopeo").args(["inspect", "--override-arch=amd64", &from]));
    let (other, archive) = (Home::without_base(), home.path("layout.tar"));
    check(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&layout).arg("."));
    assert_eq!(other.ok(&["load", "-q", "-i", archive.to_str().unwrap()]), "Loaded image: app:1\n");
}

#[test]
fn the_same_build_attests_the_same() {
    let home = Home::new();
    let context = context(&home);
    let key = format!("id=key,src={}", home.path("key").display());
    let build = |name: &str| {
        let to = format!("type=oci,dest={}", home.path(name).display());
        let flags = ["--provenance=mode=max", "--sbom=true", "--build-arg", "SOURCE_DATE_EPOCH=1700000000"];
        home.ok(&[&["build", "-q", "--secret", &key, "-o", &to], &flags[..], &[&context]].concat());
        fs::read(home.path(name)).unwrap()
    };
    assert!(build("a.tar") == build("b.tar"), "two builds attest different things");
}

#[test]
fn registries_list_attestations_as_referrers() {
    let (home, registry) = (Home::new(), Registry::start());
    let (context, name) = (context(&home), registry.name("app:1"));
    let key = format!("id=key,src={}", home.path("key").display());
    let flags = ["build", "-q", "--push", "--attest", "type=sbom", "--secret", &key, "-t", &name, &context];
    home.ok(&flags);
    home.ok(&flags);
    let raw = |name: &str| -> Value {
        serde_json::from_str(&registry.inspect_with_skopeo(name, &["--raw"])).unwrap()
    };
    let index = raw("app:1");
    let image = index["manifests"][0]["digest"].as_str().unwrap();
    // This registry knows no referrers, so that they are listed under a tag.
    let referrers = raw(&format!("app:{}", image.replace(':', "-")));
    let listed = referrers["manifests"].as_array().unwrap();
    assert_eq!(listed.len(), 1, "{referrers}");
    assert_eq!(listed[0]["digest"], index["manifests"][1]["digest"]);
    assert_eq!(listed[0]["artifactType"], "application/vnd.docker.attestation.manifest.v1+json");
    let other = Home::without_base();
    assert_eq!(other.ok(&["run", "-q", &name, "cat", "/app/node_modules/left-pad/package.json"]), FILES[1].1);
}

#[test]
fn attestations_need_something_that_leaves() {
    let home = Home::new();
    let context = context(&home);
    let (code, error) = home.fails(&["build", "-q", "--sbom=true", &context]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(error, @"
    ERROR: attestations are beside an image's manifest, which it has where it leaves the store
    hint: add `--push`, or `--output type=oci,dest=FILE`
    ");
}
