//! Base images that are not here.

use crate::server::Registry;
use crate::support::Home;

#[test]
fn a_base_image_is_pulled_when_it_is_missing_and_asked_for_when_told() {
    let (home, registry) = (Home::new(), Registry::start());
    let publish = |text: &str| {
        let context = home.context(&format!("FROM base\nRUN echo {text} > /version\n"), &[]);
        home.ok(&["build", "-q", "-t", "published", &context]);
        registry.push_with_skopeo(&home, "published", "base:1", &[]);
    };
    publish("1");
    let other = Home::without_base();
    let context =
        other.context(&format!("FROM {}\nRUN cat /version > /seen\n", registry.name("base:1")), &[]);
    let seen = |flags: &[&str]| {
        other.ok(&[&["build", "-q", "-t", "app"], flags, &[&context]].concat());
        other.ok(&["run", "app", "cat", "/seen"])
    };
    let (code, error) = other.fails(&["build", "--pull=never", &context]);
    assert_eq!(code, 1);
    assert!(error.contains("is not in the store"), "{error}");
    assert_eq!(seen(&[]), "1\n");
    publish("2");
    assert_eq!(seen(&[]), "1\n");
    assert_eq!(seen(&["--pull"]), "2\n");
    let log = other.log(&["--pull", "-t", "app", &context]);
    assert!(log.starts_with("hit "), "{log}");
}

#[test]
fn stages_from_several_images_are_pulled_at_the_same_time() {
    let (home, registry) = (Home::new(), Registry::start());
    for name in ["a", "b"] {
        let context = home.context(&format!("FROM base\nRUN echo {name} > /{name}\n"), &[]);
        home.ok(&["build", "-q", "-t", name, &context]);
        registry.push_with_skopeo(&home, name, name, &[]);
    }
    let other = Home::without_base();
    let dockerfile =
        format!("FROM {} AS a\nFROM {}\nCOPY --from=a /a /\n", registry.name("a"), registry.name("b"));
    let context = other.context(&dockerfile, &[]);
    other.ok(&["build", "-q", "-t", "app", &context]);
    assert_eq!(other.ok(&["run", "app", "cat", "/a", "/b"]), "a\nb\n");
}

#[test]
fn an_image_that_cannot_be_pulled_points_at_the_line() {
    let (home, registry) = (Home::without_base(), Registry::start());
    let context = home.context(&format!("# syntax=x\nFROM {}\n", registry.name("nothing:1")), &[]);
    let (code, error) = home.fails(&["build", "-q", &context]);
    assert_eq!(code, 1);
    let port = registry.authority.split(':').nth(1).unwrap().len();
    let error = registry.settled(&error).replace(&"^".repeat(10 + port), "^");
    insta::assert_snapshot!(error.replace("^^", "^").replace("^^", "^"), @"
    error: cannot resolve `[registry]/nothing:1`: manifest for [registry]/nothing:1 not found
     --> Dockerfile:2:6
    2 | FROM [registry]/nothing:1
      |      ^^^

    ERROR: cannot pull `[registry]/nothing:1`: manifest for [registry]/nothing:1 not found
    ");
    let authority = registry.authority.clone();
    drop(registry);
    let context = home.context(&format!("FROM {authority}/nothing:1\n"), &[]);
    assert_eq!(home.fails(&["build", "-q", &context]).0, 69);
}
