//! `pull` and `run --pull`.

use crate::server::{Registry, put, sorted};
use crate::support::Home;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[test]
fn what_skopeo_pushed_is_pulled_and_runs() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.push_with_skopeo(&home, "base", "tools/base:1", &[]);
    let other = Home::without_base();
    let name = registry.name("tools/base:1");
    insta::assert_snapshot!(registry.settled(&other.ok(&["pull", &name])), @"
    1: Pulling from tools/base
    <digest>: Pulling fs layer
    <digest>: Download complete
    <digest>: Pull complete
    Digest: sha256:<digest>
    Status: Downloaded newer image for [registry]/tools/base:1
    [registry]/tools/base:1
    ");
    insta::assert_snapshot!(registry.settled(&other.ok(&["pull", &name])), @"
    1: Pulling from tools/base
    Digest: sha256:<digest>
    Status: Image is up to date for [registry]/tools/base:1
    [registry]/tools/base:1
    ");
    assert_eq!(other.ok(&["run", "--rm", &name, "echo", "hello"]), "hello\n");
    assert_eq!(other.ok(&["pull", "--quiet", &name]), format!("{name}\n"));
    let digests = other.ok(&["inspect", "--format", "{{json .RepoDigests}}", &name]);
    let digest = registry.inspect_with_skopeo("tools/base:1", &["--format", "{{.Digest}}"]);
    assert_eq!(digests.trim(), format!("[\"{}@{}\"]", registry.name("tools/base"), digest.trim()));
    let by_digest = format!("{}@{}", registry.name("tools/base"), digest.trim());
    other.ok(&["pull", "--quiet", &by_digest]);
    assert_eq!(other.ok(&["run", "--rm", &by_digest, "echo", "hello"]), "hello\n");
}

#[test]
fn layers_come_in_every_compression() {
    let (home, registry) = (Home::new(), Registry::start());
    for (tag, flags) in [
        ("gzip", ["--dest-compress-format", "gzip"]),
        ("zstd", ["--dest-compress-format", "zstd"]),
        ("chunked", ["--dest-compress-format", "zstd:chunked"]),
        ("docker", ["--format", "v2s2"]),
    ] {
        let name = format!("base:{tag}");
        registry.push_with_skopeo(&home, "base", &name, &flags);
        let other = Home::without_base();
        other.ok(&["pull", &registry.name(&name)]);
        assert_eq!(other.ok(&["run", "--rm", &registry.name(&name), "cat", "/old/deep/file"]), "old\n");
    }
}

#[test]
fn only_what_is_missing_comes() {
    let (home, registry) = (Home::new(), Registry::start());
    let context = home.context("FROM base\nRUN echo 1 > /one\nRUN echo 2 > /two\n", &[]);
    home.ok(&["build", "-q", "-t", "app", &context]);
    registry.push_with_skopeo(&home, "base", "base:1", &[]);
    registry.push_with_skopeo(&home, "app", "app:1", &[]);
    let other = Home::without_base();
    other.ok(&["pull", &registry.name("base:1")]);
    insta::assert_snapshot!(sorted(&registry.settled(&other.ok(&["pull", &registry.name("app:1")]))), @"
    1: Pulling from app
    <digest>: Already exists
    <digest>: Download complete
    <digest>: Download complete
    <digest>: Pull complete
    <digest>: Pull complete
    <digest>: Pulling fs layer
    <digest>: Pulling fs layer
    <digest>: Pulling fs layer
    Digest: sha256:<digest>
    Status: Downloaded newer image for [registry]/app:1
    [registry]/app:1
    ");
    assert_eq!(other.ok(&["run", &registry.name("app:1"), "cat", "/one", "/two"]), "1\n2\n");
}

#[test]
fn an_index_gives_the_image_for_the_platform() {
    let (home, registry) = (Home::new(), Registry::start());
    for (tag, platform) in [("amd64", "linux/amd64"), ("arm64", "linux/arm64")] {
        let context = home.context(&format!("FROM scratch\nCOPY f /f\nLABEL for={tag}\n"), &[("f", tag)]);
        home.ok(&["build", "-q", "--platform", platform, "-t", tag, &context]);
        registry.push_with_skopeo(&home, tag, &format!("multi:{tag}"), &[]);
    }
    let entry = |tag: &str, variant: &str| {
        let raw = registry.inspect_with_skopeo(&format!("multi:{tag}"), &["--raw"]);
        let media_type: serde_json::Value = serde_json::from_str(&raw).unwrap();
        let digest = registry.inspect_with_skopeo(&format!("multi:{tag}"), &["--format", "{{.Digest}}"]);
        format!(
            r#"{{"mediaType":{},"digest":"{}","size":{},"platform":{{"os":"linux","architecture":"{tag}"{variant}}}}}"#,
            media_type["mediaType"],
            digest.trim(),
            raw.trim_end_matches('\n').len()
        )
    };
    let attestation =
        entry("amd64", "").replace("\"linux\"", "\"unknown\"").replace("\"amd64\"", "\"unknown\"");
    let (arm, amd) = (entry("arm64", r#","variant":"v8""#), entry("amd64", ""));
    let index =
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{attestation},{arm},{amd}]}}"#);
    put(&registry, "/v2/multi/manifests/latest", INDEX, &index);
    let other = Home::without_base();
    let label =
        |other: &Home| other.ok(&["inspect", "--format", "{{.Config.Labels.for}}", &registry.name("multi")]);
    other.ok(&["pull", "--platform", "linux/arm64", &registry.name("multi")]);
    assert_eq!(label(&other), "arm64\n");
    other.ok(&["pull", "--platform", "amd64", &registry.name("multi")]);
    assert_eq!(label(&other), "amd64\n");
    let (code, error) = other.fails(&["pull", "--platform", "linux/s390x", &registry.name("multi")]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(registry.settled(&error), @"ERROR: no match for platform linux/s390x in `[registry]/multi:latest`, which is for linux/arm64, linux/amd64");
    let all = Home::without_base();
    all.ok(&["pull", "--all-platforms", &registry.name("multi")]);
    assert_eq!(
        all.ok(&["images", "-q", "--no-trunc"]).lines().collect::<std::collections::BTreeSet<_>>().len(),
        2
    );
}

#[test]
fn all_tags_of_a_repository() {
    let (home, registry) = (Home::new(), Registry::start());
    for tag in ["1", "2"] {
        registry.push_with_skopeo(&home, "base", &format!("base:{tag}"), &[]);
    }
    let other = Home::without_base();
    other.ok(&["pull", "-q", "--all-tags", &registry.name("base")]);
    let tags = other.ok(&["images", "--format", "{{.Tag}}"]);
    assert_eq!(
        tags.lines().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>(),
        ["1", "2"]
    );
}

#[test]
fn what_is_not_there_is_said() {
    let (home, registry) = (Home::without_base(), Registry::start());
    let (code, error) = home.fails(&["pull", &registry.name("nothing:1")]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(registry.settled(&error), @"ERROR: manifest for [registry]/nothing:1 not found");
    let authority = registry.authority.clone();
    drop(registry);
    let (code, error) = home.fails(&["pull", &format!("{authority}/a")]);
    assert_eq!(code, 69, "{error}");
    assert!(error.starts_with(&format!("ERROR: cannot reach registry `{authority}`: ")), "{error}");
}

#[test]
fn run_pulls_what_is_missing() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.push_with_skopeo(&home, "base", "base:1", &[]);
    let other = Home::without_base();
    let name = registry.name("base:1");
    let (code, error) = other.fails(&["run", "--pull=never", &name, "true"]);
    assert_eq!(code, 125, "{error}");
    let ran = other.run(&["run", &name, "echo", "hello"]);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "hello\n");
    insta::assert_snapshot!(registry.settled(&String::from_utf8_lossy(&ran.stderr)), @"
    Unable to find image '[registry]/base:1' locally
    1: Pulling from base
    <digest>: Pulling fs layer
    <digest>: Download complete
    <digest>: Pull complete
    Digest: sha256:<digest>
    Status: Downloaded newer image for [registry]/base:1
    ");
    let ran = other.run(&["run", &name, "true"]);
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    let ran = other.run(&["run", "--pull=always", "-q", &name, "true"]);
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
}
