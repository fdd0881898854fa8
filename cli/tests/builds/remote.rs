//! `ADD` of files from HTTP servers.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use crate::server::{Certificate, Server};
use crate::support::{Home, check, log};

/// Builds a Dockerfile with `URL` for the address of a server; what ran and what hit.
fn build(home: &Home, server: &Server, dockerfile: &str, flags: &[&str]) -> String {
    let context = home.context(&dockerfile.replace("URL/", &server.url("")), &[]);
    let log = home.log(&[flags, &[context.as_str()]].concat());
    log.replace(&server.url(""), "URL/")
}

/// Builds what must fail; what was said, without what differs from run to run.
fn failure(home: &Home, server: &Server, dockerfile: &str) -> String {
    let context = home.context(&dockerfile.replace("URL/", &server.url("")), &[]);
    let (code, error) = home.fails(&["build", "--progress=quiet", &context]);
    let error = error.replace(&server.url(""), "URL/").replace(&format!(":{}", server.port()), ":PORT");
    // How long the line below an address is depends on the port.
    let shortened = |line: &str| match line.strip_suffix('^') {
        Some(line) => format!("{}^", line.trim_end_matches('^')),
        None => line.trim_end().to_owned(),
    };
    let steady: Vec<_> = error.lines().map(shortened).collect();
    format!("exit {code}\n{}", steady.join("\n"))
}

fn world() -> (Home, Server) {
    let home = Home::new();
    let server = Server::new(&home.path("served"));
    (home, server)
}

#[test]
fn files_land_as_buildkit_has_them() {
    let (home, server) = world();
    server.write("a file", "hello\n");
    let archive = home.path("served/a.tar");
    check(
        Command::new("tar")
            .args(["--owner=7", "-cf"])
            .arg(&archive)
            .arg("-C")
            .arg(home.path("served"))
            .arg("a file"),
    );
    let dockerfile = "FROM base
ADD URL/files/a%20file?x=y /plain
ADD URL/files/a%20file URL/plain/a.tar /both/
ADD --chmod=755 --chown=app:app --link URL/etag/a%20file /changed/name
ADD --unpack URL/plain/a.tar /unpacked/
ADD --unpack=false URL/plain/a.tar /packed/
WORKDIR /work
ADD URL/redirect/3/a%20file .
";
    build(&home, &server, dockerfile, &["-t", "image"]);
    let unpacked = home.unpack("image");
    let listing = unpacked.listing();
    let lines: Vec<_> = listing
        .lines()
        .filter(|line| !["etc", "tmp", "old"].iter().any(|known| line[13..].starts_with(known)))
        .map(|line| line.split_once(".tar: ").map_or(line.to_owned(), |(name, _)| format!("{name}.tar: ...")))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @"
        0755 0:0     both/
        0600 0:0     both/a file: hello
        0600 0:0     both/a.tar: ...
        0755 100:200 changed/
        0755 100:200 changed/name: hello
        0755 0:0     packed/
        0600 0:0     packed/a.tar: ...
        0600 0:0     plain: hello
        0755 0:0     unpacked/
        0644 7:0     unpacked/a file: hello
        0755 0:0     work/
        0600 0:0     work/a file: hello
        ");
    // What the server tells, else the beginning of all time.
    assert_eq!(fs::metadata(unpacked.path("plain")).unwrap().mtime(), 1_600_000_000);
    assert_eq!(fs::metadata(unpacked.path("packed/a.tar")).unwrap().mtime(), 0);
}

#[test]
fn an_unchanged_file_costs_one_request() {
    let (home, server) = world();
    let dockerfile = "FROM base\nADD URL/files/dated URL/etag/tagged /d/\nRUN cat /d/*\n";
    server.write("dated", "1\n");
    server.write("tagged", "1\n");
    insta::assert_snapshot!(build(&home, &server, dockerfile, &[]), @"
    run [2/3] ADD URL/files/dated URL/etag/tagged /d/
    run [3/3] RUN cat /d/*
    ");
    insta::assert_snapshot!(server.requests().join("\n"), @"
    GET /etag/tagged 200
    GET /files/dated 200
    ");
    insta::assert_snapshot!(build(&home, &server, dockerfile, &[]), @"
    hit [2/3] ADD URL/files/dated URL/etag/tagged /d/
    hit [3/3] RUN cat /d/*
    ");
    insta::assert_snapshot!(server.requests().join("\n"), @"
    GET /etag/tagged 304
    GET /files/dated 304
    ");
    server.write("tagged", "2\n");
    insta::assert_snapshot!(build(&home, &server, dockerfile, &[]), @"
    run [2/3] ADD URL/files/dated URL/etag/tagged /d/
    run [3/3] RUN cat /d/*
    ");
    insta::assert_snapshot!(server.requests().join("\n"), @"
    GET /etag/tagged 200
    GET /files/dated 304
    ");
    // Back again: nothing but the file itself is fetched.
    server.write("tagged", "1\n");
    insta::assert_snapshot!(build(&home, &server, dockerfile, &[]), @"
    hit [2/3] ADD URL/files/dated URL/etag/tagged /d/
    hit [3/3] RUN cat /d/*
    ");
}

#[test]
fn without_anything_to_recognise_it_by_the_content_decides() {
    let (home, server) = world();
    let dockerfile = "FROM base\nADD URL/plain/a /a\nRUN cat /a\n";
    server.write("a", "1\n");
    build(&home, &server, dockerfile, &[]);
    insta::assert_snapshot!(build(&home, &server, dockerfile, &[]), @"
    hit [2/3] ADD URL/plain/a /a
    hit [3/3] RUN cat /a
    ");
    server.write("a", "2\n");
    insta::assert_snapshot!(build(&home, &server, dockerfile, &[]), @"
    run [2/3] ADD URL/plain/a /a
    run [3/3] RUN cat /a
    ");
    // The same file from elsewhere is the same file.
    let elsewhere = dockerfile.replace("URL/plain/a", "URL/etag/a");
    insta::assert_snapshot!(build(&home, &server, &elsewhere, &[]), @"
    hit [2/3] ADD URL/etag/a /a
    hit [3/3] RUN cat /a
    ");
    let why = home.ok(&["why"]).replace(&server.url(""), "URL/");
    insta::assert_snapshot!(why.split_once("\n\n").unwrap().1, @"
    1 source [1/3] FROM docker.io/library/base:latest
    2 source URL/plain/a
             - it moved from 98d2dba1a307 to 8f178e82c45a
    3 ran    [2/3] ADD URL/plain/a /a
             - what it reads changed: URL/plain/a
    4 ran    [3/3] RUN cat /a
             - the step before it changed: [2/3] ADD URL/plain/a /a
    ");
}

#[test]
fn a_checksum_says_which_file_it_is_and_asks_nobody() {
    let (home, server) = world();
    let path = server.write("a", "1\n");
    let sum = check(Command::new("sha256sum").arg(&path));
    let sum = sum.split(' ').next().unwrap();
    let dockerfile =
        format!("FROM base\nARG SUM={sum}\nADD --checksum=sha256:$SUM URL/plain/a /a\nRUN cat /a\n");
    build(&home, &server, &dockerfile, &[]);
    assert_eq!(server.requests(), ["GET /plain/a 200"]);
    insta::assert_snapshot!(build(&home, &server, &dockerfile, &[]).replace(sum, "SUM"), @"
    hit [2/3] ADD --checksum=sha256:SUM URL/plain/a /a
    hit [3/3] RUN cat /a
    ");
    assert_eq!(server.requests(), [""; 0]);
    // It is known from now on, wherever it is said to be.
    let gone = dockerfile.replace("plain/a", "nowhere/a");
    build(&home, &server, &gone, &[]);
    assert_eq!(server.requests(), [""; 0]);

    let wrong = dockerfile.replace(sum, &"0".repeat(64));
    insta::assert_snapshot!(failure(&home, &server, &wrong), @"
    exit 1
    error: `URL/plain/a` has the checksum sha256:4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865, expected sha256:0000000000000000000000000000000000000000000000000000000000000000
     --> Dockerfile:3:1
    3 | ADD --checksum=sha256:$SUM URL/plain/a /a
      | ^

    ERROR: `URL/plain/a` has the checksum sha256:4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865, expected sha256:0000000000000000000000000000000000000000000000000000000000000000
    hint: if the file is the right one, write `--checksum=sha256:4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865`
    ");
    // The server has another file now, under the name of a known one.
    server.write("a", "2\n");
    build(&home, &server, "FROM base\nADD URL/plain/a /a\n", &[]);
    build(&home, &server, &dockerfile, &[]);
    let fresh = Home::new();
    assert!(failure(&fresh, &server, &dockerfile).contains("has the checksum"));
    assert_eq!(fs::read_dir(fresh.store().join("layers")).unwrap().count(), 1, "only the base image's");
}

#[test]
fn a_url_without_a_name_takes_the_servers() {
    let (home, server) = world();
    server.write("a", "1\n");
    let dockerfile = "FROM base\nADD URL/named/a /from-url/\nADD URL/ /d/\nRUN ls /from-url /d\n";
    let (_, error) = home.fails(&["build", &home.context(&dockerfile.replace("URL/", &server.url("")), &[])]);
    assert!(error.contains("answers 404 Not Found"), "{error}");
    build(&home, &server, &dockerfile.replace("ADD URL/ /d/\n", "").replace("/d\n", "\n"), &["-t", "image"]);
    assert!(home.unpack("image").listing().contains("from-url/a: 1"));
}

#[test]
fn what_goes_wrong_is_explained() {
    let (home, server) = world();
    server.write("a", "1\n");
    let add = |path: &str| failure(&home, &server, &format!("FROM base\nADD URL/{path} /a\n"));
    insta::assert_snapshot!(add("status/404"), @"
    exit 1
    error: `URL/status/404` answers 404 Not Found
     --> Dockerfile:2:1
    2 | ADD URL/status/404 /a
      | ^

    ERROR: `URL/status/404` answers 404 Not Found
    ");
    insta::assert_snapshot!(add("status/503"), @"
    exit 69
    error: `URL/status/503` answers 503 Service Unavailable
     --> Dockerfile:2:1
    2 | ADD URL/status/503 /a
      | ^

    ERROR: `URL/status/503` answers 503 Service Unavailable
    ");
    insta::assert_snapshot!(add("short/a"), @"
    exit 69
    error: the connection to `URL/short/a` broke
     --> Dockerfile:2:1
    2 | ADD URL/short/a /a
      | ^

    ERROR: the connection to `URL/short/a` broke: error decoding response body: request or response body error: error reading a body from connection: end of file before message length reached
    ");
    insta::assert_snapshot!(add("redirect/11/a"), @"
    exit 69
    error: `URL/redirect/11/a` redirects more than 10 times
     --> Dockerfile:2:1
    2 | ADD URL/redirect/11/a /a
      | ^

    ERROR: `URL/redirect/11/a` redirects more than 10 times
    ");
    insta::assert_snapshot!(add("private/a"), @"
    exit 1
    error: `URL/private/a` answers 401 Unauthorized
     --> Dockerfile:2:1
    2 | ADD URL/private/a /a
      | ^

    ERROR: `URL/private/a` answers 401 Unauthorized
    ");
    // A port that somebody has, but nobody listens on.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    drop(silent);
    let refused = failure(&home, &server, &format!("FROM base\nADD http://{address}/a /a\n"));
    insta::assert_snapshot!(refused.replace(&address, "HOST:PORT"), @"
    exit 69
    error: cannot reach `http://HOST:PORT/a`
     --> Dockerfile:2:1
    2 | ADD http://HOST:PORT/a /a
      | ^

    ERROR: cannot reach `http://HOST:PORT/a`: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111)
    ");
    insta::assert_snapshot!(failure(&home, &server, "FROM base\nADD http://127.0.0.1:99999/a /a\n"), @"
    exit 1
    error: `http://127.0.0.1:99999/a` is not a valid URL
     --> Dockerfile:2:1
    2 | ADD http://127.0.0.1:99999/a /a
      | ^

    ERROR: `http://127.0.0.1:99999/a` is not a valid URL: builder error: invalid port number
    ");
    assert_eq!(home.staged(), [""; 0]);
}

#[test]
fn passwords_are_seen_by_the_server_alone() {
    let (home, server) = world();
    server.write("a", "1\n");
    let url = server.url("private/a").replace("http://", "http://me:swordfish@");
    let context = home.context(&format!("FROM base\nADD {url} /a\nRUN cat /a\n"), &[]);
    let output = home.run(&["build", "--progress=plain", "-t", "image", &context]);
    assert!(output.status.success());
    assert!(!String::from_utf8_lossy(&output.stderr).contains("swordfish"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("http://xxxxx:xxxxx@127.0.0.1"));
    assert!(!home.ok(&["history", "--no-trunc", "image"]).contains("swordfish"));
    assert!(!home.ok(&["graph", &context]).contains("swordfish"));
    let found = Command::new("grep").args(["-rl", "swordfish"]).arg(home.store()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn secrets_are_for_the_server_that_they_name() {
    let (home, server) = world();
    let other = Server::new(&home.path("other"));
    server.write("a", "1\n");
    other.write("a", "1\n");
    fs::write(home.path("token"), "swordfish\n").unwrap();
    fs::write(home.path("header"), "Basic bWU6c3dvcmRmaXNo").unwrap();
    let here = format!("127.0.0.1:{}", server.port());
    let token = format!("id=HTTP_AUTH_TOKEN_{here},src={}", home.path("token").display());
    let header = format!("id=HTTP_AUTH_HEADER_127.0.0.1,src={}", home.path("header").display());
    let add = |path: &str, secrets: &[&str]| {
        let context = home.context(&format!("FROM base\nADD {} /a\n", server.url(path)), &[]);
        let flags: Vec<_> = secrets.iter().flat_map(|secret| ["--secret", secret]).collect();
        home.run(&[&["build", "--progress=plain"], &flags[..], &[&context]].concat())
    };
    assert!(add("bearer/a", &[&token]).status.success());
    assert!(add("private/a", &[&header]).status.success());
    // What is for the port goes first.
    assert!(!add("private/a", &[&header, &token]).status.success());
    let refused = add(&format!("away/{}/bearer/a", other.port()), &[&token]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains("401 Unauthorized") && !error.contains("swordfish"), "{error}");
    assert_eq!(other.requests(), ["GET /bearer/a 401"]);
    let found = Command::new("grep").args(["-rl", "swordfish"]).arg(home.store()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn faults_that_pass_are_waited_for() {
    let (home, server) = world();
    server.write("a", "1\n");
    build(&home, &server, "FROM base\nADD URL/flaky/3/a /a\nRUN cat /a\n", &[]);
    insta::assert_snapshot!(server.requests().join("\n"), @"
    GET /flaky/3/a 200
    GET /flaky/3/a 200
    GET /flaky/3/a 503
    GET /flaky/3/a 503
    ");
    failure(&home, &server, "FROM base\nADD URL/flaky/4/a /a\n");
    assert_eq!(server.requests().len(), 4);
    failure(&home, &server, "FROM base\nADD URL/status/404 /a\n");
    assert_eq!(server.requests(), ["GET /status/404 404"]);
}

#[test]
fn tls_trusts_the_certificates_of_the_system() {
    let home = Home::new();
    let certificate = Certificate::new(&home.path(""));
    let server = Server::with_tls(&home.path("served"), &certificate);
    server.write("a", "1\n");
    let dockerfile = "FROM base\nADD URL/files/a /a\n";
    insta::assert_snapshot!(failure(&home, &server, dockerfile), @"
    exit 69
    error: cannot reach `URL/files/a`
     --> Dockerfile:2:1
    2 | ADD URL/files/a /a
      | ^

    ERROR: cannot reach `URL/files/a`: error sending request: client error (Connect): invalid peer certificate: UnknownIssuer
    ");
    let context = home.context(&dockerfile.replace("URL/", &server.url("")), &[]);
    let mut command = home.command(&["build", "-q", &context]);
    assert!(command.env("SSL_CERT_FILE", &certificate.certificate).status().unwrap().success());
}

#[test]
fn proxies_come_from_the_environment() {
    let (home, server) = world();
    server.write("a", "1\n");
    let context = home.context("FROM base\nADD http://files.example/a /a\nRUN cat /a\n", &[]);
    let build = |variables: &[(&str, &str)]| {
        let mut command = home.command(&["build", "--progress=plain", &context]);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let address = format!("127.0.0.1:{}", server.port());
    let (is_built, text) = build(&[("http_proxy", &address)]);
    assert!(is_built, "{text}");
    assert_eq!(server.requests(), ["GET http://files.example/a 200"]);
    assert_eq!(log(&text), "run [2/3] ADD http://files.example/a /a\nrun [3/3] RUN cat /a");
    let (is_built, _) = build(&[("HTTP_PROXY", &address), ("NO_PROXY", "files.example")]);
    assert!(!is_built);
    assert_eq!(server.requests(), [""; 0]);
}
