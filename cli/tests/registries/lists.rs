//! `manifest`.

use serde_json::Value;

use crate::server::Registry;
use crate::support::Home;

#[test]
fn a_list_joins_the_images_of_several_platforms() {
    let (home, registry) = (Home::without_base(), Registry::start());
    for tag in ["amd64", "arm64"] {
        let context = home.context(&format!("FROM scratch\nCOPY f /f\nLABEL for={tag}\n"), &[("f", tag)]);
        let (platform, name) = (format!("linux/{tag}"), registry.name(&format!("app:{tag}")));
        home.ok(&["build", "-q", "--push", "--platform", &platform, "-t", &name, &context]);
    }
    let (list, amd, arm) = (registry.name("app:1"), registry.name("app:amd64"), registry.name("app:arm64"));
    let (code, error) = home.fails(&["manifest", "push", &list]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(registry.settled(&error), @"ERROR: no such manifest list: [registry]/app:1; make it with `manifest create`");
    assert_eq!(
        home.ok(&["manifest", "create", &list, &amd, &arm]),
        format!("Created manifest list {list}\n")
    );
    let digest = home.ok(&["manifest", "push", &list]);
    assert_eq!(registry.inspect_with_skopeo("app:1", &["--format", "{{.Digest}}"]), digest);
    let shown: Value = serde_json::from_str(&home.ok(&["manifest", "inspect", &list])).unwrap();
    let platforms: Vec<_> = shown["manifests"].as_array().unwrap().iter().map(|it| &it["platform"]).collect();
    assert_eq!(platforms[0]["architecture"], "amd64");
    assert_eq!(platforms[1]["architecture"], "arm64");
    for tag in ["arm64", "amd64"] {
        let other = Home::without_base();
        other.ok(&["pull", "-q", "--platform", &format!("linux/{tag}"), &list]);
        assert_eq!(other.ok(&["inspect", "--format", "{{.Config.Labels.for}}", &list]), format!("{tag}\n"));
    }
    let (code, error) = home.fails(&["manifest", "create", &registry.name("other:1"), &amd]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(registry.settled(&error), @"ERROR: `[registry]/app:amd64` is not in the repository `[registry]/other` of the list: push the image there as well");
}
