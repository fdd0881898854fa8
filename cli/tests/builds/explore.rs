//! `image explore`: what each layer added, changed and wasted.

use std::fs;

use serde_json::Value;

use crate::support::Home;

const DOCKERFILE: &str = "FROM scratch
COPY big /data/big
COPY small /data/small
COPY other /data/big
FROM base
COPY --from=0 /data /data
RUN echo more >> /data/small && rm -r /old && mkdir /data/'<b>' && echo x > /data/'<b>'/x
";

fn build(home: &Home) {
    let (big, other) = ("b".repeat(100_000), "o".repeat(50_000));
    let context = home.context(DOCKERFILE, &[("big", &big), ("small", "small\n"), ("other", &other)]);
    home.ok(&["build", "-q", "-t", "app", &context]);
}

#[test]
fn a_tree_shows_what_layers_did() {
    let home = Home::new();
    build(&home);
    let text = home.ok(&["image", "explore", "--all", "app"]);
    // The base has what the machine's busybox is.
    let of_build: Vec<_> = text.lines().skip_while(|line| !line.starts_with("2 ")).collect();
    insta::assert_snapshot!(of_build.join("\n"), @"
    2 COPY /data /data # buildkit
      3 added, 0 changed, 0 removed: 50.01kB
      └─ + data/  50.01kB
         ├─ + big  50.00kB
         └─ + small  6B

    3 RUN echo more >> /data/small && rm -r /old && mkdir /data/'<b>' && echo x > /data/'<b>'/x # buildkit
      2 added, 1 changed, 1 removed: 13B, hides 10B
      ├─   data/  13B, hides 6B
      │  ├─ ~ small  11B, hides 6B
      │  └─ + <b>/  2B
      │     └─ + x  2B
      └─ - old  0B, hides 4B
    ");
    let short = home.ok(&["image", "explore", "app"]);
    assert!(short.lines().count() < text.lines().count() && short.contains("… "), "{short}");
}

#[test]
fn programs_get_every_path() {
    let home = Home::new();
    build(&home);
    let json: Value =
        serde_json::from_str(&home.ok(&["image", "explore", "--format", "json", "app"])).unwrap();
    assert_eq!(json["Image"].as_str().unwrap(), home.ok(&["inspect", "--format", "{{.Id}}", "app"]).trim());
    let last = &json["Layers"][2];
    let files: Vec<_> = last["Files"].as_array().unwrap().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(files.join("\n"), @r#"
    {"Change":"added","Path":"/data/<b>","Size":0,"Wasted":0}
    {"Change":"added","Path":"/data/<b>/x","Size":2,"Wasted":0}
    {"Change":"changed","Path":"/data/small","Size":11,"Wasted":6}
    {"Change":"removed","Path":"/old","Size":0,"Wasted":4}
    "#);
    assert_eq!(json["Wasted"], 10);
}

#[test]
fn a_page_is_whole_and_harmless() {
    let home = Home::new();
    build(&home);
    let page = home.path("app.html");
    home.ok(&["image", "explore", "--html", page.to_str().unwrap(), "app"]);
    let page = fs::read_to_string(page).unwrap();
    for text in ["<!DOCTYPE html>", "</html>", "data/", "&lt;b&gt;/", "old/"] {
        assert!(page.contains(text), "{text}");
    }
    // It loads nothing, and what an image has in it is text.
    assert!(!page.contains("<b>/") && !page.contains("http") && !page.contains("<script"), "{page}");
    let (code, error) = home.fails(&["image", "explore", "nothing"]);
    assert_eq!(code, 1, "{error}");
}
