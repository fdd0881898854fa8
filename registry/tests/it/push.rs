//! Registries with habits of their own: R10 of the targets.

use registry::{Pushed, RegistryError};

use crate::double::Running;
use crate::server::Reply;
use crate::support::{content, descriptor, name, noise, repository, told};

const MIB: usize = 1 << 20;

async fn push(running: &Running, bytes: &[u8], mounting: &[&str]) -> Result<Pushed, RegistryError> {
    let mounting: Vec<String> = mounting.iter().map(ToString::to_string).collect();
    let pushed =
        repository(running, "a").push_blob(&descriptor(bytes), &content(bytes), &mounting, &|_| ()).await?;
    assert!(running.blob("a", &descriptor(bytes).digest).unwrap() == bytes);
    Ok(pushed)
}

#[tokio::test]
async fn a_blob_goes_in_one_piece() {
    let running = Running::start().await;
    assert_eq!(push(&running, &noise(3 * MIB), &[]).await.unwrap(), Pushed::Sent);
    insta::assert_snapshot!(running.log(), @"
    HEAD /v2/a/blobs/
    POST /v2/a/blobs/uploads/
    PUT /v2/a/blobs/uploads/u1?state=x&digest=
    ");
    assert_eq!(push(&running, &noise(3 * MIB), &[]).await.unwrap(), Pushed::There);
    assert_eq!(push(&running, b"", &[]).await.unwrap(), Pushed::Sent);
}

#[tokio::test]
async fn what_the_registry_has_elsewhere_is_taken_over() {
    let running = Running::start().await;
    let bytes = noise(1000);
    running.put_blob("base", &bytes);
    let pushed = push(&running, &bytes, &["a", "base"]).await.unwrap();
    assert_eq!(pushed, Pushed::Mounted { from: "base".into() });
    assert_eq!(running.count("PUT", "/blobs/"), 0);
}

#[tokio::test]
async fn a_refused_mount_is_an_upload() {
    for refusal in [None, Some(403), Some(400), Some(405)] {
        let running = Running::start().await;
        if let Some(status) = refusal {
            running.script("POST", "mount=", 1, Reply::new(status));
        }
        assert_eq!(push(&running, &noise(1000), &["base"]).await.unwrap(), Pushed::Sent, "{refusal:?}");
    }
}

#[tokio::test]
async fn a_registry_that_knows_no_head_gets_the_blob() {
    for status in [404, 405, 501] {
        let running = Running::start().await;
        running.script("HEAD", "/blobs/", 1, Reply::new(status));
        assert_eq!(push(&running, &noise(1000), &[]).await.unwrap(), Pushed::Sent);
    }
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off() {
    let running = Running::start().await;
    running.cut("PUT", "/uploads/", 1, 2 * MIB);
    running.cut("PATCH", "/uploads/", 1, MIB);
    assert_eq!(push(&running, &noise(5 * MIB), &[]).await.unwrap(), Pushed::Sent);
    insta::assert_snapshot!(running.log(), @"
    HEAD /v2/a/blobs/
    POST /v2/a/blobs/uploads/
    PUT /v2/a/blobs/uploads/u1?state=x&digest=
    GET /v2/a/blobs/uploads/u1?state=x
    PATCH /v2/a/blobs/uploads/u1?state=x [2097152-5242879]
    GET /v2/a/blobs/uploads/u1?state=x
    PATCH /v2/a/blobs/uploads/u1?state=x [3145728-5242879]
    PUT /v2/a/blobs/uploads/u1?state=x&digest=
    ");
}

#[tokio::test]
async fn an_upload_that_expired_begins_again() {
    let running = Running::start().await;
    running.script("PUT", "/uploads/u1", 1, Reply::new(503));
    running.script("GET", "/uploads/u1", 1, Reply::new(404));
    assert_eq!(push(&running, &noise(1000), &[]).await.unwrap(), Pushed::Sent);
    insta::assert_snapshot!(running.log(), @"
    HEAD /v2/a/blobs/
    POST /v2/a/blobs/uploads/
    PUT /v2/a/blobs/uploads/u1?state=x&digest=
    GET /v2/a/blobs/uploads/u1?state=x
    POST /v2/a/blobs/uploads/
    PATCH /v2/a/blobs/uploads/u2?state=x [0-999]
    PUT /v2/a/blobs/uploads/u2?state=x&digest=
    ");
}

#[tokio::test]
async fn uploads_that_always_expire_are_given_up() {
    let running = Running::start().await;
    let again = running.clone();
    running.rule(move |request| {
        if request.method == "PUT" || request.method == "PATCH" {
            again.expire_uploads();
        }
        None
    });
    let error = push(&running, &noise(1000), &[]).await.unwrap_err();
    let text = told(&error, &running).replace(&descriptor(&noise(1000)).digest.to_string(), "[digest]");
    insta::assert_snapshot!(text, @"registry `[registry]`: it forgot the upload of blob [digest] 3 times");
}

#[tokio::test]
async fn chunks_shrink_until_the_registry_takes_them() {
    let running = Running::start().await;
    running.rule(|request| {
        let is_upload =
            matches!(request.method.as_str(), "PUT" | "PATCH") && request.target.contains("/uploads/");
        (is_upload && request.body.len() > 5 * MIB).then(|| Reply::new(413))
    });
    assert_eq!(push(&running, &noise(9 * MIB), &[]).await.unwrap(), Pushed::Sent);
    insta::assert_snapshot!(running.log(), @"
    HEAD /v2/a/blobs/
    POST /v2/a/blobs/uploads/
    PUT /v2/a/blobs/uploads/u1?state=x&digest=
    GET /v2/a/blobs/uploads/u1?state=x
    PATCH /v2/a/blobs/uploads/u1?state=x [0-9437183]
    PATCH /v2/a/blobs/uploads/u1?state=x [0-8388607]
    PATCH /v2/a/blobs/uploads/u1?state=x [0-4194303]
    PATCH /v2/a/blobs/uploads/u1?state=x [4194304-8388607]
    PATCH /v2/a/blobs/uploads/u1?state=x [8388608-9437183]
    PUT /v2/a/blobs/uploads/u1?state=x&digest=
    ");
}

#[tokio::test]
async fn a_registry_may_ask_for_large_chunks() {
    let running = Running::start().await;
    let location = "/v2/a/blobs/uploads/u1";
    // Begins an upload behind the script's back, so that its own answer can say more.
    let inner = running.clone();
    running.rule(move |request| {
        let is_begin = request.method == "POST" && !request.target.contains("inner");
        is_begin.then(|| {
            inner.begin("u1");
            Reply::new(202).header("location", location).header("oci-chunk-min-length", 20 * MIB)
        })
    });
    running.script("PUT", "digest=", 1, Reply::new(413));
    assert_eq!(push(&running, &noise(41 * MIB), &[]).await.unwrap(), Pushed::Sent);
    insta::assert_snapshot!(running.log(), @"
    HEAD /v2/a/blobs/
    POST /v2/a/blobs/uploads/
    PUT /v2/a/blobs/uploads/u1?digest=
    GET /v2/a/blobs/uploads/u1
    PATCH /v2/a/blobs/uploads/u1?state=x [0-20971519]
    PATCH /v2/a/blobs/uploads/u1?state=x [20971520-41943039]
    PATCH /v2/a/blobs/uploads/u1?state=x [41943040-42991615]
    PUT /v2/a/blobs/uploads/u1?state=x&digest=
    ");
}

#[tokio::test]
async fn a_tag_that_cannot_change_is_said() {
    let running = Running::start().await;
    let body = r#"{"errors":[{"code":"TAG_INVALID","message":"the tag is immutable"}]}"#;
    running.script("PUT", "/manifests/", 1, Reply::new(409).body(body));
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let error = repository(&running, "a").put_manifest(&name(&running, "a:1"), media_type, b"{}").await;
    insta::assert_snapshot!(told(&error.unwrap_err(), &running), @"registry `[registry]` answered 409 to PUT /v2/a/manifests/1: tag invalid: the tag is immutable");
}
