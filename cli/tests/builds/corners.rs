//! Corners of the language where a build comes to something, though not to what one would guess: the expected are answers of
//! BuildKit.

use std::fs;

use crate::support::Home;

#[test]
fn a_machine_may_have_several_names() {
    let home = Home::new();
    let context = home.context("FROM base\nRUN cat /etc/hostname > /name && cat /etc/hosts >> /name\n", &[]);
    let named = "BUILDKIT_SANDBOX_HOSTNAME=two words";
    home.ok(&["build", "-q", "-t", "image", "--build-arg", named, &context]);
    let name = fs::read_to_string(home.unpack("image").path("name")).unwrap();
    assert!(name.starts_with("two words\n127.0.0.1\tlocalhost two words\n"), "{name}");
    let long = format!("BUILDKIT_SANDBOX_HOSTNAME={}", "n".repeat(65));
    let (code, message) = home.fails(&["build", "--build-arg", &long, &context]);
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("give at most 64 bytes"), "{message}");
}

#[test]
fn a_process_without_a_command_is_a_mistake_only_where_it_is_to_run() {
    let home = Home::new();
    let context = home.context("FROM base AS other\nRUN []\nFROM base\nRUN true\n", &[]);
    home.ok(&["build", "-q", &context]);
    home.ok(&["build", "--check", &context]);
    let (code, message) = home.fails(&["build", "--target", "other", &context]);
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("error: `RUN` without a command\n --> Dockerfile:2:1"), "{message}");
}

/// BuildKit's cache answers the second copy with the first: there both have the file.
#[test]
fn nothing_is_copied_from_nothing() {
    let home = Home::new();
    for (from, expected) in [("", true), ("--from=scratch", false)] {
        let context = home.context(&format!("FROM base\nCOPY {from} / /copied\n"), &[("file", "text")]);
        home.ok(&["build", "-q", "-t", "image", &context]);
        let image = home.unpack("image");
        assert!(image.path("copied").is_dir());
        assert_eq!(image.path("copied/file").exists(), expected, "{from}");
    }
}

#[test]
fn a_source_of_a_mount_is_no_pattern() {
    let home = Home::new();
    let files =
        [("a*b", "star"), ("aab", "letters"), ("[x]/y?", "deep"), ("c\\d*", "slash"), ("e\\f", "plain")];
    let dockerfile = "FROM base
RUN --mount=source=a*b,target=/1 --mount=source=[x]/y?,target=/2 cat /1 /2 > /seen
COPY <<t*t /
document
t*t
RUN cat '/t*t' >> /seen
";
    let context = home.context(dockerfile, &files);
    home.ok(&["build", "-q", "-t", "image", &context]);
    let seen = fs::read_to_string(home.unpack("image").path("seen")).unwrap();
    assert_eq!(seen, "stardeepdocument\n");
    let context = home.context("FROM base\nRUN --mount=source=n*,target=/1 true\n", &[("none", "")]);
    let (code, message) = home.fails(&["build", &context]);
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("error: `n*` is not in the build context\n --> Dockerfile:2"), "{message}");
}

/// Steps for another platform than that of their stage say so, when there are several.
#[test]
fn names_of_steps_tell_for_what_they_compile() {
    let home = Home::new();
    let dockerfile =
        "FROM --platform=$BUILDPLATFORM base AS build\nARG TARGETARCH\nRUN echo $TARGETARCH > /arch
FROM scratch\nCOPY --from=build /arch /\n";
    let context = home.context(dockerfile, &[]);
    let output =
        home.run(&["build", "--progress", "plain", "--platform", "linux/amd64,linux/arm64", &context]);
    let progress = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{progress}");
    for name in [
        "[linux/amd64 build 2/2] RUN echo amd64",
        "[linux/amd64->arm64 build 2/2] RUN echo arm64",
        "[linux/arm64 stage-1 1/1] COPY --from=build /arch /",
    ] {
        assert!(progress.contains(name), "{name}\n{progress}");
    }
}

/// Hard links stay hard links only within one source: BuildKit copies each for itself.
#[test]
fn sources_share_no_hard_links() {
    let home = Home::new();
    let context = home.context(
        "FROM scratch\nCOPY . /all/\nCOPY a/one b/two /apart/\nCOPY */* /matched/\nCOPY --parents a b /parents/\n",
        &[("a/one", "text"), ("a/three", "other")],
    );
    let file = |name: &str| std::path::Path::new(&context).join(name);
    fs::create_dir(file("b")).unwrap();
    for (link, to) in [("b/two", "a/one"), ("a/four", "a/one")] {
        fs::hard_link(file(to), file(link)).unwrap();
    }
    home.ok(&["build", "-q", "-t", "image", &context]);
    let image = home.unpack("image");
    let links = |name: &str| std::os::unix::fs::MetadataExt::nlink(&fs::metadata(image.path(name)).unwrap());
    assert_eq!(["all/a/one", "all/b/two"].map(links), [3, 3]);
    assert_eq!(["apart/one", "apart/two"].map(links), [1, 1]);
    assert_eq!(["matched/one", "matched/two", "matched/four"].map(links), [1, 1, 1]);
    assert_eq!(["parents/a/one", "parents/a/four", "parents/b/two"].map(links), [2, 2, 1]);
}

/// A symbolic mode changes files, and the directories among them; what is made on the way to them is as ever.
#[test]
fn symbolic_modes_are_not_for_directories_on_the_way() {
    let home = Home::new();
    let copies = "COPY --chmod=go-r d /s/t\nCOPY --chmod=700 d /o/t\n";
    let context = home.context(&format!("FROM scratch\n{copies}"), &[("d/sub/file", "")]);
    home.ok(&["build", "-q", "-t", "image", &context]);
    let image = home.unpack("image");
    let mode = |name: &str| {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(image.path(name)).unwrap().permissions())
            & 0o777
    };
    assert_eq!(["s", "s/t", "s/t/sub", "s/t/sub/file"].map(mode), [0o755, 0o755, 0o711, 0o600]);
    assert_eq!(["o", "o/t", "o/t/sub", "o/t/sub/file"].map(mode), [0o700; 4]);
}

/// One file takes the place of the other where they are copied to one name.
#[test]
fn the_last_of_several_sources_stays() {
    let home = Home::new();
    let dockerfile = "FROM scratch\nCOPY a b /file\nCOPY <<one <<two /document\n1\none\n2\ntwo\n";
    let context = home.context(dockerfile, &[("a", "first"), ("b", "second")]);
    home.ok(&["build", "-q", "-t", "image", &context]);
    let image = home.unpack("image");
    let read = |name: &str| fs::read_to_string(image.path(name)).unwrap();
    assert_eq!((read("file"), read("document")), ("second".to_owned(), "2\n".to_owned()));
}
