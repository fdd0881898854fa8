//! Build contexts that come through standard input.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Home, log};

const DOCKERFILE: &str = "FROM base\nCOPY . /ctx\nRUN cat /ctx/dir/a\n";

/// A tar of a directory, made by GNU tar, with owners that are not root.
fn tar(home: &Home, directory: &str, flags: &[&str]) -> Vec<u8> {
    let mut command = Command::new("tar");
    command.args(["--owner=1234", "--group=1234"]).args(flags).args(["-cf", "-", "-C"]);
    let output = command.arg(home.path(directory)).arg(".").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a failing build says.
fn failure(home: &Home, input: &[u8], arguments: &[&str]) -> String {
    let output = home.run_with(input, &[&["build", "--progress=quiet"], arguments].concat());
    format!("exit {}\n{}", output.status.code().unwrap(), text(&output).trim_end())
}

#[test]
fn a_tar_is_the_same_context_as_the_directory_that_it_was_made_of() {
    let home = Home::new();
    let context = home.context(DOCKERFILE, &[("dir/a", "hello\n"), (".dockerignore", "nothing\n")]);
    home.log(&["-t", "from-directory", &context]);
    for compression in [&[][..], &["--gzip"], &["--bzip2"], &["--xz"], &["--zstd"], &["--format=pax"]] {
        let tar = tar(&home, "context", compression);
        let output = home.run_with(&tar, &["build", "--progress=plain", "-t", "from-tar", "-"]);
        assert!(output.status.success(), "{compression:?}: {}", text(&output));
        assert_eq!(
            log(&text(&output)),
            "hit [2/3] COPY . /ctx\nhit [3/3] RUN cat /ctx/dir/a",
            "{compression:?}"
        );
    }
    assert_eq!(home.ok(&["images", "-q", "from-tar"]), home.ok(&["images", "-q", "from-directory"]));
    assert_eq!(home.staged(), [""; 0]);
}

#[test]
fn files_of_a_tar_belong_to_root_and_an_ignore_file_hides_none_of_them() {
    let home = Home::new();
    home.context("FROM base\nCOPY . /ctx\n", &[("a", "x"), (".dockerignore", "a\n")]);
    let output = home.run_with(&tar(&home, "context", &[]), &["build", "-t", "image", "-"]);
    assert!(output.status.success(), "{}", text(&output));
    let listing = home.unpack("image").listing();
    let lines: Vec<&str> = listing.lines().filter(|line| line.contains("ctx/")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    0755 0:0     ctx/
    0644 0:0     ctx/.dockerignore: a
    0644 0:0     ctx/Dockerfile: FROM base\nCOPY . /ctx
    0644 0:0     ctx/a: x
    ");
}

#[test]
fn a_dockerfile_can_be_anywhere_in_a_tar() {
    let home = Home::new();
    home.context("FROM nowhere\n", &[("sub/Other", "FROM base\nCOPY sub/Other /\n")]);
    let tar = tar(&home, "context", &[]);
    let output = home.run_with(&tar, &["build", "-f", "sub/Other", "-"]);
    assert!(output.status.success(), "{}", text(&output));
    let checked = home.run_with(&tar, &["build", "--check", "-f", "sub/Other", "-"]);
    assert_eq!(String::from_utf8_lossy(&checked.stdout), "Check complete, no warnings found.\n");
    let graph = home.run_with(&tar, &["graph", "-f", "sub/Other", "-"]);
    assert!(String::from_utf8_lossy(&graph.stdout).contains("copy sub/Other of input 1"));
    insta::assert_snapshot!(failure(&home, &tar, &["-f", "missing", "-"]), @"
    exit 1
    ERROR: no Dockerfile: `missing` is not there
    hint: name the Dockerfile with `--file PATH`, or pass another directory
    ");
}

#[test]
fn a_dockerfile_alone_has_no_files() {
    let home = Home::new();
    let output = home.run_with(b"FROM base\nRUN echo hello\n", &["build", "-t", "alone", "-"]);
    assert!(output.status.success(), "{}", text(&output));
    insta::assert_snapshot!(failure(&home, b"FROM base\nCOPY a /\n", &["-"]), @r#"
    exit 1
    error: `a` is not in the build context, which has no files at all
     --> Dockerfile:2:6
    2 | COPY a /
      |      ^

    ERROR: "/a": not found
    "#);
    let checked = home.run_with(b"from base\nRUN true\n", &["build", "--check", "-"]);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("ConsistentInstructionCasing"));
}

#[test]
fn standard_input_is_one_thing() {
    let home = Home::without_base();
    insta::assert_snapshot!(failure(&home, b"FROM base\n", &["-f", "-", "-"]), @"
    exit 1
    ERROR: standard input cannot be both the build context and the Dockerfile
    hint: pass a directory, or the Dockerfile as `--file PATH`
    ");
    insta::assert_snapshot!(failure(&home, b"FROM base\n", &["-f", "Dockerfile", "-"]), @"
    exit 1
    ERROR: ambiguous Dockerfile source: both standard input and `--file` are Dockerfiles
    hint: pass the directory of the build context in place of `-`
    ");
    insta::assert_snapshot!(failure(&home, &[0x1f, 0x8b, 8, 0], &["-"]), @"
    exit 1
    ERROR: cannot unpack the build context: cannot read the tar stream: unexpected end of file
    ");
    insta::assert_snapshot!(failure(&home, b"\xff\xfeF\0R\0", &["-"]), @"
    exit 1
    ERROR: the Dockerfile on standard input is not UTF-8 text
    ");
    assert_eq!(home.staged(), [""; 0]);
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let home = Home::new();
    let dockerfile = b"# caf\xe9\nFROM base\nCOPY <<E /e\nd\xe9j\xe0\nE\n";
    let context = home.context("", &[]);
    fs::write(Path::new(&context).join("Dockerfile"), dockerfile).unwrap();
    let from_file = home.run(&["build", "-t", "image", &context]);
    let from_stdin = home.run_with(dockerfile, &["build", "-t", "image", "-"]);
    for output in [from_file, from_stdin] {
        assert!(output.status.success() && text(&output).contains("NotUtf8"), "{}", text(&output));
        assert_eq!(fs::read_to_string(home.unpack("image").path("e")).unwrap(), "d\u{fffd}j\u{fffd}\n");
    }
    // In a comment they mean nothing.
    let output = home.run_with(b"# caf\xe9\nFROM base\n", &["build", "-"]);
    assert!(output.status.success() && !text(&output).contains("NotUtf8"), "{}", text(&output));
    // Who rewrites a file keeps every byte of it.
    let (code, error) = home.fails(&["fmt", "context/Dockerfile"]);
    assert!(code == 1 && error.contains("byte 5 is not part of a character"), "{error}");
}

/// A Dockerfile that is a link reads nothing of this machine.
#[test]
fn nothing_in_a_tar_leads_out_of_it() {
    let home = Home::new();
    let evil = home.path("evil");
    fs::create_dir(&evil).unwrap();
    let outside = home.path("secret");
    fs::write(&outside, "FROM base\n# secret\n").unwrap();
    symlink(&outside, evil.join("Dockerfile")).unwrap();
    symlink("/", evil.join("root")).unwrap();
    let tar_of_links = tar(&home, "evil", &[]);
    insta::assert_snapshot!(failure(&home, &tar_of_links, &["-"]), @"
    exit 1
    ERROR: no Dockerfile: `Dockerfile` is not there
    hint: name the Dockerfile with `--file PATH`, or pass another directory
    ");
    let through_root = format!("root{}", outside.display());
    assert!(failure(&home, &tar_of_links, &["-f", &through_root, "-"]).contains("no Dockerfile"));
    assert!(
        failure(&home, &tar_of_links, &["-f", "../../../../../../etc/passwd", "-"]).contains("no Dockerfile")
    );

    fs::remove_file(evil.join("Dockerfile")).unwrap();
    let status = Command::new("mkfifo").arg(evil.join("Dockerfile")).status().unwrap();
    assert!(status.success());
    insta::assert_snapshot!(failure(&home, &tar(&home, "evil", &[]), &["-"]), @"
    exit 1
    ERROR: cannot read `Dockerfile`: it is not a regular file
    ");

    let escaping = tar(&home, "evil", &["--transform=s,^./Dockerfile,../../escaped,"]);
    insta::assert_snapshot!(failure(&home, &escaping, &["-"]), @"
    exit 1
    ERROR: cannot unpack the build context: layer entry `../../escaped` leaves the root file system
    ");
    assert!(!Path::new(&home.store()).join("staging/escaped").exists());
    assert_eq!(home.staged(), [""; 0]);
}
