//! What leaves for registries, and comes back: caches, pushes, attestations, results for several platforms.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::buildx::cached;
use crate::client::Served;
use crate::server::{Access, Registry};

const DOCKERFILE: &str =
    "FROM base AS one\nRUN echo one > /one\nFROM base\nRUN echo two > /two\nCOPY --from=one /one /one";

/// The document that a name of a registry stands for.
fn manifest(name: &str) -> Value {
    let source = format!("docker://{name}");
    let shown =
        Command::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", &source]).output().unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    serde_json::from_slice(&shown.stdout).unwrap()
}

/// Another daemon, whose store has the same base image and nothing else.
pub(crate) fn elsewhere(served: &Served) -> Served {
    let other = Served::start(&[]);
    let archive = served.home.path("base-image.tar");
    let archive = archive.to_str().unwrap();
    served.home.ok(&["save", "-o", archive, "base:latest"]);
    other.home.ok(&["load", "-i", archive]);
    other
}

/// Steps that ran.
pub(crate) fn ran(shown: &str) -> usize {
    let steps = shown.lines().filter_map(|line| line.split_once(' '));
    let steps = steps.filter(|(_, name)| name.contains("] RUN ") || name.contains("] COPY "));
    steps.filter(|(number, _)| shown.contains(&format!("\n{number} DONE"))).count()
}

#[test]
fn caches_in_a_registry_are_written_and_read() {
    let served = Served::start(&[]);
    let registry = Registry::start();
    let context = served.home.context(DOCKERFILE, &[]);
    let cache = registry.name("cache");
    let to = format!("--cache-to=type=registry,ref={cache},mode=max");
    let first = served.build(&[&to, &context]);
    assert_eq!(ran(&first), 3, "{first}");
    let other = elsewhere(&served);
    let second = other.build(&[&format!("--cache-from=type=registry,ref={cache}"), &context]);
    assert!(second.contains("importing cache manifest from") && cached(&second) > 0, "{second}");
    assert_eq!(ran(&second), 0, "{second}");
}

#[test]
fn an_image_can_be_its_own_cache() {
    let served = Served::start(&[]);
    let registry = Registry::start();
    let context = served.home.context("FROM base\nRUN echo one > /one\nRUN echo two > /two", &[]);
    let name = registry.name("app");
    let output = format!("--output=type=image,name={name},push=true");
    served.build(&["--cache-to=type=inline", &output, &context]);
    let again = elsewhere(&served).build(&[&format!("--cache-from={name}"), &context]);
    assert!(cached(&again) > 0 && ran(&again) == 0, "{again}");
}

#[test]
fn an_image_is_pushed_for_the_client_with_what_is_attested_of_it() {
    let served = Served::start(&[]);
    let registry = Registry::with(Access::Password);
    let context = served.home.context("FROM base\nRUN echo one > /one", &[]);
    let name = registry.name("app:1");
    let output = format!("--output=type=image,name={name},push=true");
    let refused = served.fails(&[&output, &context]);
    assert!(refused.contains("access denied for app"), "{refused}");
    let config = served.home.path("user/.docker/config.json");
    let login = STANDARD.encode("user:secret");
    fs::write(config, format!(r#"{{"auths":{{"{}":{{"auth":"{login}"}}}}}}"#, registry.authority)).unwrap();
    served.build(&["--sbom=true", "--provenance=mode=max", &output, &context]);
    let source = format!("docker://{name}");
    let shown = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false", "--creds=user:secret", &source])
        .output()
        .unwrap();
    let index: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 2, "{index}");
    assert_eq!(manifests[1]["annotations"]["vnd.docker.reference.type"], "attestation-manifest", "{index}");
}

#[test]
fn bare_files_have_nothing_attested() {
    let served = Served::start(&[]);
    let context = served.home.context("FROM base\n", &[]);
    let shown = served.fails(&["--sbom=true", "--output=type=local,dest=out", &context]);
    assert!(shown.contains("bare files have none"), "{shown}");
    // What clients ask for by themselves is only for images.
    served.build(&["--output=type=local,dest=out", &context]);
}

#[test]
fn several_platforms_are_one_result() {
    let served = Served::start(&[]);
    let registry = Registry::start();
    let context =
        served.home.context("FROM scratch\nARG TARGETARCH\nCOPY f /$TARGETARCH", &[("f", "text\n")]);
    let name = registry.name("app");
    let output = format!("--output=type=image,name={name},push=true");
    served.build(&["--platform=linux/amd64,linux/arm64", "--provenance=false", &output, &context]);
    let index = manifest(&name);
    let of = |at: usize| index["manifests"][at]["platform"]["architecture"].as_str();
    assert_eq!((of(0), of(1), of(2)), (Some("amd64"), Some("arm64"), None), "{index}");
    let output = "--output=type=tar,dest=out.tar";
    served.build(&["--platform=linux/amd64,linux/arm64", output, &context]);
    let listed = Command::new("tar").arg("-tf").arg(served.home.path("out.tar")).output().unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    assert!(names.contains("linux_amd64/amd64\n") && names.contains("linux_arm64/arm64\n"), "{names}");
}

#[test]
fn a_target_of_bake_stands_on_the_result_of_another() {
    let served = Served::start(&[]);
    let context = served.home.context("FROM base\nRUN echo below > /below\nENV LEVEL=below", &[]);
    let above =
        "FROM lower\nRUN echo \"$LEVEL $(cat /below)\" > /above\nFROM scratch\nCOPY --from=0 /above /\n";
    fs::write(served.home.path("above.Dockerfile"), above).unwrap();
    let file = format!(
        "target \"below\" {{\n context = \"{context}\"\n}}\n\
         target \"above\" {{\n context = \"{context}\"\n dockerfile = \"{}\"\n\
         contexts = {{ lower = \"target:below\" }}\n output = [\"type=local,dest=out\"]\n}}\n",
        served.home.path("above.Dockerfile").display()
    );
    fs::write(served.home.path("docker-bake.hcl"), file).unwrap();
    served.ok(&["bake", "--progress=plain", "above"]);
    assert_eq!(served.read("out/above"), "below below\n");
}
