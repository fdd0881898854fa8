//! OCI layouts of clients: images that builds stand on, caches in directories, and images that leave as one.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::buildctl::{build, fails, ok};
use crate::buildx::cached;
use crate::client::Served;
use crate::object_server::ObjectServer;
use crate::remote::{elsewhere, ran};
use crate::support::check;

/// The digest of what the index of a layout names.
fn digest(layout: &Path) -> String {
    let text = fs::read_to_string(layout.join("index.json")).unwrap();
    let index: Value = serde_json::from_str(&text).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

/// An image in a directory, with a file that tells it.
fn write_layout(served: &Served) {
    let context = served.home.context("FROM base\nRUN echo of the layout > /told\nENV TOLD=/told", &[]);
    served.home.ok(&["build", "--output=type=oci,tar=false,dest=layout", &context]);
}

#[test]
fn a_build_stands_on_a_layout_of_the_client() {
    let served = Served::start(&[]);
    write_layout(&served);
    let text = "FROM lay\nRUN cat $TOLD\nFROM scratch\nCOPY --from=lay /told /copied\nCOPY --from=0 /told /";
    let context = served.home.context(text, &[]);
    let arguments = ["--build-context=lay=oci-layout://layout", "--output=type=local,dest=out", &context];
    let shown = served.build(&arguments);
    assert!(shown.contains(" of the layout\n"), "{shown}");
    assert_eq!(served.read("out/copied"), "of the layout\n");
    assert!(cached(&served.build(&arguments)) > 0);
}

#[test]
fn our_own_client_has_layouts_as_well() {
    let served = Served::alone(&[]);
    write_layout(&served);
    served.home.context("FROM lay\nRUN cat $TOLD", &[]);
    let named = format!("context:lay=oci-layout://mine:1@{}", digest(&served.home.path("layout")));
    let shown = ok(&served, &build(&["--oci-layout", "mine=layout", "--opt", &named])).shown;
    assert!(shown.contains(" of the layout\n"), "{shown}");
    let other = named.replace("mine", "other");
    let shown = fails(&served, &build(&["--oci-layout", "mine=layout", "--opt", &other]));
    assert!(shown.contains("no store `oci:other`"), "{shown}");
}

const CACHED: &str = "FROM base\nCOPY f /f\nRUN cat /f > /g\nFROM scratch\nCOPY --from=0 /g /";

#[test]
fn caches_in_directories_of_the_client_are_written_and_read() {
    let served = Served::start(&[]);
    let context = served.home.context(CACHED, &[("f", "text\n")]);
    let to = "--cache-to=type=local,dest=cache,mode=max";
    let first = served.build(&[to, &context]);
    assert_eq!(ran(&first), 3, "{first}");
    let layout = format!("oci:{}:latest", served.home.path("cache").display());
    check(Command::new("skopeo").args(["inspect", "--raw", &layout]));
    let from = format!("--cache-from=type=local,src={}", served.home.path("cache").display());
    let other = elsewhere(&served);
    let second = other.build(&[&from, "--output=type=local,dest=out", &context]);
    assert_eq!(ran(&second), 0, "{second}");
    assert_eq!(other.read("out/g"), "text\n");
    // One that is damaged is none.
    let blobs = fs::read_dir(served.home.path("cache/blobs/sha256")).unwrap();
    blobs.for_each(|blob| fs::write(blob.unwrap().path(), "damaged").unwrap());
    let third = elsewhere(&served).build(&[&from, &context]);
    assert_eq!(ran(&third), 3, "{third}");
}

#[test]
fn our_own_client_has_caches_in_directories_as_well() {
    let served = Served::alone(&[]);
    served.home.context(CACHED, &[("f", "text\n")]);
    let to = ["--export-cache", "type=local,dest=cache,mode=max,tag=mine"];
    ok(&served, &build(&[&to[..], &["--import-cache", "type=local,src=cache"]].concat()));
    served.home.ok(&["builder", "prune", "--all", "--force"]);
    let from = ["--import-cache", "type=local,src=cache,tag=mine"];
    let shown = ok(&served, &build(&from)).shown;
    assert_eq!(ran(&shown), 0, "{shown}");
}

#[test]
fn caches_of_services_are_named_by_clients() {
    let served = Served::alone(&[]);
    let service = ObjectServer::stand_in();
    served.home.context(CACHED, &[("f", "text\n")]);
    let cache = format!("type=gha,url=unused,url_v2=http://{}/,token=x.y.main", service.authority);
    ok(&served, &build(&["--export-cache", &format!("{cache},mode=max")]));
    served.home.ok(&["builder", "prune", "--all", "--force"]);
    let shown = ok(&served, &build(&["--import-cache", &cache])).shown;
    assert_eq!(ran(&shown), 0, "{shown}");
    let refused = fails(&served, &build(&["--export-cache", "type=s3,bucket=b,colour=red"]));
    assert!(refused.contains("unknown option `colour`"), "{refused}");
}

#[test]
fn an_image_leaves_as_a_layout() {
    let served = Served::start(&[]);
    let context = served.home.context("FROM base\nRUN echo text > /made", &[]);
    served.build(&["--output=type=oci,tar=false,dest=out,name=made:1", &context]);
    check(Command::new("skopeo").args(["inspect", &format!("oci:{}", served.home.path("out").display())]));
    // Another one beside it, by our own client.
    let output = ["--output=type=oci,tar=false,dest=out,name=other:2"];
    ok(&served, &build(&output));
    check(Command::new("skopeo").args(["inspect", &format!("oci:{}:2", served.home.path("out").display())]));
    assert_eq!(served.read("out/index.json").matches("\"digest\"").count(), 2);
}
