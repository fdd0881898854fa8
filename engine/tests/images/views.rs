//! What `inspect` and `history` show.

use engine::images::{history, inspect, short_id};

use crate::fixture::{Fixture, archive_of, docker_members, full_config, two_layers};

fn loaded() -> Fixture {
    let fixture = Fixture::new();
    let layers = two_layers();
    let members = docker_members(&full_config(&layers), &layers, &["app:1", "localhost:5000/app"]);
    fixture.load(&archive_of(&members)).unwrap();
    fixture
}

#[test]
fn inspect_has_dockers_fields_in_dockers_order() {
    let fixture = loaded();
    let mut inspection = inspect(&fixture.store, "app:1").unwrap();
    let data = inspection.graph_driver.data.as_mut().unwrap();
    for key in ["UpperDir", "LowerDir"] {
        assert!(std::path::Path::new(&data[key]).is_dir(), "{key}");
    }
    assert!(std::fs::exists(format!("{}/b", data["UpperDir"])).unwrap());
    assert!(std::fs::exists(format!("{}/etc/a", data["LowerDir"])).unwrap());
    data.values_mut().for_each(|path| *path = path.rsplit('/').next().unwrap().to_owned());
    insta::assert_snapshot!(serde_json::to_string_pretty(&inspection).unwrap());
}

#[test]
fn what_is_not_set_is_null_or_absent_as_in_docker() {
    let fixture = Fixture::new();
    let config = serde_json::json!({"architecture": "arm", "variant": "v7", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
    fixture.load(&archive_of(&docker_members(&config, &[], &["empty"]))).unwrap();
    let inspection = inspect(&fixture.store, "empty").unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&inspection).unwrap());
}

#[test]
fn history_is_newest_first_with_the_size_of_each_layer() {
    let fixture = loaded();
    let steps = history(&fixture.store, "app:1").unwrap();
    let lines: Vec<String> = steps
        .iter()
        .map(|step| {
            let id = step.id.as_ref().map_or("<missing>".to_owned(), short_id);
            let names: Vec<String> = step.references.iter().map(image::Reference::familiar).collect();
            format!(
                "{id} | {} | {} | {} | {} | {}",
                step.created_unix_s,
                step.created_by,
                step.size_bytes,
                step.comment,
                names.join(" ")
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_history_of_too_many_layers_is_damaged() {
    let fixture = Fixture::new();
    let layers = two_layers();
    let mut config = full_config(&layers);
    config["history"][1]["empty_layer"] = false.into();
    fixture.load(&archive_of(&docker_members(&config, &layers, &["app"]))).unwrap();
    let error = history(&fixture.store, "app").unwrap_err().to_string();
    assert!(error.contains("its history has more layers than the image"), "{error}");
}
