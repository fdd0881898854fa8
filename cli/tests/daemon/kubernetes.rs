//! The manifests for Kubernetes: what they refer to is there, and what they start works.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::buildkitd::named;
use crate::certificates::Authority;
use crate::client::Served;
use crate::support::Home;

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kubernetes");

/// What the API knows at the places that are used here, and whether it has to be there.
const KNOWN: [(&str, &[&str], &[&str]); 9] = [
    ("", &["apiVersion", "kind", "metadata"], &["spec", "data"]),
    (
        "/spec/template/spec",
        &["containers"],
        &["hostUsers", "automountServiceAccountToken", "terminationGracePeriodSeconds", "volumes"],
    ),
    (
        "/spec/template/spec/containers/0",
        &["name"],
        &[
            "image",
            "args",
            "ports",
            "readinessProbe",
            "livenessProbe",
            "securityContext",
            "resources",
            "volumeMounts",
        ],
    ),
    (
        "/spec/template/spec/containers/0/securityContext",
        &[],
        &["runAsUser", "runAsGroup", "seccompProfile", "procMount", "capabilities"],
    ),
    ("/spec/template/spec/containers/0/readinessProbe", &[], &["exec", "periodSeconds", "timeoutSeconds"]),
    (
        "/spec/template/spec/containers/0/livenessProbe",
        &[],
        &["exec", "initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold"],
    ),
    ("/spec/template/spec/containers/0/ports/0", &["containerPort"], &["name", "protocol"]),
    ("/spec/volumeClaimTemplates/0/spec", &[], &["accessModes", "resources"]),
    ("/spec/ports/0", &["port"], &["name", "targetPort", "protocol"]),
];

fn manifest(name: &str) -> Value {
    let text = fs::read_to_string(Path::new(MANIFESTS).join(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

fn names(value: &Value) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_manifests_have_what_the_api_knows() {
    for name in ["statefulset.yaml", "service.yaml", "config.yaml"] {
        let manifest = manifest(name);
        for (place, needed, possible) in KNOWN {
            let Some(object) = manifest.pointer(place).and_then(Value::as_object) else { continue };
            for key in needed {
                assert!(object.contains_key(*key), "{name}: `{place}` has no `{key}`");
            }
            for key in object.keys() {
                let is_known = needed.contains(&key.as_str()) || possible.contains(&key.as_str());
                assert!(is_known, "{name}: `{place}/{key}`");
            }
        }
    }
}

#[test]
fn what_the_manifests_refer_to_is_there() {
    let (set, service, config) =
        (manifest("statefulset.yaml"), manifest("service.yaml"), manifest("config.yaml"));
    assert_eq!((set["apiVersion"].as_str(), set["kind"].as_str()), (Some("apps/v1"), Some("StatefulSet")));
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&set["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&service["spec"]["selector"], labels);
    assert_eq!(set["spec"]["serviceName"], service["metadata"]["name"]);
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let mut volumes = names(&pod["volumes"]);
    let claims = set["spec"]["volumeClaimTemplates"].as_array().unwrap();
    volumes.extend(claims.iter().map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()));
    assert_eq!(names(&container["volumeMounts"]), volumes);
    assert_eq!(container["ports"][0]["name"], service["spec"]["ports"][0]["targetPort"]);
    let named = pod["volumes"].as_array().unwrap().iter().find_map(|it| it["configMap"]["name"].as_str());
    assert_eq!(named, config["metadata"]["name"].as_str());
    // Nobody is root on the host, and no profile is switched off.
    assert_eq!(pod["hostUsers"], false);
    assert_eq!(container["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(container["securityContext"]["privileged"], Value::Null);
}

#[test]
fn the_daemon_of_the_manifests_starts_and_its_probes_succeed() {
    let (set, config) = (manifest("statefulset.yaml"), manifest("config.yaml"));
    let home = Home::new();
    let directory = home.path("certs");
    Authority::new(&directory, "ca").sign("tls");
    for (file, kind) in [("ca.pem", "ca.crt"), ("tls.pem", "tls.crt")] {
        fs::rename(directory.join(file), directory.join(kind)).unwrap();
    }
    fs::create_dir(home.path("etc")).unwrap();
    for (name, text) in config["data"].as_object().unwrap() {
        fs::write(home.path("etc").join(name), text.as_str().unwrap()).unwrap();
    }
    let here = |text: String| {
        let place = |name: &str| home.path(name).to_str().unwrap().to_owned();
        let places =
            [("/certs", place("certs")), ("/etc/buildkit", place("etc")), ("/run/buildkit", place("run"))];
        let text = places.iter().fold(text, |text, (theirs, ours)| text.replace(theirs, ours));
        text.replace("/var/lib/buildkit", &place("store")).replace("0.0.0.0:1234", "127.0.0.1:0")
    };
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    let mut command = named(&home, "buildkitd");
    command.args(texts(&container["args"]).into_iter().map(here));
    let socket = format!("unix://{}", home.path("run/buildkitd.sock").display());
    let served = Served::listening(home, command);
    // Nothing in the file is passed over.
    assert_eq!((served.told.as_str(), &served.address), ("", &socket));
    for probe in ["readinessProbe", "livenessProbe"] {
        let words = texts(&container[probe]["exec"]["command"]);
        let mut command = named(&served.home, &words[0]);
        let output = command.args(&words[1..]).env("BUILDKIT_HOST", &socket).output().unwrap();
        assert!(output.status.success(), "{probe}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
