//! How a build went: as JSON, as a page in a real browser, as a trace.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::World;

const DOCKERFILE: &str = "FROM bb AS one\nCOPY a /\nRUN cat /a > /b # \"<&>'\nFROM bb AS two\nRUN echo 2 > /two\n\
    FROM bb AS unused\nRUN echo unused\nFROM one\nCOPY --from=two /two /\nRUN sleep 0.1\n";

fn world() -> World {
    let world = World::new();
    world.context("Dockerfile", DOCKERFILE).context("a", "1");
    world
}

fn json(world: &World, name: &str) -> Value {
    serde_json::from_slice(&fs::read(world.path(name)).unwrap()).unwrap()
}

/// The step whose name has this in it.
fn step<'a>(report: &'a Value, name: &str) -> &'a Value {
    let steps = report["steps"].as_array().unwrap();
    let has_name = |step: &&Value| step["name"].as_str().unwrap().contains(name);
    steps.iter().find(has_name).unwrap_or_else(|| panic!("no step {name}: {report:#}"))
}

fn us(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn every_step_is_accounted_for() {
    let world = world();
    world.ok(["build", "-q", "-t", "demo", "--report", "first.json", "context"]);
    let report = json(&world, "first.json");
    assert_eq!(report["version"], 1);
    assert_eq!(report["image"].as_str(), Some(world.ok(["images", "-q", "--no-trunc", "demo"]).trim()));
    let slept = step(&report, "RUN sleep");
    assert_eq!(slept["result"], "ran");
    assert!(us(&slept["run_us"]) >= 100_000, "{slept}");
    assert!(us(&slept["ended_us"]) - us(&slept["began_us"]) >= us(&slept["run_us"]), "{slept}");
    assert!(us(&slept["usage"]["memory_peak_bytes"]) > 0, "{slept}");
    assert!(us(&slept["usage"]["cpu_us"]) > 0, "{slept}");
    assert_eq!(slept["waited_for"], step(&report, "COPY --from=two")["number"]);
    assert_eq!(slept["reasons"][0]["kind"], "new");
    let copied = step(&report, "COPY a /");
    assert_eq!(copied["layer_bytes"], 1);
    assert!(us(&copied["hash_us"]) > 0 && us(&copied["commit_us"]) > 0, "{copied}");
    assert_eq!(copied["usage"], Value::Null);
    // A stage that the target does not need is no part of the graph.
    assert!(!report.to_string().contains("RUN echo unused"), "{report}");
    // The last step waited for all that is on the path, from the last on.
    let path: Vec<u64> = report["critical_path"].as_array().unwrap().iter().map(us).collect();
    assert_eq!(path.last(), Some(&us(&step(&report, "exporting to image")["number"])));
    assert!(path.contains(&us(&slept["number"])));

    world.context("a", "2");
    world.ok(["build", "-q", "--report", "second.json", "context"]);
    let report = json(&world, "second.json");
    let copied = step(&report, "COPY a /");
    assert_eq!(copied["result"], "ran");
    assert_eq!(copied["reasons"][0]["text"], "`a` changed (content)");
    let cached = step(&report, "RUN echo 2");
    assert_eq!(cached["result"], "cached");
    assert!(cached["age_s"].is_u64() && cached["reasons"].as_array().unwrap().is_empty(), "{cached}");
}

#[test]
fn a_build_that_fails_is_reported_too() {
    let world = World::new();
    world.context("Dockerfile", "FROM bb\nRUN exit 3\nRUN true\n");
    let ran =
        world.run(["build", "--report=report.json", "--report=page.html", "--trace=trace.json", "context"]);
    assert_eq!(ran.code, 1, "{ran}");
    let report = json(&world, "report.json");
    assert_eq!(report["image"], Value::Null);
    assert!(report["error"].as_str().unwrap().contains("exit code: 3"), "{report}");
    assert_eq!(step(&report, "RUN exit 3")["result"], "failed");
    assert_eq!(step(&report, "RUN true")["result"], "not-needed");
    assert!(fs::read_to_string(world.path("page.html")).unwrap().contains("exit code: 3"));
    // There are no steps when the Dockerfile is none.
    world.context("Dockerfile", "FORM bb\n");
    world.run(["build", "--report=none.json", "context"]);
    assert!(!world.path("none.json").exists());
}

#[test]
fn a_browser_shows_the_page() {
    let world = world();
    world.ok(["build", "-q", "-t", "demo", "--report", "page.html", "context"]);
    let dom = chromium(&world, &["--dump-dom"]);
    // Set by the page's own script, from the data in the page.
    assert!(dom.contains("<html lang=\"en\" data-steps=\"11\">"), "{dom}");
    for name in ["[one 3/3] RUN cat /a &gt; /b # \"&lt;&amp;&gt;'", "Critical path", "Biggest layers"] {
        assert!(dom.contains(name), "no {name} in {dom}");
    }
    assert_eq!(dom.matches("<svg ").count(), 2, "{dom}");
    assert!(!dom.contains("http://") || dom.matches("http://").count() == dom.matches("www.w3.org").count());
    let picture = world.path("page.png");
    chromium(&world, &["--window-size=1200,1600", &format!("--screenshot={}", picture.display())]);
    let png = fs::read(picture).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    assert!(png.len() > 20_000, "an empty page is smaller: {}", png.len());
}

/// What Debian's Chromium says of the page.
fn chromium(world: &World, arguments: &[&str]) -> String {
    let profile = format!("--user-data-dir={}", world.path("chromium").display());
    let flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        &profile,
    ];
    let mut command = Command::new("chromium");
    command.env("HOME", world.path("")).args(flags).args(arguments);
    let output = command.arg(format!("file://{}", world.path("page.html").display())).output();
    let output = output.expect("Debian's package chromium");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_trace_has_an_event_for_each_step() {
    let world = world();
    world.ok(["build", "-q", "--trace", "trace.json", "--report", "report.json", "context"]);
    let (trace, report) = (json(&world, "trace.json"), json(&world, "report.json"));
    let events = trace["traceEvents"].as_array().unwrap();
    for step in report["steps"].as_array().unwrap().iter().filter(|step| step["began_us"].is_u64()) {
        let is_it = |event: &&Value| event["ph"] == "X" && event["args"]["number"] == step["number"];
        let event = events.iter().find(is_it).unwrap_or_else(|| panic!("no event for {step}"));
        assert_eq!((&event["name"], &event["ts"]), (&step["name"], &step["began_us"]));
    }
    // Steps on one row follow one another.
    let mut rows = std::collections::BTreeMap::<u64, u64>::new();
    let mut steps: Vec<_> = events.iter().filter(|event| event["args"]["number"].is_u64()).collect();
    steps.sort_by_key(|event| (us(&event["ts"]), us(&event["args"]["number"])));
    for event in steps {
        let free = rows.entry(us(&event["tid"])).or_default();
        assert!(us(&event["ts"]) >= *free, "{event} begins before the one before it ends");
        *free = us(&event["ts"]) + us(&event["dur"]);
    }
    assert!(events.iter().any(|event| event["ph"] == "s"), "an arrow begins");
}
