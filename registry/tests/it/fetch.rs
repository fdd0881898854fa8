//! Blobs through bad weather: R9 of the targets.

use std::time::{Duration, Instant};

use registry::{Client, Fetch, RegistryError};

use crate::double::Running;
use crate::server::Reply;
use crate::support::{descriptor, fetch, name, noise, repository, settings, told};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_large_blob_comes_in_ranges_at_the_same_time() {
    let running = Running::start().await;
    let bytes = noise(50 * MIB);
    running.put_blob("a", &bytes);
    let got = fetch(&repository(&running, "a"), &descriptor(&bytes), Fetch::Ranges).await.unwrap();
    assert!(got == bytes);
    let mut log: Vec<_> = running.log().lines().map(str::to_owned).collect();
    log.sort();
    insta::assert_snapshot!(log.join("\n"), @"
    GET /v2/a/blobs/ [bytes=0-16777215]
    GET /v2/a/blobs/ [bytes=16777216-33554431]
    GET /v2/a/blobs/ [bytes=33554432-50331647]
    GET /v2/a/blobs/ [bytes=50331648-52428799]
    ");
}

#[tokio::test]
async fn what_broke_off_goes_on_from_there() {
    let running = Running::start().await;
    let bytes = noise(3 * MIB);
    running.put_blob("a", &bytes);
    let whole = Reply::new(200).body(bytes.clone()).header("content-length", bytes.len());
    running.script("GET", "/blobs/", 1, whole.cut_at(MIB + 5));
    let got = fetch(&repository(&running, "a"), &descriptor(&bytes), Fetch::Ranges).await.unwrap();
    assert!(got == bytes);
    insta::assert_snapshot!(running.log(), @"
    GET /v2/a/blobs/
    GET /v2/a/blobs/ [bytes=1048581-3145727]
    ");
}

#[tokio::test]
async fn a_registry_without_ranges_sends_all_of_it_again() {
    let running = Running::start().await;
    let bytes = noise(20 * MIB);
    running.put_blob("a", &bytes);
    let whole = Reply::new(200).body(bytes.clone());
    running.script("GET", "/blobs/", 1, whole.clone().cut_at(17 * MIB));
    running.script("GET", "/blobs/", 1, whole);
    let got = fetch(&repository(&running, "a"), &descriptor(&bytes), Fetch::Ranges).await.unwrap();
    assert!(got == bytes);
    assert_eq!(running.count("GET", "/blobs/"), 2);
}

#[tokio::test]
async fn faults_that_pass_are_waited_for() {
    for reply in [Reply::new(500), Reply::new(502), Reply::new(503), Reply::hang_up()] {
        let running = Running::start().await;
        let bytes = noise(1000);
        running.put_blob("a", &bytes);
        running.script("GET", "/blobs/", 3, reply);
        let got = fetch(&repository(&running, "a"), &descriptor(&bytes), Fetch::Ranges).await.unwrap();
        assert_eq!(got, bytes);
        assert_eq!(running.count("GET", "/blobs/"), 4);
    }
}

#[tokio::test]
async fn too_many_requests_are_repeated_when_the_registry_says_so() {
    let running = Running::start().await;
    let bytes = noise(1000);
    running.put_blob("a", &bytes);
    running.script("GET", "/blobs/", 1, Reply::new(429).header("retry-after", 1));
    let start = Instant::now();
    fetch(&repository(&running, "a"), &descriptor(&bytes), Fetch::Ranges).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn attempts_are_bounded() {
    let running = Running::start().await;
    let bytes = noise(1000);
    running.put_blob("a", &bytes);
    running.script("GET", "/blobs/", usize::MAX, Reply::new(503).body("maintenance"));
    let error = fetch(&repository(&running, "a"), &descriptor(&bytes), Fetch::Ranges).await.unwrap_err();
    assert!(error.is_network());
    assert_eq!(running.count("GET", "/blobs/"), 4);
    let text = told(&error, &running).replace(&descriptor(&bytes).digest.to_string(), "[digest]");
    insta::assert_snapshot!(text, @"registry `[registry]` answered 503 to GET /v2/a/blobs/[digest]: maintenance");
}

#[tokio::test]
async fn a_trickle_of_bytes_is_bounded_as_well() {
    let running = Running::start().await;
    let bytes = noise(1000);
    running.put_blob("a", &bytes);
    let served = bytes.clone();
    running.rule(move |request| {
        let range = request.header("range").map(|range| range[6..].split('-').next().unwrap().to_owned());
        let first: usize = range.map_or(0, |first| first.parse().unwrap());
        let is_blob = request.method == "GET" && request.target.contains("/blobs/");
        is_blob.then(|| {
            Reply::new(if first == 0 { 200 } else { 206 })
                .header("content-range", format!("bytes {first}-999/1000"))
                .body(&served[first..])
                .cut_at(1)
        })
    });
    let error = fetch(&repository(&running, "a"), &descriptor(&bytes), Fetch::Ranges).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. } | RegistryError::Broken { .. }), "{error}");
    assert_eq!(running.count("GET", "/blobs/"), 80);
}

#[tokio::test]
async fn wrong_ranges_are_noticed() {
    let running = Running::start().await;
    let bytes = noise(20 * MIB);
    running.put_blob("a", &bytes);
    let reply = |range: &str| Reply::new(206).header("content-range", range).body(vec![0; MIB]);
    for wrong in ["bytes 1-16777216/20971520", "bytes 0-16777215/5", "none"] {
        running.script("GET", "/blobs/", 1, reply(wrong));
        let error = fetch(&repository(&running, "a"), &descriptor(&bytes), Fetch::Ranges).await.unwrap_err();
        assert!(told(&error, &running).contains("was asked for"), "{error}");
    }
    // Whoever notices by the digest fetches it in one go.
    assert!(fetch(&repository(&running, "a"), &descriptor(&bytes), Fetch::Whole).await.unwrap() == bytes);
}

#[tokio::test]
async fn a_blob_of_another_size_is_refused() {
    let running = Running::start().await;
    let bytes = noise(1000);
    let mut wrong = descriptor(&bytes);
    running.put_blob("a", &bytes);
    wrong.size_bytes = 999;
    let error = fetch(&repository(&running, "a"), &wrong, Fetch::Ranges).await.unwrap_err();
    assert!(matches!(error, RegistryError::WrongBlobSize { expected: 999, actual: 1000, .. }), "{error}");
    assert_eq!(running.count("GET", "/blobs/"), 1, "asking again would not help");
}

#[tokio::test]
async fn mirrors_come_first_and_the_registry_when_they_fail() {
    let (mirror, running) = (Running::start().await, Running::start().await);
    let bytes = noise(1000);
    running.put_blob("a", &bytes);
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!("[registry.\"{}\"]\nmirrors = [\"http://{}\"]", running.authority, mirror.authority);
    std::fs::write(file.path(), text).unwrap();
    let mut settings = settings();
    settings.registries = registry::RegistriesFile::read(file.path()).unwrap();
    let client = Client::new(settings);
    let repository = client.repository(&name(&running, "a")).unwrap();
    assert_eq!(fetch(&repository, &descriptor(&bytes), Fetch::Ranges).await.unwrap(), bytes);
    assert_eq!((mirror.count("GET", "/blobs/"), running.count("GET", "/blobs/")), (1, 1));
    mirror.put_blob("a", &bytes);
    assert_eq!(fetch(&repository, &descriptor(&bytes), Fetch::Ranges).await.unwrap(), bytes);
    assert_eq!((mirror.count("GET", "/blobs/"), running.count("GET", "/blobs/")), (2, 1));
}
