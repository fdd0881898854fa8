//! `--cache auto` in jobs of CI systems, and the summary that they show.

use std::fs;
use std::process::Output;

use crate::caches_actions::token;
use crate::object_server::ObjectServer;
use crate::server::Registry;
use crate::support::{Home, log};

const DOCKERFILE: &str = "FROM base\nRUN sleep 0.3; echo '<b>|`x`' > /a\nCOPY f /f\nRUN cat /a /f > /b\n";

/// A build of a job in a fresh store, with these variables.
fn job(base: &str, text: &str, variables: &[(&str, &str)], flags: &[&str]) -> (Home, Output) {
    let home = Home::without_base();
    home.ok(&["load", "-q", "-i", base]);
    let context = home.context(DOCKERFILE, &[("f", text)]);
    let arguments =
        [&["build", "--progress=plain", "--cache=auto", "-t", "app"], flags, &[&context]].concat();
    let mut command = home.command(&arguments);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    (home, output)
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn base() -> (Home, String) {
    let home = Home::new();
    let base = home.path("base-image.tar").to_str().unwrap().to_owned();
    home.ok(&["save", "-o", &base, "base"]);
    (home, base)
}

#[test]
fn a_job_of_github_uses_its_service_and_its_summary() {
    let (server, (home, base)) = (ObjectServer::stand_in(), base());
    let (url, token) = (format!("http://{}/", server.authority), token(&[("heads/main", 3)], "main"));
    let summary = home.path("summary.md");
    fs::write(&summary, "of a step before\n").unwrap();
    let variables = [
        ("GITHUB_ACTIONS", "true"),
        ("ACTIONS_RESULTS_URL", url.as_str()),
        ("ACTIONS_RUNTIME_TOKEN", &token),
        ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap()),
    ];
    job(&base, "one\n", &variables, &[]);
    let (_, second) = job(&base, "two\n", &variables, &[]);
    insta::assert_snapshot!(log(&shown(&second)), @"
    hit [2/4] RUN sleep 0.3; echo '<b>|`x`' > /a
    run [3/4] COPY f /f
    run [4/4] RUN cat /a /f > /b
    ");
    let text = fs::read_to_string(&summary).unwrap();
    let title = "### docker.io/library/app:latest\n\n";
    let [before, first, second] = text.split(title).collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert_eq!(before, "of a step before\n");
    assert!(first.starts_with("0 of 3 steps were cached (0 %). The build took "), "{first}");
    assert!(first.contains(r"echo &#39;&lt;b&gt;\|\`x\`&#39; &gt; /a</code> | "), "{first}");
    assert!(second.starts_with("1 of 3 steps were cached (33 %). The build took "), "{second}");
    let saved = second.split_once("; steps from caches had taken ").unwrap().1;
    assert!(
        saved.starts_with(|c: char| c >= '3') || saved.split_once(" s ").is_some(),
        "the sleep: {second}"
    );
    assert!(second.contains("<code>\\[3/4\\] COPY f /f</code> | "), "{second}");
}

#[test]
fn a_job_of_gitlab_uses_the_registry_of_its_project() {
    let (registry, (home, base)) = (Registry::start(), base());
    let image = registry.name("group/app");
    let of = |branch| {
        [
            ("GITLAB_CI", "true"),
            ("CI_REGISTRY_IMAGE", &*image),
            ("CI_COMMIT_REF_NAME", branch),
            ("CI_DEFAULT_BRANCH", "main"),
        ]
    };
    job(&base, "one\n", &of("main"), &[]);
    let summary = home.path("summary.md");
    let flags = ["--summary", summary.to_str().unwrap()];
    let (_, other) = job(&base, "one\n", &of("Fix/1"), &flags);
    assert_eq!(log(&shown(&other)).matches("hit ").count(), 3, "{}", shown(&other));
    let text = fs::read_to_string(&summary).unwrap();
    assert!(text.contains("3 of 3 steps were cached (100 %)") && !text.contains("| Step |"), "{text}");
    for tag in ["main", "fix-1"] {
        assert!(
            registry.inspect_with_skopeo(&format!("group/app/cache:{tag}"), &["--raw"]).contains("slipway")
        );
    }
    // A cache that does not answer is no reason to fail, and is in the summary.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let variables = [("SLIPWAY_CACHE", &*format!("{closed}/c"))];
    job(&base, "one\n", &variables, &flags);
    let text = fs::read_to_string(&summary).unwrap();
    assert!(text.contains("**A cache was of no use:** importing cache manifest from"), "{text}");
}

#[test]
fn a_build_that_is_no_job_says_that_it_has_no_cache() {
    let (_home, base) = base();
    let (_, output) = job(&base, "one\n", &[], &[]);
    insta::assert_snapshot!(shown(&output).lines().next().unwrap(), @"no cache outside the store: this is no CI system that is known; SLIPWAY_CACHE can name a repository of a registry");
}
