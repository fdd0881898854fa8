//! Manifests that are not what they should be: S20 of the targets.

use image::{BlobDigest, Descriptor, Digest, MediaType, Reference};
use registry::{Kind, RegistryError};

use crate::double::Running;
use crate::server::Reply;
use crate::support::{name, repository, told};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCUMENT: &[u8] = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;

#[tokio::test]
async fn a_tag_and_a_digest_name_the_same_document() {
    let running = Running::start().await;
    running.put_manifest("a", "1", OCI, DOCUMENT);
    let found = repository(&running, "a").manifest(&name(&running, "a:1")).await.unwrap();
    assert_eq!((found.kind, found.bytes.as_slice()), (Kind::Manifest, DOCUMENT));
    let by_digest = name(&running, &format!("a@{}", Digest::of(DOCUMENT)));
    assert_eq!(repository(&running, "a").manifest(&by_digest).await.unwrap(), found);
    assert_eq!(repository(&running, "a").head_manifest(&by_digest).await.unwrap(), found.descriptor);
}

#[tokio::test]
async fn a_registry_without_head_is_asked_for_the_document() {
    let running = Running::start().await;
    running.put_manifest("a", "1", OCI, DOCUMENT);
    running.script("HEAD", "/manifests/", 1, Reply::new(405));
    let found = repository(&running, "a").head_manifest(&name(&running, "a:1")).await.unwrap();
    assert_eq!(found.digest, BlobDigest(Digest::of(DOCUMENT)));
}

#[tokio::test]
async fn other_bytes_than_those_of_the_digest_are_refused() {
    let running = Running::start().await;
    running.put_manifest("a", "1", OCI, DOCUMENT);
    let other = Reply::new(200).header("content-type", OCI).body(br#"{"config":{},"layers":[ ]}"#.to_vec());
    running.script("GET", "/manifests/sha256", 1, other.clone());
    let by_digest = name(&running, &format!("a@{}", Digest::of(DOCUMENT)));
    let error = repository(&running, "a").manifest(&by_digest).await.unwrap_err();
    assert!(matches!(error, RegistryError::WrongDigest { .. }), "{error}");
    running.script("GET", "/manifests/1", 1, other.header("docker-content-digest", Digest::of(DOCUMENT)));
    let error = repository(&running, "a").manifest(&name(&running, "a:1")).await.unwrap_err();
    assert!(matches!(error, RegistryError::WrongDigest { .. }), "{error}");
}

#[tokio::test]
async fn a_descriptor_is_taken_at_its_word() {
    let running = Running::start().await;
    running.put_manifest("a", "1", OCI, DOCUMENT);
    let (repository, name) = (repository(&running, "a"), name(&running, "a:1"));
    let digest = BlobDigest(Digest::of(DOCUMENT));
    let right = Descriptor::new(MediaType::Manifest, digest, DOCUMENT.len() as u64);
    assert!(repository.manifest_of(&name, &right).await.is_ok());
    let error =
        repository.manifest_of(&name, &Descriptor { size_bytes: 7, ..right.clone() }).await.unwrap_err();
    assert!(matches!(error, RegistryError::WrongSize { expected: 7, .. }), "{error}");
    let as_index = Descriptor { media_type: INDEX.to_owned(), ..right };
    let error = repository.manifest_of(&name, &as_index).await.unwrap_err();
    assert!(matches!(error, RegistryError::Kind { .. }), "{error}");
}

#[tokio::test]
async fn documents_are_bounded() {
    let running = Running::start().await;
    let huge = Reply::new(200).header("content-type", OCI).body(vec![b' '; 5 << 20]);
    running.script("GET", "/manifests/", 1, huge);
    let error = repository(&running, "a").manifest(&name(&running, "a:1")).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooMuch { .. }), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let running = Running::start().await;
    let told_of = async |name: &Reference| {
        let error = repository(&running, "a").manifest(name).await.unwrap_err();
        told(&error, &running)
    };
    insta::assert_snapshot!(told_of(&name(&running, "a:1")).await, @"manifest for [registry]/a:1 not found: manifest unknown: nothing here");
    running.script(
        "GET",
        "/manifests/",
        1,
        Reply::new(403).body(r#"{"errors":[{"code":"DENIED","message":"no"}]}"#),
    );
    insta::assert_snapshot!(told_of(&name(&running, "a:1")).await, @"access denied for [registry]/a, repository does not exist or may require 'slipway login [registry]': denied: no");
    running.script("GET", "/manifests/", 1, Reply::new(418).body("<html>teapot</html>"));
    insta::assert_snapshot!(told_of(&name(&running, "a:1")).await, @"registry `[registry]` answered 418 to GET /v2/a/manifests/1");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let running = Running::start().await;
    let page = |tags: &str| Reply::new(200).body(format!(r#"{{"name":"a","tags":{tags}}}"#));
    let next = |reply: Reply, link: &str| reply.header("link", format!("<{link}>; rel=\"next\""));
    running.script("GET", "/tags/list?last=b", 1, page(r#"["c"]"#));
    running.script("GET", "/tags/list", 1, next(page(r#"["a","b"]"#), "/v2/a/tags/list?last=b"));
    assert_eq!(repository(&running, "a").tags().await.unwrap(), ["a", "b", "c"]);
    running.script("GET", "/tags/list", 1, page("null"));
    assert_eq!(repository(&running, "a").tags().await.unwrap(), Vec::<String>::new());
    running.script("GET", "/tags/list", 1, next(page("[]"), "http://elsewhere.test/v2/a/tags/list"));
    let error = repository(&running, "a").tags().await.unwrap_err();
    insta::assert_snapshot!(told(&error, &running), @"registry `[registry]`: its list goes on at `http://elsewhere.test/v2/a/tags/list`, another host");
}
