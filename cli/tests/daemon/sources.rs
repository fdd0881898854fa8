//! Sources of other machines in definitions, and what frontends are told of them before they build.

use std::fs;
use std::path::Path;
use std::process::Command;

use image::Digest;

use crate::client::Served;
use crate::gateway;
use crate::llb::{base, fails, ok};
use crate::marshal::Marshal;
use crate::support::check;
use crate::web_server::Server;

/// Runs git with nobody's settings.
fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", "/dev/null");
    command.env("GIT_CONFIG_NOSYSTEM", "1").arg("-C").arg(directory);
    command.args(["-c", "safe.directory=*", "-c", "user.name=Me", "-c", "user.email=me@example.org"]);
    check(command.args(arguments)).trim_end().to_owned()
}

/// A server with a file and a repository; the URLs without their scheme, and the commit.
struct Elsewhere {
    server: Server,
    commit: String,
}

impl Elsewhere {
    fn new(served: &Served) -> Self {
        let (work, shown) = (served.home.path("work"), served.home.path("shown"));
        fs::create_dir_all(work.join("sub")).unwrap();
        fs::create_dir_all(&shown).unwrap();
        fs::write(shown.join("file.txt"), "of the server\n").unwrap();
        fs::write(work.join("sub/f"), "of the repository\n").unwrap();
        fs::write(work.join("other"), "not wanted\n").unwrap();
        git(&work, &["init", "-q", "-b", "main", "."]);
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", "a change"]);
        let bare = shown.join("r.git");
        git(&work, &["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
        Self { server: Server::new(&shown), commit: git(&work, &["rev-parse", "HEAD"]) }
    }

    fn file(&self) -> String {
        self.server.url("files/file.txt")
    }

    fn repository(&self) -> String {
        self.server.url("git/r.git")
    }
}

#[test]
fn files_of_servers_have_the_attributes_of_their_source() {
    let served = Served::alone(&[]);
    let elsewhere = Elsewhere::new(&served);
    let checksum = Digest::of(b"of the server\n").to_string();
    let mut build = Marshal::default();
    let base = base(&mut build);
    let attributes = [
        ("http.checksum", checksum.as_str()),
        ("http.filename", "named"),
        ("http.perm", "0640"),
        ("http.uid", "7"),
        ("http.gid", "8"),
    ];
    let file = build.source(&elsewhere.file(), &attributes);
    let script = "cat /m/named; stat -c 'it is %a %u %g' /m/named";
    let ran = build.exec(script, &[&base, &file], vec![crate::marshal::bind("/m", 1, -1)]);
    let shown = ok(&served, &build.finish(&ran), &[]);
    assert!(shown.contains(" of the server\n") && shown.contains(" it is 640 7 8\n"), "{shown}");
    let mut build = Marshal::default();
    let wrong = Digest::of(b"another").to_string();
    let file = build.source(&elsewhere.file(), &[("http.checksum", &wrong)]);
    let shown = fails(&served, &build.finish(&file), &[]);
    assert!(shown.contains(&checksum) && shown.contains(&wrong), "{shown}");
}

#[test]
fn repositories_have_the_attributes_of_their_source() {
    let served = Served::alone(&[]);
    let elsewhere = Elsewhere::new(&served);
    let url = elsewhere.repository();
    let identifier = format!("git://{}", url.trim_start_matches("http://"));
    let (full, commit) = (("git.fullurl", url.as_str()), elsewhere.commit.as_str());
    let mut build = Marshal::default();
    let base = base(&mut build);
    let part = build.source(&format!("{identifier}#main:sub"), &[full, ("git.checksum", &commit[..12])]);
    let whole = build.source(&format!("{identifier}#main"), &[full, ("git.keepgitdir", "true")]);
    let mounts = [("/part", 1), ("/whole", 2)].map(|(to, input)| crate::marshal::bind(to, input, -1));
    let script = "cat /part/f; echo $(ls /part); ls -A /whole | tr '\\n' ' '";
    let ran = build.exec(script, &[&base, &part, &whole], mounts.to_vec());
    let shown = ok(&served, &build.finish(&ran), &[]);
    assert!(shown.contains(" of the repository\n") && shown.contains(" f\n"), "{shown}");
    assert!(shown.contains(" .git other sub "), "{shown}");
    let mut build = Marshal::default();
    let wrong = build.source(&identifier, &[full, ("git.checksum", "0123456789ab")]);
    let shown = fails(&served, &build.finish(&wrong), &[]);
    assert!(shown.contains("0123456789ab") && shown.contains(commit), "{shown}");
}

#[test]
fn a_frontend_is_told_what_sources_are_now() {
    let served = Served::alone(&[]);
    let elsewhere = Elsewhere::new(&served);
    gateway::make_image(&served, gateway::DOCKERFILE);
    let sources = format!(
        "--opt=sources={} git://{}#main docker-image://base local://context",
        elsewhere.file(),
        elsewhere.repository().trim_start_matches("http://"),
    );
    let full = format!("--opt=fullurl={}", elsewhere.repository());
    let shown =
        crate::buildctl::ok(&served, &gateway::build(&["--opt=script=touch /made", &sources, &full])).shown;
    for expected in [
        format!("http {} file.txt\n", Digest::of(b"of the server\n")),
        format!("git {0} refs/heads/main {0}\n", elsewhere.commit),
        "image true true\n".to_owned(),
        "nothing of local://context\n".to_owned(),
    ] {
        assert!(shown.contains(&expected), "{expected}:\n{shown}");
    }
}
