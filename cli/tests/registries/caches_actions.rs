//! Caches in the cache service of GitHub Actions, of which there is a stand-in.

use crate::caches_objects::{ALL_HIT, Builder, build, round_trip, sorted};
use crate::object_server::{ObjectServer, throttled};

/// A token as the service gives them: which branches may be read (1) and written (2). The stand-in looks at the end.
pub(crate) fn token(branches: &[(&str, u32)], end: &str) -> String {
    let branches = branches
        .iter()
        .map(|(name, permission)| format!(r#"{{\"Scope\":\"refs/{name}\",\"Permission\":{permission}}}"#));
    let claims = format!(r#"{{"ac":"[{}]"}}"#, branches.collect::<Vec<_>>().join(","));
    let encoded = crate::support::check(std::process::Command::new("sh").args([
        "-c",
        "printf %s \"$1\" | basenc --base64url -w0",
        "-",
        &claims,
    ]));
    format!("x.{}.{end}", encoded.trim_end_matches('='))
}

fn cache(authority: &str, token: &str) -> String {
    format!("type=gha,url_v2=http://{authority}/,token={token}")
}

#[test]
fn a_branch_finds_what_it_has_written() {
    let server = ObjectServer::stand_in();
    round_trip(&cache(&server.authority, &token(&[("heads/main", 3)], "main")));
}

#[test]
fn a_pull_request_reads_what_the_main_branch_has_and_writes_its_own() {
    let (server, builder) = (ObjectServer::stand_in(), Builder::new());
    let main = cache(&server.authority, &token(&[("heads/main", 3)], "main"));
    let pull = cache(&server.authority, &token(&[("heads/main", 1), ("pull/1/merge", 3)], "pull"));
    let export = |cache: &str| format!("{cache},mode=max,ignore-error=false");
    build(&builder.home, "one\n", &["--cache-to", &export(&main)]);
    let (_, log) = builder.fresh("one\n", &["--cache-from", &pull]);
    assert_eq!(sorted(&log), ALL_HIT);
    let (_, log) = builder.fresh("two\n", &["--cache-from", &pull, "--cache-to", &export(&pull)]);
    assert!(log.contains("run [4/5]"), "{log}");
    let (_, log) = builder.fresh("two\n", &["--cache-from", &pull]);
    assert_eq!(sorted(&log), ALL_HIT);
    let (_, log) = builder.fresh("two\n", &["--cache-from", &main]);
    assert!(log.contains("run [4/5]"), "the main branch finds nothing of the pull request: {log}");
}

#[test]
fn a_service_that_has_too_much_to_do_is_waited_for_and_one_that_refuses_is_a_miss() {
    let (server, builder) = (ObjectServer::stand_in(), Builder::new());
    let main = token(&[("heads/main", 3)], "main");
    let slow = cache(&throttled(&server.authority), &main);
    let context = builder.home.context("FROM base\nRUN echo 1 > /f\n", &[]);
    let flags = ["--cache-to", &format!("{slow},ignore-error=false"), &context];
    builder.home.ok(&[&["build", "-q"], &flags[..]].concat());
    let refused = cache(&server.authority, "x.y.other");
    let context = builder.home.context("FROM base\nRUN echo 2 > /f\n", &[]);
    let output = builder.home.run(&["build", "--progress=plain", "--cache-from", &refused, &context]);
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("ERROR: the server answers GetCacheEntryDownloadURL with status 401"), "{shown}");
}
