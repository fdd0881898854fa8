//! `ADD` of git repositories.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::git_server::{COMMITTED, Repository, git};
use crate::server::Server;
use crate::support::Home;

fn world() -> (Home, Server) {
    let home = Home::new();
    let server = Server::new(&home.path("served"));
    (home, server)
}

/// Builds a Dockerfile with `REPO` for the URL of a repository; what ran and what hit.
fn build(home: &Home, url: &str, dockerfile: &str, flags: &[&str]) -> String {
    let context = home.context(&dockerfile.replace("REPO", url), &[]);
    home.log(&[flags, &[context.as_str()]].concat()).replace(url, "REPO")
}

/// Builds what must fail; what was said.
fn failure(home: &Home, url: &str, dockerfile: &str) -> String {
    let context = home.context(&dockerfile.replace("REPO", url), &[]);
    let (code, error) = home.fails(&["build", "--progress=quiet", &context]);
    let shortened = |line: &str| match line.strip_suffix('^') {
        Some(line) => format!("{}^", line.trim_end_matches('^')),
        None => line.trim_end().to_owned(),
    };
    let steady: Vec<_> = error.replace(url, "REPO").lines().map(shortened).collect();
    format!("exit {code}\n{}", steady.join("\n"))
}

#[test]
fn everything_that_names_a_commit() {
    let (home, server) = world();
    let repository = Repository::new(&home, "a");
    let first = repository.write("file", "first\n").commit();
    repository.git(&["tag", "-a", "-m", "a tag", "v1"]);
    repository.git(&["update-ref", "refs/pull/7/head", "HEAD"]);
    repository.write("file", "second\n").commit();
    repository.git(&["checkout", "-q", "-b", "feature/x"]);
    repository.write("file", "third\n").write("docs/a.md", "a\n").write("docs/b.txt", "b\n").commit();
    repository.git(&["checkout", "-q", "main"]);
    repository.serve();
    let dockerfile = format!(
        "FROM base
ADD REPO /default
ADD REPO#feature/x:docs /docs
ADD REPO?tag=v1 /tag
ADD REPO#refs/pull/7/head /pull
ADD REPO?commit={short} /short
ADD REPO?commit={first}#main /wrong
",
        short = &first[..8]
    );
    let url = repository.url(&server);
    assert!(failure(&home, &url, &dockerfile).contains("expected"));
    let dockerfile =
        dockerfile.replace(&format!("?commit={first}#main /wrong"), &format!("#{first} /commit"));
    build(&home, &url, &dockerfile, &["-t", "image"]);
    let listing = home.unpack("image").listing();
    let files: Vec<_> =
        listing.lines().filter(|line| line.contains(": ") && !line.contains("etc/")).collect();
    insta::assert_snapshot!(files.join("\n"), @"
    0644 0:0     commit/file: first
    0644 0:0     default/file: second
    0644 0:0     docs/a.md: a
    0644 0:0     docs/b.txt: b
    0644 0:0     old/deep/file: old
    0644 0:0     pull/file: first
    0644 0:0     short/file: first
    0644 0:0     tag/file: first
    ");
}

#[test]
fn a_commit_can_be_fetched_without_asking_where_its_branch_is() {
    let (home, server) = world();
    let repository = Repository::new(&home, "a");
    let first = repository.write("file", "first\n").commit();
    repository.write("file", "second\n").commit();
    let url = repository.url(&server);
    let query = format!("REPO?branch=main&commit={first}");
    // By now the branch is elsewhere.
    assert!(failure(&home, &url, &format!("FROM base\nADD {query} /a\n")).contains("expected"));
    server.requests();
    build(&home, &url, &format!("FROM base\nADD {query}&fetch-by-commit=true /a\n"), &["-t", "image"]);
    assert_eq!(fs::read_to_string(home.unpack("image").path("a/file")).unwrap(), "first\n");
    let listed = server.requests().iter().filter(|line| line.contains("info/refs")).count();
    assert_eq!(listed, 1, "the fetch itself, and nobody asked for the branch");
}

#[test]
fn files_have_the_time_of_their_commit_or_of_the_checkout() {
    let (home, server) = world();
    let repository = Repository::new(&home, "a");
    repository.write("file", "x\n").commit();
    let url = repository.url(&server);
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let dockerfile = "FROM base\nADD REPO?mtime=commit /a\nADD REPO?mtime=checkout /b\n";
    build(&home, &url, dockerfile, &["-t", "image"]);
    let unpacked = home.unpack("image");
    let mtime = |name: &str| fs::metadata(unpacked.path(name)).unwrap().mtime();
    assert_eq!(mtime("a/file"), COMMITTED);
    assert!(mtime("b/file") >= i64::try_from(started).unwrap());
}

#[test]
fn files_are_those_of_the_commit_whoever_fetches_them() {
    let (home, server) = world();
    let repository = Repository::new(&home, "a");
    repository.write("run", "#!/bin/sh\n").write("dir/file", "x\n");
    symlink("dir/file", repository.work.join("link")).unwrap();
    symlink("/etc/passwd", repository.work.join("dangling")).unwrap();
    repository.git(&["update-index", "--add", "--chmod=+x", "run"]);
    repository.git(&["commit", "-q", "-m", "program"]);
    repository.git(&["config", "core.fileMode", "false"]);
    repository.commit();
    let context =
        home.context(&format!("FROM base\nADD --chown=app {} /src/\n", repository.url(&server)), &[]);
    let mut command = std::process::Command::new("sh");
    let slipway = home.command(&["build", "-q", "-t", "image", &context]);
    command.args(["-c", "umask 077; exec \"$0\" \"$@\""]).arg(slipway.get_program()).args(slipway.get_args());
    command.env_clear().envs(slipway.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // Within a repository, whose settings are not for others.
    git(&repository.work, &["remote", "add", "origin", "/of/the/user"]);
    git(&repository.work, &["config", "url.file:///of/the/user.insteadOf", &server.url("git/")]);
    command.current_dir(&repository.work);
    assert!(command.status().unwrap().success());
    let unpacked = home.unpack("image");
    let listing = unpacked.listing();
    let files: Vec<_> = listing.lines().filter(|line| line.contains("src/")).collect();
    insta::assert_snapshot!(files.join("\n"), @"
    0755 100:200 src/
    0777 100:200 src/dangling -> /etc/passwd
    0755 100:200 src/dir/
    0644 100:200 src/dir/file: x
    0777 100:200 src/link -> dir/file
    0755 100:200 src/run: #!/bin/sh
    ");
    for name in ["src/run", "src/dir/file", "src/dir"] {
        assert_eq!(fs::metadata(unpacked.path(name)).unwrap().mtime(), COMMITTED, "{name}");
    }
    // On two machines it is the same image.
    let context = home.context(&format!("FROM scratch\nADD {} /src/\n", repository.url(&server)), &[]);
    let images = [&home, &Home::without_base()].map(|home| {
        let mut command = home.command(&["build", "-q", "-t", "image", &context]);
        assert!(command.env("SOURCE_DATE_EPOCH", "1600000000").status().unwrap().success());
        home.ok(&["images", "-q", "--no-trunc", "image"])
    });
    assert_eq!(images[0], images[1]);
}

#[test]
fn a_commit_is_fetched_once_and_a_named_one_asks_nobody() {
    let (home, server) = world();
    let repository = Repository::new(&home, "a");
    let first = repository.write("file", "first\n").commit();
    let url = repository.url(&server);
    let dockerfile = "FROM base\nADD REPO#main /src\nRUN cat /src/file\n";
    build(&home, &url, dockerfile, &[]);
    server.requests();
    insta::assert_snapshot!(build(&home, &url, dockerfile, &[]), @"
    hit [2/3] ADD REPO#main /src
    hit [3/3] RUN cat /src/file
    ");
    insta::assert_snapshot!(server.requests().join("\n"), @"
    GET /git/a.git/info/refs?service=git-upload-pack 200
    POST /git/a.git/git-upload-pack 200
    ");
    let named = dockerfile.replace("#main", &format!("#{first}"));
    insta::assert_snapshot!(build(&home, &url, &named, &[]).replace(&first, "FIRST"), @"
    hit [2/3] ADD REPO#FIRST /src
    hit [3/3] RUN cat /src/file
    ");
    assert_eq!(server.requests(), [""; 0]);
    // Another commit with the same files.
    let second = repository.commit();
    assert_ne!(first, second);
    insta::assert_snapshot!(build(&home, &url, dockerfile, &[]), @"
    hit [2/3] ADD REPO#main /src
    hit [3/3] RUN cat /src/file
    ");
    repository.write("file", "third\n").commit();
    insta::assert_snapshot!(build(&home, &url, dockerfile, &[]), @"
    run [2/3] ADD REPO#main /src
    run [3/3] RUN cat /src/file
    ");
    // A commit that no branch is at.
    let named = dockerfile.replace("#main", &format!("#{second}"));
    let fresh = Home::new();
    build(&fresh, &url, &named, &[]);
}

#[test]
fn faults_of_the_network_pass() {
    let (home, server) = world();
    let repository = Repository::new(&home, "a");
    let first = repository.write("file", "first\n").commit();
    repository.write("file", "second\n").commit();
    // While it is asked for a branch, and while a commit is fetched.
    for (count, reference) in [("1", "#main".to_owned()), ("2", format!("#{first}"))] {
        let url = server.url(&format!("flakygit/{count}/a.git"));
        build(&home, &url, &format!("FROM base\nADD REPO{reference} /src\n"), &[]);
        let requests = server.requests();
        let failed = requests.iter().filter(|request| request.ends_with(" 503")).count();
        assert_eq!(failed.to_string(), count, "{requests:?}");
    }
    // What the server refuses, it is asked for once.
    let missing = server.url("git/missing.git");
    assert!(failure(&home, &missing, "FROM base\nADD REPO /src\n").contains("not found"));
    assert_eq!(server.requests().len(), 1);
}

/// No depth, no commit by its name: everything is fetched, file by file.
#[test]
fn a_server_that_knows_nothing_of_git() {
    let (home, server) = world();
    let repository = Repository::new(&home, "a");
    let first = repository.write("file", "first\n").commit();
    repository.write("file", "second\n").commit();
    let bare = home.path("served/a.git");
    git(&bare, &["update-server-info"]);
    let url = server.url("files/a.git");
    let dockerfile = format!("FROM base\nADD REPO#main /main\nADD --keep-git-dir REPO#{first} /first\n");
    build(&home, &url, &dockerfile, &["-t", "image"]);
    let unpacked = home.unpack("image");
    assert_eq!(fs::read_to_string(unpacked.path("main/file")).unwrap(), "second\n");
    assert_eq!(fs::read_to_string(unpacked.path("first/file")).unwrap(), "first\n");
    assert_eq!(git(&unpacked.path("first"), &["status", "--porcelain"]), "");
    assert_eq!(git(&unpacked.path("first"), &["for-each-ref", "--format=%(refname)"]), "");
}

#[test]
fn a_kept_git_directory_is_a_repository() {
    let (home, server) = world();
    let repository = Repository::new(&home, "a");
    repository.write("dir/file", "x\n").commit();
    repository.git(&["tag", "v1"]);
    let commit = repository.serve();
    let url = repository.url(&server);
    let dockerfile = "FROM base\nADD --keep-git-dir REPO#v1 /flag\nADD REPO?keep-git-dir=1 /query\nADD REPO?keep-git-dir=1&subdir=dir /part\n";
    build(&home, &url, dockerfile, &["-t", "image"]);
    let unpacked = home.unpack("image");
    for name in ["flag", "query"] {
        let root = unpacked.path(name);
        assert_eq!(git(&root, &["rev-parse", "HEAD"]), commit);
        assert_eq!(git(&root, &["status", "--porcelain"]), "");
        assert_eq!(git(&root, &["config", "remote.origin.url"]), url);
        git(&root, &["fsck"]);
    }
    assert_eq!(git(&unpacked.path("flag"), &["describe", "--tags"]), "v1");
    assert_eq!(git(&unpacked.path("query"), &["for-each-ref", "--format=%(refname)"]), "");
    assert!(!unpacked.path("part/.git").exists());
    assert_eq!(fs::read_to_string(unpacked.path("part/file")).unwrap(), "x\n");
}

#[test]
fn submodules_come_along() {
    let (home, server) = world();
    let (top, middle, low) =
        (Repository::new(&home, "top"), Repository::new(&home, "middle"), Repository::new(&home, "low"));
    low.write("low", "low\n").commit();
    middle.git(&["submodule", "--quiet", "add", "--name", "a/b", &low.url(&server), "deep/low"]);
    middle.write("middle", "middle\n").commit();
    top.git(&["submodule", "--quiet", "add", &middle.url(&server), "libs/middle"]);
    // Relative to the repository itself.
    top.git(&["config", "-f", ".gitmodules", "submodule.libs/middle.url", "../middle.git"]);
    top.write("top", "top\n").commit();
    let dockerfile =
        "FROM base\nADD REPO /all\nADD REPO#:libs/middle /part\nADD REPO?submodules=false /alone\n";
    build(&home, &top.url(&server), dockerfile, &["-t", "image"]);
    let listing = home.unpack("image").listing();
    let lines: Vec<_> = listing
        .lines()
        .filter(|line| ["all", "part", "alone"].iter().any(|name| line[13..].starts_with(name)))
        .collect();
    insta::assert_snapshot!(lines.join("\n").replace(&server.port().to_string(), "PORT"), @r#"
    0755 0:0     all/
    0644 0:0     all/.gitmodules: [submodule \"libs/middle\"]\n\tpath = libs/middle\n\turl = ../middle.git
    0755 0:0     all/libs/
    0755 0:0     all/libs/middle/
    0644 0:0     all/libs/middle/.gitmodules: [submodule \"a/b\"]\n\tpath = deep/low\n\turl = http://127.0.0.1:PORT/git/low.git
    0755 0:0     all/libs/middle/deep/
    0755 0:0     all/libs/middle/deep/low/
    0644 0:0     all/libs/middle/deep/low/low: low
    0644 0:0     all/libs/middle/middle: middle
    0644 0:0     all/top: top
    0755 0:0     alone/
    0644 0:0     alone/.gitmodules: [submodule \"libs/middle\"]\n\tpath = libs/middle\n\turl = ../middle.git
    0755 0:0     alone/libs/
    0755 0:0     alone/libs/middle/
    0644 0:0     alone/top: top
    0755 0:0     part/
    0644 0:0     part/.gitmodules: [submodule \"a/b\"]\n\tpath = deep/low\n\turl = http://127.0.0.1:PORT/git/low.git
    0755 0:0     part/deep/
    0755 0:0     part/deep/low/
    0644 0:0     part/deep/low/low: low
    0644 0:0     part/middle: middle
    "#);
    assert_eq!(fs::read_dir(home.store().join("staging")).map_or(0, Iterator::count), 0);
}

#[test]
fn tokens_come_from_secrets_and_stay_there() {
    let (home, server) = world();
    let repository = Repository::new(&home, "a");
    repository.write("file", "x\n").commit();
    let url = repository.url(&server).replace("/git/", "/tokengit/");
    let dockerfile = "FROM base\nADD REPO /src\n";
    let refused = failure(&home, &url, dockerfile).replace(&server.port().to_string(), "PORT");
    insta::assert_snapshot!(refused, @"
    exit 1
    error: `REPO` cannot be read: could not read Username for 'http://127.0.0.1:PORT': terminal prompts disabled
     --> Dockerfile:2:1
    2 | ADD REPO /src
      | ^

    ERROR: `REPO` cannot be read: could not read Username for 'http://127.0.0.1:PORT': terminal prompts disabled
    hint: if it is private, give the build a token: `--secret id=GIT_AUTH_TOKEN,env=VARIABLE`
    ");
    let context = home.context(&dockerfile.replace("REPO", &url), &[]);
    let host = format!("GIT_AUTH_TOKEN.127.0.0.1:{}", server.port());
    for id in ["GIT_AUTH_TOKEN", &host] {
        let flag = format!("id={id},env=TOKEN");
        let mut command =
            home.command(&["--debug", "build", "--progress=plain", "--secret", &flag, &context]);
        let output = command.env("TOKEN", "swordfish").output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        assert!(!text.contains("swordfish"));
    }
    let flag = "id=GIT_AUTH_HEADER,env=HEADER";
    let mut command = home.command(&["build", "--no-cache", "--secret", flag, &context]);
    let header = "Basic eC1hY2Nlc3MtdG9rZW46c3dvcmRmaXNo";
    assert!(command.env("HEADER", header).output().unwrap().status.success());
    let found = std::process::Command::new("grep")
        .args(["-rlE", "swordfish|eC1hY2Nlc3MtdG9rZW46c3dvcmRmaXNo"])
        .arg(home.store())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn what_goes_wrong_is_explained() {
    let (home, server) = world();
    let repository = Repository::new(&home, "a");
    let commit = repository.write("dir/file", "x\n").commit();
    let url = repository.url(&server);
    let add = |reference: &str| {
        failure(&home, &url, &format!("FROM base\nADD REPO{reference} /src\n")).replace(&commit, "COMMIT")
    };
    insta::assert_snapshot!(add("#nowhere"), @"
    exit 1
    error: `REPO` has no branch or tag `nowhere`
     --> Dockerfile:2:1
    2 | ADD REPO#nowhere /src
      | ^

    ERROR: `REPO` has no branch or tag `nowhere`
    ");
    assert!(add("#0123456").contains("`REPO` has no branch or tag `0123456`"));
    insta::assert_snapshot!(add("#main:nowhere"), @"
    exit 1
    error: `REPO` has no directory `nowhere`
     --> Dockerfile:2:1
    2 | ADD REPO#main:nowhere /src
      | ^

    ERROR: `REPO` has no directory `nowhere`
    ");
    insta::assert_snapshot!(add("#main:dir/file"), @"
    exit 1
    error: `REPO` has no directory `dir/file`
     --> Dockerfile:2:1
    2 | ADD REPO#main:dir/file /src
      | ^

    ERROR: `REPO` has no directory `dir/file`
    ");
    insta::assert_snapshot!(add(&format!("#{}", "0".repeat(40))), @"
    exit 1
    error: `REPO` has no commit 0000000000000000000000000000000000000000
     --> Dockerfile:2:1
    2 | ADD REPO#0000000000000000000000000000000000000000 /src
      | ^

    ERROR: `REPO` has no commit 0000000000000000000000000000000000000000
    ");
    insta::assert_snapshot!(add("?checksum=0123456#main"), @"
    exit 1
    error: `REPO` has commit COMMIT, expected 0123456
     --> Dockerfile:2:1
    2 | ADD REPO?checksum=0123456#main /src
      | ^

    ERROR: `REPO` has commit COMMIT, expected 0123456
    ");
    let missing = url.replace("/a.git", "/missing.git");
    insta::assert_snapshot!(failure(&home, &missing, "FROM base\nADD REPO /src\n"), @"
    exit 1
    error: `REPO` cannot be read: repository 'REPO/' not found
     --> Dockerfile:2:1
    2 | ADD REPO /src
      | ^

    ERROR: `REPO` cannot be read: repository 'REPO/' not found
    hint: if it is private, give the build a token: `--secret id=GIT_AUTH_TOKEN,env=VARIABLE`
    ");
    Repository::new(&home, "empty");
    let empty = url.replace("/a.git", "/empty.git");
    insta::assert_snapshot!(failure(&home, &empty, "FROM base\nADD REPO /src\n"), @"
    exit 1
    error: `REPO` has no commit yet
     --> Dockerfile:2:1
    2 | ADD REPO /src
      | ^

    ERROR: `REPO` has no commit yet
    ");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = format!("http://{nobody}/a.git");
    let refused = failure(&home, &refused, "FROM base\nADD REPO /src\n");
    assert!(refused.starts_with("exit 69\nerror: cannot reach `REPO`"), "{refused}");

    let context = home.context(&format!("FROM base\nADD {url} /src\n"), &[]);
    let output =
        home.command(&["build", "--progress=quiet", &context]).env("PATH", "/nowhere").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).replace(&url, "REPO");
    insta::assert_snapshot!(error.lines().last().unwrap(), @"hint: install it, for example with `apt install git`");
    assert_eq!(fs::read_dir(home.store().join("staging")).map_or(0, Iterator::count), 0);
}
