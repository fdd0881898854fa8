//! Where results go: everything that `buildx` can ask for.

use std::process::Command;

use crate::client::Served;
use crate::support::check;

const DOCKERFILE: &str =
    "FROM base\nRUN mkdir /d && echo text > /d/file && ln -s file /d/link && ln /d/file /d/same";

#[test]
fn files_go_to_the_client() {
    let served = Served::start(&[]);
    let context = served.home.context(DOCKERFILE, &[]);
    served.build(&["--output=type=local,dest=out", &context]);
    assert_eq!(served.read("out/d/file"), "text\n");
    assert_eq!(served.read("out/d/same"), "text\n");
    assert_eq!(std::fs::read_link(served.home.path("out/d/link")).unwrap().to_str(), Some("file"));
    served.build(&["--output=type=tar,dest=out.tar", &context]);
    let mut list = Command::new("tar");
    let listed = list.arg("-tf").arg(served.home.path("out.tar")).output().unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    assert!(names.contains("d/file\n") && names.contains("d/link\n"), "{names}");
}

#[test]
fn archives_go_to_the_client_and_others_read_them() {
    let served = Served::start(&[]);
    let context = served.home.context(DOCKERFILE, &[]);
    for (kind, transport) in [("oci", "oci-archive"), ("docker", "docker-archive")] {
        let output = format!("--output=type={kind},dest={kind}.tar,name=made:1");
        served.build(&[&output, "--metadata-file=facts.json", &context]);
        let archive = format!("{transport}:{}", served.home.path(&format!("{kind}.tar")).display());
        check(Command::new("skopeo").args(["inspect", &archive]));
        let facts = served.read("facts.json");
        for expected in ["containerimage.config.digest", "containerimage.digest", "docker.io/library/made:1"]
        {
            assert!(facts.contains(expected), "{expected}: {facts}");
        }
    }
}

#[test]
fn images_stay_in_the_store() {
    let served = Served::start(&[]);
    let context = served.home.context(DOCKERFILE, &[]);
    served.build(&["--output=type=image,name=kept:1", "--iidfile=id", &context]);
    assert_eq!(served.home.ok(&["run", "--rm", "kept:1", "cat", "/d/same"]), "text\n");
    assert!(served.read("id").starts_with("sha256:"));
}
