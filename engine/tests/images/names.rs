//! Finding, listing, naming and removing.

use engine::images::{Filters, RemoveOptions, find, list, remove, short_id, tag};

use crate::fixture::{EPOCH, Fixture};

fn listed(fixture: &Fixture, filters: &[&str]) -> String {
    let filters = match Filters::parse(filters.iter().copied()) {
        Ok(filters) => filters,
        Err(error) => return error.to_string(),
    };
    let names = |references: &[image::Reference]| {
        let names: Vec<String> = references.iter().map(image::Reference::familiar).collect();
        if names.is_empty() { "<none>".to_owned() } else { names.join(" ") }
    };
    match list(&fixture.store, &filters) {
        Ok(images) => images.iter().map(|image| names(&image.references)).collect::<Vec<_>>().join(", "),
        Err(error) => error.to_string(),
    }
}

#[test]
fn lists_are_filtered_newest_first() {
    let fixture = Fixture::new();
    let old = fixture.import_at("app:1", &[("a", "1")], &[], EPOCH);
    fixture.import_at("app:2", &[("a", "2")], &["LABEL tier=web"], EPOCH + 1);
    fixture.import_at("localhost:5000/db", &[("a", "3")], &["LABEL tier=db"], EPOCH + 2);
    fixture.import_at("", &[("a", "4")], &[], EPOCH + 3);
    tag(&fixture.store, "app:2", &"app:latest".parse().unwrap()).unwrap();

    let table: Vec<String> = [
        &[][..],
        &["dangling=true"],
        &["dangling=0"],
        &["label=tier"],
        &["label=tier=web"],
        &["label=tier", "label=tier=db"],
        &["label=nothing"],
        &["reference=app"],
        &["reference=app:[12]"],
        &["reference=app:1", "reference=localhost:5000/*"],
        &["reference=*"],
        &["before=app:2"],
        &["since=app:2"],
        &["since=app:1", "before=localhost:5000/db"],
        &[&format!("until={}", EPOCH + 1)],
        &["until=10m", "dangling=false"],
        &["before=nothing"],
        &["colour=red"],
        &["dangling=perhaps"],
    ]
    .into_iter()
    .map(|filters| format!("{}  =>  {}", filters.join(" "), listed(&fixture, filters)))
    .collect();
    insta::assert_snapshot!(table.join("\n"));

    let all = list(&fixture.store, &Filters::default()).unwrap();
    assert_eq!((all[3].id, all[3].created_unix_s, all[3].size_bytes), (old, EPOCH, 1));
    assert_eq!(all[2].labels.get("tier").map(String::as_str), Some("web"));
    assert!(all[0].is_dangling() && !all[1].is_dangling());
}

#[test]
fn images_are_found_by_name_and_id() {
    let fixture = Fixture::new();
    let id = fixture.import("app:1", &[("a", "1")], &[]);
    let hex = id.0.hex();
    for name in [
        "app:1",
        "docker.io/library/app:1",
        &hex,
        &id.to_string(),
        &hex[..12],
        &id.to_string()[..12],
        &hex[..1],
    ] {
        assert_eq!(find(&fixture.store, name).unwrap(), id, "{name}");
    }
    let error = |name: &str| find(&fixture.store, name).unwrap_err().to_string();
    let other = if hex.starts_with('0') { "1" } else { "0" };
    assert_eq!(error(other), format!("no such image: {other}:latest"));
    insta::assert_snapshot!(error("app"), @"no such image: app:latest");
    insta::assert_snapshot!(error("nobody/nothing:3"), @"no such image: nobody/nothing:3");
    insta::assert_snapshot!(error("App"), @"invalid reference format: repository name `library/App` must be lowercase");
    insta::assert_snapshot!(error("../etc/passwd"), @"invalid reference format: `../etc/passwd`");
    insta::assert_snapshot!(error("sha256:"), @"invalid reference format: `sha256:`");
    assert_eq!(error(&"a".repeat(64)), format!("no such image: {}", "a".repeat(64)));
}

#[test]
fn a_name_wins_over_the_beginning_of_an_id() {
    let fixture = Fixture::new();
    let first = fixture.import("one", &[("a", "1")], &[]);
    let second = fixture.import("two", &[("a", "2")], &[]);
    let prefix = &first.0.hex()[..6];
    tag(&fixture.store, "two", &prefix.parse().unwrap()).unwrap();
    assert_eq!(find(&fixture.store, prefix).unwrap(), second);
    assert_eq!(find(&fixture.store, &format!("sha256:{prefix}")).unwrap(), first);
}

#[test]
fn an_id_that_begins_two_images_is_ambiguous() {
    let fixture = Fixture::new();
    // Of 17 images two begin with the same digit.
    let ids: Vec<_> =
        (0..17).map(|n| fixture.import(&format!("app:{n}"), &[("a", &n.to_string())], &[])).collect();
    let digit = |id: &image::ImageId| id.0.hex()[..1].to_owned();
    let twice = ids.iter().map(digit).find(|d| ids.iter().filter(|id| digit(id) == *d).count() > 1).unwrap();
    let error = find(&fixture.store, &twice).unwrap_err().to_string();
    assert!(error.starts_with(&format!("image id `{twice}` is ambiguous, it begins {twice}")), "{error}");
}

#[test]
fn tags_move_and_some_names_are_refused() {
    let fixture = Fixture::new();
    let first = fixture.import("one", &[("a", "1")], &[]);
    let second = fixture.import("two", &[("a", "2")], &[]);
    let name = |text: &str| text.parse::<image::Reference>().unwrap();
    tag(&fixture.store, "one", &name("app")).unwrap();
    assert_eq!(find(&fixture.store, "app").unwrap(), first);
    tag(&fixture.store, &second.to_string(), &name("app")).unwrap();
    assert_eq!(find(&fixture.store, "app").unwrap(), second);

    let error = |target: &str| tag(&fixture.store, "one", &name(target)).unwrap_err().to_string();
    insta::assert_snapshot!(error("sha256:abc"), @"refusing to create an ambiguous tag using digest algorithm as name: `sha256:abc`");
    assert!(error(&format!("app@{first}")).contains("a name with a digest already says which image it is"));
    let missing = tag(&fixture.store, "nothing", &name("app")).unwrap_err().to_string();
    insta::assert_snapshot!(missing, @"no such image: nothing:latest");
    assert_eq!(find(&fixture.store, "app").unwrap(), second);
}

fn removed(fixture: &Fixture, name: &str, force: bool) -> String {
    match remove(&fixture.store, name, RemoveOptions { force }) {
        Ok(removed) => removed.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn removing_the_last_name_removes_the_image() {
    let fixture = Fixture::new();
    let id = fixture.import("app:1", &[("a", "1")], &[]);
    tag(&fixture.store, "app:1", &"app:2".parse().unwrap()).unwrap();
    assert_eq!(removed(&fixture, "app:1", false), "Untagged: app:1");
    assert_eq!(removed(&fixture, "app:1", false), "no such image: app:1");
    assert_eq!(removed(&fixture, "app:2", false), format!("Untagged: app:2\nDeleted: {id}"));
    fixture.assert_nothing_visible();
}

#[test]
fn an_id_removes_an_image_with_one_name_or_by_force() {
    let fixture = Fixture::new();
    let id = fixture.import("app:1", &[("a", "1")], &[]);
    let short = short_id(&id);
    assert_eq!(removed(&fixture, &short, false), format!("Untagged: app:1\nDeleted: {id}"));

    fixture.import("app:1", &[("a", "1")], &[]);
    tag(&fixture.store, "app:1", &"other".parse().unwrap()).unwrap();
    assert_eq!(
        removed(&fixture, &short, false),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
        )
    );
    assert_eq!(find(&fixture.store, "other").unwrap(), id);
    assert_eq!(
        removed(&fixture, &short, true),
        format!("Untagged: app:1\nUntagged: other:latest\nDeleted: {id}")
    );
    fixture.assert_nothing_visible();
}

#[test]
fn a_dangling_image_is_removed_by_its_id() {
    let fixture = Fixture::new();
    let id = fixture.import("", &[("a", "1")], &[]);
    assert_eq!(removed(&fixture, &id.to_string(), false), format!("Deleted: {id}"));
    fixture.assert_nothing_visible();
}
