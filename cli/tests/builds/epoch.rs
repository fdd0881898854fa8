//! Whose time a result has that `SOURCE_DATE_EPOCH` names.

use std::fs;
use std::process::Command;

use crate::git_server::{COMMITTED, Repository};
use crate::server::Server;
use crate::support::{Home, check};

/// Tells the time that a stage sees.
const STEPS: &str = "FROM base\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /epoch\n";
/// The time of change of what the server serves.
const SERVED: i64 = 1_600_000_000;
/// The newest time in an archive.
const NEWEST: i64 = 1_400_000_000;

struct World {
    home: Home,
    server: Server,
}

impl World {
    fn new() -> Self {
        let home = Home::new();
        let server = Server::new(&home.path("served"));
        Self { home, server }
    }

    /// A repository whose Dockerfile asks for the time of its context.
    fn repository(&self) -> Repository {
        let repository = Repository::new(&self.home, "a");
        repository.write("Dockerfile", &format!("ARG SOURCE_DATE_EPOCH=context\n{STEPS}")).commit();
        repository
    }

    /// An archive without a time of its own on the server; its path here.
    fn archive(&self) -> String {
        let directory = self.home.path("archived");
        for (name, text, time) in [("old", "", NEWEST - 5), ("Dockerfile", STEPS, NEWEST)] {
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(name), text).unwrap();
            check(Command::new("touch").args(["-d", &format!("@{time}")]).arg(directory.join(name)));
        }
        let path = self.home.path("served/a.tar.gz");
        check(
            Command::new("tar").arg("-czf").arg(&path).arg("-C").arg(&directory).args(["Dockerfile", "old"]),
        );
        path.to_str().unwrap().to_owned()
    }

    fn built(&self, arguments: &[&str]) -> (String, String) {
        self.home.ok(&[&["build", "-q", "-t", "image"], arguments].concat());
        self.image()
    }

    /// When the image was made, and what its step has seen.
    fn image(&self) -> (String, String) {
        let created = self.home.ok(&["inspect", "--format", "{{.Created}}", "image"]).trim().to_owned();
        let seen = fs::read_to_string(self.home.unpack("image").path("epoch")).unwrap();
        (created, seen.trim().to_owned())
    }
}

/// A time as an image and as a step have it.
fn both(written: &str, seconds: i64) -> (String, String) {
    (written.to_owned(), seconds.to_string())
}

#[test]
fn of_a_commit() {
    let world = World::new();
    let url = world.repository().url(&world.server);
    let committed = both("2017-07-14T02:40:00Z", COMMITTED);
    assert_eq!(world.built(&[&url]), committed);
    // The second time it is not fetched.
    assert_eq!(world.built(&[&url]), committed);
    // What the user says goes first.
    let given = ["--build-arg", "SOURCE_DATE_EPOCH=1000000000", &url];
    assert_eq!(world.built(&given), both("2001-09-09T01:46:40Z", 1_000_000_000));
    let context = world.home.context(STEPS, &[]);
    let named = format!("source={url}");
    let arguments = ["--build-context", &named, "--build-arg", "SOURCE_DATE_EPOCH=source", &context];
    assert_eq!(world.built(&arguments), committed);
    let stage = format!("FROM scratch AS source\nADD {url} /\n{STEPS}");
    let context = world.home.context(&stage, &[]);
    let mut build = world.home.command(&["build", "-q", "-t", "image", &context]);
    assert!(build.env("SOURCE_DATE_EPOCH", "source").status().unwrap().success());
    assert_eq!(world.image(), committed);
}

/// A commit is fetched once, by whom it is wanted first: for its time or for its files.
#[test]
fn a_commit_that_tells_the_time_is_not_fetched_again() {
    let world = World::new();
    let url = world.repository().url(&world.server);
    let stage = format!("FROM scratch AS source\nADD {url} /\n{STEPS}COPY --from=source /Dockerfile /\n");
    let context = world.home.context(&stage, &[]);
    world.server.requests();
    let asked = ["--build-arg", "SOURCE_DATE_EPOCH=source", &context];
    assert_eq!(world.built(&asked), both("2017-07-14T02:40:00Z", COMMITTED));
    let posts = || world.server.requests().iter().filter(|request| request.starts_with("POST")).count();
    // Twice it is asked where the branch is, and once for what it has.
    let (questions, fetch) = (2, 1);
    assert_eq!(posts(), questions + fetch);
    assert_eq!(world.built(&asked), both("2017-07-14T02:40:00Z", COMMITTED));
    assert_eq!(posts(), questions);
}

#[test]
fn of_a_file_and_of_what_is_in_an_archive() {
    let world = World::new();
    let path = world.archive();
    let ask = ["--build-arg", "SOURCE_DATE_EPOCH=context"];
    let newest = both("2014-05-13T16:53:20Z", NEWEST);
    let url = world.server.url("plain/a.tar.gz");
    assert_eq!(world.built(&[&ask[..], &[&url]].concat()), newest);
    let input = fs::read(&path).unwrap();
    let arguments = [&["build", "-q", "-t", "image"], &ask[..], &["-"]].concat();
    assert!(world.home.run_with(&input, &arguments).status.success());
    assert_eq!(world.image(), newest);
    let stage = world.home.context(&format!("FROM scratch AS source\nADD {url} /\n{STEPS}"), &[]);
    assert_eq!(world.built(&["--build-arg", "SOURCE_DATE_EPOCH=source", &stage]), newest);
    // What the server says goes before what is in it.
    check(Command::new("touch").args(["-d", &format!("@{SERVED}")]).arg(&path));
    let served = both("2020-09-13T12:26:40Z", SERVED);
    assert_eq!(world.built(&[&ask[..], &[&world.server.url("files/a.tar.gz")]].concat()), served);
    world.server.write("Dockerfile", STEPS);
    assert_eq!(world.built(&[&ask[..], &[&world.server.url("files/Dockerfile")]].concat()), served);
}

#[test]
fn files_of_this_machine_have_none() {
    let world = World::new();
    let context = world.home.context(STEPS, &[]);
    let (_, seen) = world.built(&["--build-arg", "SOURCE_DATE_EPOCH=context", &context]);
    assert_eq!(seen, "");
    let named = format!("here={context}");
    let arguments = ["--build-context", &named, "--build-arg", "SOURCE_DATE_EPOCH=here", &context];
    assert_eq!(world.built(&arguments).1, "");
    let arguments = ["build", "--build-arg", "SOURCE_DATE_EPOCH=yesterday", &context];
    let (code, error) = world.home.fails(&arguments);
    assert!(code == 1 && error.contains("`SOURCE_DATE_EPOCH` is not a time: `yesterday`"), "{error}");
}
