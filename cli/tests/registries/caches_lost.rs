//! A remote cache is never needed: whatever is wrong with one is a miss and a line of the log (R9, S20, S32).

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::caches::{ALL_HIT, DOCKERFILE, Warm};
use crate::server::{Registry, put, request};
use crate::support::Home;

/// Builds with a cache that is not what it should be. The image must be right, and the log say what was wrong.
fn goes_on(warm: &Warm, from: &str) -> String {
    let other = Home::without_base();
    let context = warm.context(&other, "src\n", "other\n");
    let output = other.run(&["build", "--progress=plain", "-t", "app", "--cache-from", from, &context]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    assert_eq!(other.ok(&["run", "app", "cat", "/both", "/one"]), "src\nother\none\n");
    assert!(other.staged().is_empty());
    let errors = error.lines().filter(|line| line.contains(" ERROR: "));
    warm.registry.settled(&errors.map(|line| line.split_once(' ').unwrap().1).collect::<Vec<_>>().join("\n"))
}

#[test]
fn blobs_that_are_wrong_or_gone_are_made_again_and_the_cache_is_mended() {
    let warm = Warm::new();
    let (_, blobs) = warm.manifest();
    for (at, blob) in blobs.iter().enumerate() {
        let path = warm.registry.blob_path(blob);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        match at % 2 {
            0 => fs::write(&path, bytes).unwrap(),
            _ => fs::write(&path, &bytes[..middle]).unwrap(),
        }
    }
    let log = goes_on(&warm, &warm.cache);
    assert!(log.contains("has digest sha256:<digest>") || log.contains("expected"), "{log}");
    // Whoever builds and writes replaces what does not come.
    let other = Home::without_base();
    let context = warm.context(&other, "src\n", "other\n");
    other.ok(&["build", "-q", "-t", "app", "--cache-from", &warm.cache, "--cache-to", &warm.cache, &context]);
    assert_eq!(goes_on(&warm, &warm.cache), "");
}

#[test]
fn all_of_a_cache_that_was_given_up_is_replaced() {
    let warm = Warm::new();
    let cache = format!("type=slipway,ref={}", warm.registry.name("long:1"));
    let runs: String = (1..=8).map(|step| format!("RUN echo {step} > /{step}\n")).collect();
    // A layer that is the same wherever it is made, and which this registry keeps as it is.
    let dockerfile = format!("FROM {}/base:1\n{runs}COPY kept /kept\n", warm.registry.authority);
    let build = |home: &Home, flags: &[&str]| {
        let context = home.context(&dockerfile, &[("kept", "kept\n")]);
        let kept = fs::File::options().write(true).open(format!("{context}/kept")).unwrap();
        kept.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
        let output = home.run(&[&["build", "--progress=plain", "-t", "long"], flags, &[&context]].concat());
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{log}");
        log
    };
    build(&warm.home, &["--cache-to", &cache]);
    let raw = warm.registry.inspect_with_skopeo("long:1", &["--raw"]);
    let manifest: Value = serde_json::from_str(&raw).unwrap();
    for layer in manifest["layers"].as_array().unwrap() {
        fs::write(warm.registry.blob_path(layer["digest"].as_str().unwrap()), "short").unwrap();
    }
    let log = build(&Home::without_base(), &["--cache-from", &cache, "--cache-to", &cache]);
    assert!(log.contains("has 5 bytes, expected "), "{log}");
    assert!(log.contains("exporting cache layer sha256:"), "{log}");
    let other = Home::without_base();
    let log = build(&other, &["--cache-from", &cache]);
    assert!(!log.contains("ERROR: "), "{log}");
    assert_eq!(other.ok(&["run", "long", "cat", "/1", "/8", "/kept"]), "1\n8\nkept\n");
}

#[test]
fn a_cache_that_is_none_is_a_miss() {
    let warm = Warm::new();
    let named = |name: &str| format!("type=registry,ref={}", warm.registry.name(name));
    assert_eq!(goes_on(&warm, &named("nothing:1")), "", "a cache that is not there yet is no mistake");
    insta::assert_snapshot!(goes_on(&warm, &named("base:1")), @"ERROR: it is no cache: its config has the media type `application/vnd.docker.container.image.v1+json`");
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = free.local_addr().unwrap();
    drop(free);
    let log = goes_on(&warm, &format!("type=registry,ref={closed}/cache:1"));
    assert!(log.starts_with("ERROR: "), "{log}");
}

#[test]
fn catalogues_that_cannot_be_are_misses() {
    let warm = Warm::new();
    let raw = warm.registry.inspect_with_skopeo("cache:1", &["--raw"]);
    let manifest: Value = serde_json::from_str(&raw).unwrap();
    let (digest, _) = warm.manifest();
    let wrong = format!("type=registry,ref={}", warm.registry.name("cache:wrong"));
    let of_buildkit = json!({"layers": [], "records": [{"digest": digest, "layers": [{"layer": 3}]}]});
    publish(&warm, &manifest, of_buildkit.to_string().as_bytes());
    insta::assert_snapshot!(goes_on(&warm, &wrong), @"ERROR: cannot use the catalogue: its record 0 cannot be: its layer is not there");
    // A layer with the bytes of another one is not taken for it.
    let swapped = swapped(&warm);
    publish(&warm, &manifest, swapped.to_string().as_bytes());
    let log = goes_on(&warm, &wrong);
    assert!(log.contains("ERROR: layer has diff id sha256:<digest>, expected sha256:<digest>"), "{log}");
}

/// Builds in a fresh store, only to push. The image must be right wherever it went, and the log say what was wrong.
fn pushes(warm: &Warm, from: &str, to: &Registry) -> String {
    let (other, third, name) = (Home::without_base(), Home::without_base(), to.name("pushed:1"));
    let context = warm.context(&other, "src\n", "other\n");
    let build = ["build", "--progress=plain", "--push", "-t", &name, "--cache-from", from, &context];
    let output = other.run(&build);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    assert_eq!(third.ok(&["run", &name, "cat", "/both", "/one"]), "src\nother\none\n");
    other.ok(&["store", "check"]);
    log
}

#[test]
fn a_push_without_layers_does_not_break_when_a_cache_has_lost_them() {
    let (warm, elsewhere) = (Warm::new(), Registry::start());
    for blob in warm.manifest().1.iter().step_by(2) {
        fs::remove_file(warm.registry.blob_path(blob)).unwrap();
    }
    for to in [&elsewhere, &warm.registry] {
        let log = pushes(&warm, &warm.cache, to);
        assert!(log.contains("importing cache layer sha256:") && log.contains("ERROR: "), "{log}");
    }
}

#[test]
fn a_push_without_layers_pushes_none_that_is_another_one() {
    let (warm, elsewhere) = (Warm::new(), Registry::start());
    let raw = warm.registry.inspect_with_skopeo("cache:1", &["--raw"]);
    let manifest: Value = serde_json::from_str(&raw).unwrap();
    publish(&warm, &manifest, swapped(&warm).to_string().as_bytes());
    let wrong = format!("type=registry,ref={}", warm.registry.name("cache:wrong"));
    let log = pushes(&warm, &wrong, &elsewhere);
    assert!(log.contains("ERROR: layer has diff id sha256:"), "{log}");
}

#[test]
fn a_catalogue_takes_no_blob_out_of_the_store() {
    let warm = Warm::new();
    let raw = warm.registry.inspect_with_skopeo("cache:1", &["--raw"]);
    let manifest: Value = serde_json::from_str(&raw).unwrap();
    let catalogue = fs::read(warm.registry.blob_path(&warm.manifest().0)).unwrap();
    let mut hostile: Value = serde_json::from_slice(&catalogue).unwrap();
    // The config of an image that whoever builds has.
    let victim = Home::new();
    let id = victim.ok(&["inspect", "--format", "{{.Id}}", "base"]).trim().to_owned();
    let blob = |media_type: &str| json!({"mediaType": media_type, "digest": id, "size": 7});
    for layer in hostile["layers"].as_array_mut().unwrap() {
        if !layer["blob"].is_null() {
            layer["blob"] = blob("application/vnd.oci.image.layer.v1.tar");
        }
    }
    hostile["mounts"] = json!([{
        "id": "m", "content": id, "size": 1, "used": i64::MAX / 2,
        "listing": blob("application/vnd.slipway.cache.mount.listing.v1+json+zstd"),
        "packs": [blob("application/vnd.slipway.cache.mount.pack.v1")],
    }]);
    publish(&warm, &manifest, hostile.to_string().as_bytes());
    let from = format!("type=registry,ref={}", warm.registry.name("cache:wrong"));
    let dockerfile = DOCKERFILE.replace("REGISTRY", &warm.registry.authority);
    let dockerfile = format!("{dockerfile}RUN --mount=type=cache,id=m,target=/c ls /c > /seen\n");
    let context = victim.context(&dockerfile, &[("src", "src\n"), ("other", "changed\n")]);
    let output = victim.run(&["build", "--progress=plain", "-t", "app", "--cache-from", &from, &context]);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    assert!(log.matches("ERROR: ").count() >= 2, "a layer and the mount do not come: {log}");
    assert_eq!(victim.ok(&["inspect", "--format", "{{.Id}}", "base"]).trim(), id);
    assert_eq!(victim.ok(&["run", "base", "echo", "whole"]), "whole\n");
    victim.ok(&["store", "check"]);
}

#[test]
fn a_cache_takes_the_place_of_what_is_none() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.push_with_skopeo(&home, "base", "base:1", &[]);
    registry.push_with_skopeo(&home, "base", "cache:1", &[]);
    let layout = home.path("layout");
    let places = [
        (format!("type=slipway,ref={}", registry.name("cache:1")), None),
        (format!("type=slipway,dest={},tag=a", layout.display()), Some(&layout)),
    ];
    let context = home.context(&format!("FROM {}\nRUN echo 1 > /f\n", registry.name("base:1")), &[]);
    let build = |home: &Home, flags: &[&str]| {
        let output = home.run(&[&["build", "--progress=plain", "-t", "app"], flags, &[&context]].concat());
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{log}");
        log
    };
    for (place, directory) in places {
        if let Some(directory) = directory {
            // A name whose document is gone.
            build(&home, &["--cache-to", &place]);
            let index: Value =
                serde_json::from_slice(&fs::read(directory.join("index.json")).unwrap()).unwrap();
            let digest = index["manifests"][0]["digest"].as_str().unwrap().replace("sha256:", "");
            fs::remove_file(directory.join("blobs/sha256").join(digest)).unwrap();
        }
        let log = build(&home, &["--cache-to", &place]);
        assert!(!log.contains("ERROR: "), "{log}");
        let log = build(&Home::without_base(), &["--cache-from", &place.replace("dest=", "src=")]);
        assert!(!log.contains("ERROR: ") && log.contains("CACHED"), "{log}");
    }
    // What cannot be read at all stays: it has the names of others in it.
    fs::write(layout.join("index.json"), "{").unwrap();
    let to = format!("type=slipway,dest={},tag=b,ignore-error=false", layout.display());
    let (_, error) = home.fails(&["build", "-q", "--cache-to", &to, &context]);
    assert!(error.contains("index.json"), "{error}");
    assert_eq!(fs::read_to_string(layout.join("index.json")).unwrap(), "{");
}

/// The catalogue, with each layer's blob at another layer.
fn swapped(warm: &Warm) -> Value {
    let (digest, _) = warm.manifest();
    let mut swapped: Value =
        serde_json::from_slice(&fs::read(warm.registry.blob_path(&digest)).unwrap()).unwrap();
    let layers = swapped["layers"].as_array_mut().unwrap();
    let mut blobs: Vec<Value> =
        layers.iter().map(|layer| layer["blob"].clone()).filter(|blob| !blob.is_null()).collect();
    blobs.rotate_left(1);
    let with_blob = layers.iter_mut().filter(|layer| !layer["blob"].is_null());
    with_blob.zip(blobs).for_each(|(layer, blob)| layer["blob"] = blob);
    swapped
}

/// Puts a catalogue in the place of another, with the same layers.
fn publish(warm: &Warm, manifest: &Value, catalogue: &[u8]) {
    let digest = format!("sha256:{}", sha256(warm, catalogue));
    let begun = request(&warm.registry, "POST", "/v2/cache/blobs/uploads/", "text/plain", b"");
    let location = begun.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
    let target = location.split_once(&warm.registry.authority).unwrap().1.trim();
    let ended = request(
        &warm.registry,
        "PUT",
        &format!("{target}&digest={digest}"),
        "application/octet-stream",
        catalogue,
    );
    assert!(ended.starts_with("HTTP/1.1 201"), "{ended}");
    let mut manifest = manifest.clone();
    manifest["config"]["digest"] = json!(digest);
    manifest["config"]["size"] = json!(catalogue.len());
    let media_type = manifest["mediaType"].as_str().unwrap().to_owned();
    put(&warm.registry, "/v2/cache/manifests/wrong", &media_type, &manifest.to_string());
}

fn sha256(warm: &Warm, bytes: &[u8]) -> String {
    let path = warm.home.path("document");
    fs::write(&path, bytes).unwrap();
    let sum = crate::support::check(std::process::Command::new("sha256sum").arg(path));
    sum.split(' ').next().unwrap().to_owned()
}

#[test]
fn a_server_that_dies_or_hangs_in_the_middle_is_given_up() {
    let warm = Warm::new();
    // A little more than the documents, so that it dies within the layers.
    let dying = Relay::start(&warm.registry.authority, 6_000);
    let log = goes_on(&warm, &format!("type=slipway,ref={dying}/cache:1"));
    assert!(log.contains("ERROR: "), "{log}");
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = hanging.local_addr().unwrap();
    let log = goes_on(&warm, &format!("type=slipway,ref={authority}/cache:1,timeout=1s"));
    assert_eq!(log, "ERROR: no answer within 1 s");
}

#[test]
fn a_cache_that_cannot_be_written_fails_only_the_build_that_wants_it() {
    let warm = Warm::new();
    let other = Home::without_base();
    let context = warm.context(&other, "src\n", "other\n");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let to = format!("type=registry,ref={closed}/cache:1");
    let output = other.run(&["build", "--progress=plain", "-t", "app", "--cache-to", &to, &context]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("ERROR: "));
    let (code, error) =
        other.fails(&["build", "-q", "--cache-to", &format!("{to},ignore-error=false"), &context]);
    assert_eq!(code, 69, "{error}");
    assert!(error.contains(&format!("cannot export the cache to `{closed}/cache:1`")), "{error}");
    // A directory that is a file.
    fs::write(other.path("file"), "").unwrap();
    let to = format!("type=local,dest={}", other.path("file").display());
    let log = other.log(&["-t", "app", "--cache-to", &to, &context]);
    assert_eq!(log.matches("hit ").count(), ALL_HIT.lines().count());
}

/// Passes on what a server says, so many bytes in all, and is dead from then on.
struct Relay;

impl Relay {
    fn start(server: &str, budget: i64) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let (server, left) = (server.to_owned(), Arc::new(AtomicI64::new(budget)));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if left.load(Ordering::Relaxed) <= 0 {
                    return;
                }
                let server = TcpStream::connect(&server).unwrap();
                let (mut up_from, mut up_to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut up_from, &mut up_to);
                    let _ = up_to.shutdown(Shutdown::Both);
                });
                let left = left.clone();
                std::thread::spawn(move || pass(server, client, &left));
            }
        });
        authority
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, left: &AtomicI64) {
    let mut block = [0; 512];
    while let Ok(count) = from.read(&mut block) {
        let before = left.fetch_sub(count as i64, Ordering::Relaxed);
        let passed = count.min(usize::try_from(before).unwrap_or(0));
        if count == 0 || to.write_all(&block[..passed]).is_err() || passed < count {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
