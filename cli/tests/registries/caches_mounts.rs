//! Cache mounts that travel with a remote cache.

use std::fs;
use std::path::Path;

use crate::server::Registry;
use crate::support::Home;

/// Bytes of the large file in the mount.
const LARGE_BYTES: usize = 3 << 20;

/// Bytes that do not compress, the same for each seed.
fn noise(mut seed: u64, bytes: usize) -> Vec<u8> {
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        // Xorshift, as by Marsaglia.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        noise.extend(seed.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

/// A registry with a base image.
struct World {
    registry: Registry,
    cache: String,
}

impl World {
    fn new(home: &Home) -> Self {
        let registry = Registry::start();
        registry.push_with_skopeo(home, "base", "base:1", &[]);
        let cache = format!("type=slipway,ref={}", registry.name("cache:1"));
        Self { registry, cache }
    }

    /// Runs a command with the mount, and says what went wrong with the cache on the way.
    fn build(&self, home: &Home, command: &str, flags: &[&str]) -> String {
        let base = self.registry.name("base:1");
        let run = format!("RUN --mount=type=cache,id=store,target=/c --mount=type=secret,id=word {command}");
        let context = home.context(&format!("FROM {base}\nCOPY large /large\n{run}\n"), &[]);
        if !Path::new(&context).join("large").exists() {
            fs::write(Path::new(&context).join("large"), noise(1, LARGE_BYTES)).unwrap();
        }
        let caches = ["--cache-from", &self.cache, "--cache-to", &self.cache];
        let output = home
            .run(&[&["build", "--progress=plain", "-t", "app"], &caches[..], flags, &[&context]].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        let lines = error.lines().filter(|line| line.contains(" ERROR: "));
        lines.map(|line| line.split_once(' ').unwrap().1).collect::<Vec<_>>().join("\n")
    }

    /// Bytes of everything in the registry.
    fn size_bytes(&self) -> u64 {
        let any = self.registry.blob_path(&format!("sha256:{}", "0".repeat(64)));
        sizes(any.ancestors().nth(3).unwrap())
    }
}

fn sizes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let size = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => sizes(&entry.path()),
        false => entry.metadata().unwrap().len(),
    };
    entries.map(size).sum()
}

#[test]
fn a_mount_goes_on_elsewhere_and_only_its_changes_move() {
    let home = Home::new();
    let world = World::new(&home);
    assert_eq!(world.build(&home, "cp /large /c/large; echo 1 > /c/small", &[]), "");
    let other = Home::without_base();
    let before = world.size_bytes();
    assert_eq!(
        world.build(&other, "cat /c/small > /seen; echo 2 > /c/small; cat /large >> /c/large", &[]),
        ""
    );
    assert_eq!(other.ok(&["run", "app", "cat", "/seen"]), "1\n");
    let moved = world.size_bytes() - before;
    assert!(moved < LARGE_BYTES as u64 / 4, "{moved} bytes for a file that has its bytes twice now");
    let third = Home::without_base();
    assert_eq!(
        world.build(&third, "cat /c/small > /seen; stat -c %s /c/large >> /seen", &["--cache-mounts=import"]),
        ""
    );
    assert_eq!(third.ok(&["run", "app", "cat", "/seen"]), format!("2\n{}\n", 2 * LARGE_BYTES));
    let fourth = Home::without_base();
    assert_eq!(world.build(&fourth, "ls /c > /seen", &["--cache-mounts=none"]), "");
    assert_eq!(fourth.ok(&["run", "app", "cat", "/seen"]), "");
    third.ok(&["store", "check"]);
}

#[test]
fn what_is_lost_or_secret_does_not_travel() {
    let home = Home::new();
    let world = World::new(&home);
    fs::write(home.path("word"), "correct horse battery staple\n").unwrap();
    let secret = ["--secret", "id=word,src=word"];
    let leak = "cat /run/secrets/word > /c/leak";
    let log = world.build(&home, leak, &secret);
    assert_eq!(log, "ERROR: it has a secret of the build in it, and is not written");
    // Under its own name the file would be the very layer of the COPY, when both are of the same second, and need not come.
    let log = world.build(&home, "rm /c/leak; cp /large /c/other", &secret);
    assert_eq!(log, "");
    // A layer with a secret stays as well, and with it the whole cache.
    let log = world.build(&home, "cat /run/secrets/word > /leak", &secret);
    assert_eq!(log, "ERROR: it has a secret of the build in it, and is not written");
    // Every pack and every listing gets another byte.
    let any = world.registry.blob_path(&format!("sha256:{}", "0".repeat(64)));
    let manifest = world.registry.inspect_with_skopeo("cache:1", &["--raw"]);
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    for blob in manifest["layers"].as_array().unwrap() {
        if blob["mediaType"].as_str().unwrap().contains("cache.mount") {
            let path = world.registry.blob_path(blob["digest"].as_str().unwrap());
            assert!(path.starts_with(any.ancestors().nth(3).unwrap()));
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
    let other = Home::without_base();
    let log = world.build(&other, "ls /c > /seen", &["--cache-mounts=import"]);
    assert!(log.contains("has digest sha256:"), "{log}");
    assert_eq!(other.ok(&["run", "app", "cat", "/seen"]), "", "it begins empty");
    // Whoever writes replaces what does not come, though the files are the same.
    // (Their listing has another time: this registry keeps what it has under a digest.)
    let again = "cp /large /c/other; /bin/busybox touch -t 200101010000 /c/other";
    assert!(world.build(&Home::without_base(), again, &[]).contains("has digest sha256:"));
    let third = Home::without_base();
    assert_eq!(world.build(&third, "ls /c >> /seen", &["--cache-mounts=import"]), "");
    assert_eq!(third.ok(&["run", "app", "cat", "/seen"]), "other\n");
}

#[test]
fn two_steps_bring_one_mount_at_the_same_time() {
    let home = Home::new();
    let world = World::new(&home);
    assert_eq!(world.build(&home, "cp /large /c/large", &[]), "");
    let other = Home::without_base();
    let base = world.registry.name("base:1");
    let stages = ["one", "two", "three", "four"];
    let stage = |name: &&str| {
        let run = "RUN --mount=type=cache,id=store,target=/c stat -c %s /c/large";
        format!("FROM {base} AS {name}\n{run} > /{name}\n")
    };
    let stages_text: String = stages.iter().map(stage).collect();
    let copies: String = stages.iter().map(|name| format!("COPY --from={name} /{name} /{name}\n")).collect();
    let context = other.context(&format!("{stages_text}FROM {base}\n{copies}"), &[]);
    let log = other.run(&["build", "--progress=plain", "-t", "app", "--cache-from", &world.cache, &context]);
    let log = String::from_utf8_lossy(&log.stderr).into_owned();
    assert!(!log.contains("ERROR: "), "{log}");
    let seen = other.ok(&["run", "app", "cat", "/one", "/two", "/three", "/four"]);
    assert_eq!(seen, format!("{LARGE_BYTES}\n").repeat(stages.len()));
}
