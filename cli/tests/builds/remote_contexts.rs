//! Build contexts that are elsewhere: tars and Dockerfiles of web servers, git repositories, and stages.

use std::fs;
use std::process::Command;

use crate::git_server::Repository;
use crate::server::Server;
use crate::support::{Home, check};

const DOCKERFILE: &str = "FROM base\nCOPY . /ctx\nRUN cat /ctx/dir/a\n";

fn world() -> (Home, Server) {
    let home = Home::new();
    let server = Server::new(&home.path("served"));
    (home, server)
}

/// What a failing build says.
fn failure(home: &Home, server: &Server, arguments: &[&str]) -> String {
    let (code, error) = home.fails(&[&["build", "--progress=quiet"], arguments].concat());
    format!("exit {code}\n{}", error.trim_end().replace(&server.url(""), "URL/"))
}

#[test]
fn a_tar_of_a_web_server() {
    let (home, server) = world();
    home.context(
        DOCKERFILE,
        &[("dir/a", "hello\n"), (".dockerignore", "dir\n"), ("sub/Other", "FROM base\nCOPY sub/Other /\n")],
    );
    let pack = |flags: &[&str]| {
        let mut command = Command::new("tar");
        command
            .args(["--owner=1234", "--sort=name"])
            .args(flags)
            .arg("-cf")
            .arg(home.path("served/context.tar"));
        check(command.arg("-C").arg(home.path("context")).arg("."));
    };
    for flags in [&["--gzip"][..], &["--zstd"], &[]] {
        pack(flags);
        home.log(&[&server.url("etag/context.tar")]);
    }
    server.requests();
    insta::assert_snapshot!(home.log(&["-t", "image", &server.url("etag/context.tar")]), @"
    hit [2/3] COPY . /ctx
    hit [3/3] RUN cat /ctx/dir/a
    ");
    assert_eq!(server.requests(), ["GET /etag/context.tar 304"]);
    let listing = home.unpack("image").listing();
    let owned: Vec<_> = listing.lines().filter(|line| line.contains("ctx/dir")).collect();
    insta::assert_snapshot!(owned.join("\n"), @r"
    0644 0:0     ctx/Dockerfile: FROM base\nCOPY . /ctx\nRUN cat /ctx/dir/a
    0755 0:0     ctx/dir/
    0644 0:0     ctx/dir/a: hello
    ");
    home.log(&["-f", "sub/Other", &server.url("etag/context.tar")]);
    let output =
        home.run_with(b"FROM base\nCOPY dir/a /\n", &["build", "-f", "-", &server.url("etag/context.tar")]);
    assert!(output.status.success());
    assert_eq!(
        home.ok(&["build", "--check", &server.url("etag/context.tar")]),
        "Check complete, no warnings found.\n"
    );
    fs::write(home.path("context/dir/a"), "changed\n").unwrap();
    pack(&[]);
    insta::assert_snapshot!(home.log(&[&server.url("etag/context.tar")]), @"
    run [2/3] COPY . /ctx
    run [3/3] RUN cat /ctx/dir/a
    ");
}

#[test]
fn a_dockerfile_of_a_web_server() {
    let (home, server) = world();
    server.write("anything.txt", "FROM base\nCOPY context /copied\nRUN cat /copied\n");
    insta::assert_snapshot!(home.log(&[&server.url("files/anything.txt")]), @"
    run [2/3] COPY context /copied
    run [3/3] RUN cat /copied
    ");
    server.write("wrong", "FROM base\nRUNN x\n");
    insta::assert_snapshot!(failure(&home, &server, &[&server.url("files/wrong")]), @"
    exit 1
    error: unknown instruction `RUNN`
     --> context:2:1
    2 | RUNN x
      | ^^^^ help: did you mean `RUN`?

    ERROR: the Dockerfile has 1 error
    ");
    insta::assert_snapshot!(failure(&home, &server, &[&server.url("status/404")]), @"
    exit 1
    ERROR: `URL/status/404` answers 404 Not Found
    ");
    insta::assert_snapshot!(failure(&home, &server, &[&server.url("status/500")]), @"
    exit 69
    ERROR: `URL/status/500` answers 500 Internal Server Error
    ");
}

#[test]
fn a_dockerfile_of_a_web_server_with_files_from_here() {
    let (home, server) = world();
    let context = home.context("FROM nowhere\n", &[("a", "hello\n"), (".dockerignore", "b\n"), ("b", "x\n")]);
    server.write("Other", "FROM base\nCOPY . /copied\nRUN cat /copied/a && ! cat /copied/b\n");
    let url = server.url("etag/Other");
    insta::assert_snapshot!(home.log(&["-f", &url, &context]), @"
    run [2/3] COPY . /copied
    run [3/3] RUN cat /copied/a && ! cat /copied/b
    ");
    server.requests();
    home.log(&["-f", &url, &context]);
    assert_eq!(server.requests(), ["GET /etag/Other 304"]);
    assert_eq!(home.ok(&["build", "--check", "-f", &url, &context]), "Check complete, no warnings found.\n");
    assert!(home.ok(&["graph", "-f", &url, &context]).contains("COPY . /copied"));
    server.write("Wrong", "FROM base\nRUNN x\n");
    let wrong = ["-f", &server.url("etag/Wrong"), &context];
    insta::assert_snapshot!(failure(&home, &server, &wrong), @"
    exit 1
    error: unknown instruction `RUNN`
     --> Dockerfile:2:1
    2 | RUNN x
      | ^^^^ help: did you mean `RUN`?

    ERROR: the Dockerfile has 1 error
    ");
    insta::assert_snapshot!(failure(&home, &server, &["-f", &server.url("status/404"), &context]), @"
    exit 1
    ERROR: `URL/status/404` answers 404 Not Found
    ");
    insta::assert_snapshot!(failure(&home, &server, &["ftp://host/a"]), @"
    exit 1
    ERROR: build context `ftp://host/a` is not supported
    hint: pass a directory, or the URL of a file or a git repository
    ");
}

#[test]
fn a_repository() {
    let (home, server) = world();
    let repository = Repository::new(&home, "a");
    let nested = DOCKERFILE.replace("FROM base", "FROM base\nRUN test ! -e /ctx/.git");
    repository.write("Dockerfile", DOCKERFILE).write("dir/a", "hello\n").write(".dockerignore", "dir\n");
    repository.write("nested/Dockerfile", &nested).write("nested/dir/a", "nested\n");
    let commit = repository.commit();
    let url = repository.url(&server);
    home.log(&["-t", "image", &url]);
    server.requests();
    insta::assert_snapshot!(home.log(&[&format!("{url}#main")]), @"
    hit [2/3] COPY . /ctx
    hit [3/3] RUN cat /ctx/dir/a
    ");
    insta::assert_snapshot!(server.requests().join("\n"), @"
    GET /git/a.git/info/refs?service=git-upload-pack 200
    POST /git/a.git/git-upload-pack 200
    ");
    insta::assert_snapshot!(home.log(&[&format!("{url}#{commit}")]), @"
    hit [2/3] COPY . /ctx
    hit [3/3] RUN cat /ctx/dir/a
    ");
    assert_eq!(server.requests(), [""; 0]);
    home.log(&[&format!("{url}#:nested")]);
    home.log(&["-f", "nested/Dockerfile", &url]);
    let keeps = home.run_with(
        b"FROM base\nCOPY .git/HEAD /\n",
        &["build", "-f", "-", "--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", &url],
    );
    assert!(keeps.status.success(), "{}", String::from_utf8_lossy(&keeps.stderr));
    let why = home.ok(&["why"]);
    assert!(why.contains(&format!(" of {url}, ")), "{why}");
    insta::assert_snapshot!(failure(&home, &server, &[&format!("{url}#nowhere")]), @"
    exit 1
    ERROR: `URL/git/a.git` has no branch or tag `nowhere`
    ");
    insta::assert_snapshot!(failure(&home, &server, &[&format!("{url}#main:../x")]), @"
    exit 1
    ERROR: the subdirectory `../x` leads out of the repository
    ");
    // A directory of that name goes first.
    let directory = home.path("github.com/me/a");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("Dockerfile"), "FROM base\nRUN echo local\n").unwrap();
    insta::assert_snapshot!(home.log(&["github.com/me/a"]), @"run [2/2] RUN echo local");
}

#[test]
fn named_contexts_are_repositories_files_and_stages() {
    let (home, server) = world();
    let repository = Repository::new(&home, "a");
    repository.write("src/main", "main\n").commit();
    server.write("tool", "tool\n");
    let dockerfile = "FROM base AS fake
RUN echo fake > /which
FROM base AS real
RUN echo real > /which
FROM code
COPY --from=tool /context /tool
COPY --from=real /which /which
";
    let context = home.context(dockerfile, &[]);
    let code = format!("code={}#main:src", repository.url(&server));
    let tool = format!("tool={}", server.url("etag/tool"));
    let flags = [
        "-t",
        "image",
        "--build-context",
        &code,
        "--build-context",
        &tool,
        "--build-context",
        "real=target:fake",
    ];
    // They come at the same time.
    let log = home.log(&[&flags[..], &[&context]].concat()).replace(&server.url(""), "URL/");
    let mut lines: Vec<_> = log.lines().collect();
    lines.sort_unstable();
    insta::assert_snapshot!(lines.join("\n"), @"
    run [context code] URL/git/a.git
    run [context tool] URL/etag/tool
    run [fake 2/2] RUN echo fake > /which
    run [stage-2 2/3] COPY --from=tool /context /tool
    run [stage-2 3/3] COPY --from=real /which /which
    ");
    insta::assert_snapshot!(home.unpack("image").listing(), @"
    0644 0:0     main: main
    0600 0:0     tool: tool
    0644 0:0     which: fake
    ");
    assert!(home.ok(&["history", "image"]).contains("FROM code"));
    insta::assert_snapshot!(failure(&home, &server, &["--build-context", "base=target:real", &context]), @"
    exit 1
    error: the context `base` is the stage `real`, which is not in front of this one
     --> Dockerfile:3:6
    3 | FROM base AS real
      |      ^^^^

    ERROR: the Dockerfile has 1 error
    ");
}

#[test]
fn a_layout_that_skopeo_has_written() {
    let (home, server) = world();
    let archive = home.path("base-image.tar");
    home.ok(&["save", "-o", archive.to_str().unwrap(), "base"]);
    let layout = home.path("oci");
    for tag in ["one", "two"] {
        let to = format!("oci:{}:{tag}", layout.display());
        let from = format!("docker-archive:{}", archive.display());
        check(Command::new("skopeo").args(["copy", "--insecure-policy", "-q", &from, &to]));
    }
    let index = fs::read_to_string(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    // Nothing of the image is in this store.
    let fresh = Home::without_base();
    let context = fresh.context("FROM image\nRUN echo hello\nCOPY --from=image /etc/passwd /copied\n", &[]);
    let build = |name: &str| {
        let flag = format!("image=oci-layout://{}{name}", layout.display());
        fresh.log(&["--build-context", &flag, &context])
    };
    insta::assert_snapshot!(build(":one"), @"
    run [context image] OCI load from client
    run [stage-0 2/3] RUN echo hello
    run [stage-0 3/3] COPY --from=image /etc/passwd /copied
    ");
    insta::assert_snapshot!(build(&format!("@{digest}")), @"
    run [context image] OCI load from client
    hit [stage-0 2/3] RUN echo hello
    hit [stage-0 3/3] COPY --from=image /etc/passwd /copied
    ");
    assert_eq!(fresh.ok(&["images", "-q"]).lines().count(), 1, "only what was built");
    let fails = |name: &str| {
        let flag = format!("image=oci-layout://{}{name}", layout.display());
        failure(&fresh, &server, &["--build-context", &flag, &context])
    };
    insta::assert_snapshot!(fails(""), @"
    exit 1
    ERROR: the build context `image` cannot be used: the layout has no image `latest`, only one, two
    ");
    insta::assert_snapshot!(fails(":three"), @"
    exit 1
    ERROR: the build context `image` cannot be used: the layout has no image `three`, only one, two
    ");
    insta::assert_snapshot!(fails("/blobs"), @"
    exit 1
    ERROR: the build context `image` cannot be used: not an OCI layout: it has no `index.json`
    ");
    let blob = layout.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap());
    let manifest: serde_json::Value = serde_json::from_str(&fs::read_to_string(&blob).unwrap()).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let layer = layout.join("blobs/sha256").join(layer);
    let size = fs::metadata(&layer).unwrap().len();
    fs::write(&layer, vec![0; usize::try_from(size).unwrap()]).unwrap();
    let other = Home::without_base();
    let flag = format!("image=oci-layout://{}:one", layout.display());
    let (code, error) = other.fails(&["build", "--progress=quiet", "--build-context", &flag, &context]);
    assert_eq!(code, 1);
    assert!(error.contains("cannot be used"), "{error}");
}
