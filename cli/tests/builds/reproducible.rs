//! `build --check-reproducible`: two builds without the cache, and the first file that differs.

use crate::support::Home;

fn check(home: &Home, dockerfile: &str, flags: &[&str]) -> (i32, String) {
    let context = home.context(dockerfile, &[]);
    let output = home.run(&[&["build", "--check-reproducible", "-t", "app"], flags, &[&context]].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = text.lines().filter(|line| line.starts_with("ERROR") || line.starts_with("Both"));
    (output.status.code().unwrap(), told.collect::<Vec<_>>().join("\n"))
}

#[test]
fn what_is_the_same_is_built() {
    let home = Home::new();
    let dockerfile = "FROM base\nRUN echo 1 > /one && rm -r /old\nCOPY Dockerfile /\n";
    assert_eq!(
        check(&home, dockerfile, &[]),
        (
            0,
            "Both builds gave the same files; for the same images, set SOURCE_DATE_EPOCH as well.".to_owned()
        )
    );
    assert_eq!(home.ok(&["run", "app", "cat", "/one"]), "1\n");
    let epoch = ["--build-arg", "SOURCE_DATE_EPOCH=1700000000"];
    assert_eq!(check(&home, dockerfile, &epoch), (0, "Both builds gave the same images.".to_owned()));
    // What was only compared is gone: what is left are the base, and the image with and without the name.
    assert_eq!(home.ok(&["images", "-qa"]).lines().count(), 3);
}

#[test]
fn the_first_difference_is_named() {
    let home = Home::new();
    let told = |step: &str| {
        let (code, told) = check(&home, &format!("FROM base\nRUN echo 1 > /one\n{step}\n"), &[]);
        assert_eq!(code, 1, "{told}");
        told
    };
    let bytes = told("RUN cat /proc/sys/kernel/random/uuid > /id");
    let begin = "ERROR: two builds gave different images: `/id` of `RUN ";
    assert!(
        bytes.starts_with(begin) && bytes.contains("has other bytes (37 bytes), from offset "),
        "{bytes}"
    );
    let name = told("RUN touch /r-$(cat /proc/sys/kernel/random/uuid)");
    assert!(name.contains("is only in the "), "{name}");
    let (code, _) = home.fails(&["inspect", "app"]);
    assert_eq!(code, 1);
}
