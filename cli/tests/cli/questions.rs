//! Questions about a Dockerfile, and its usual form: nothing of it builds anything.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::{Ran, World};

/// A Dockerfile with something to say to every question.
const TEXT: &str = "\
# VERSION is what is built
ARG VERSION=12

# tools compile
FROM debian:${VERSION} as tools
RUN --mount=type=secret,id=token true

FROM scratch AS final
COPY --from=tools /a /b
CMD run it
";

fn asked(arguments: &[&str]) -> Ran {
    let world = World::empty();
    world.context("Dockerfile", TEXT);
    let ran = world.run(["build"].iter().chain(arguments).chain(&["context"]));
    assert!(!world.path("store").exists(), "a question makes no store");
    ran
}

#[test]
fn checks_fail_when_they_find_something() {
    insta::assert_snapshot!(asked(&["--check"]), @"
    exit code 1
    ---- stdout
    Check complete, 2 warnings have been found!

    WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/
    'as' and 'FROM' keywords' casing do not match
    Dockerfile:5
    --------------------
       3 |     
       4 |     # tools compile
       5 | >>> FROM debian:${VERSION} as tools
       6 |     RUN --mount=type=secret,id=token true
       7 |     
    --------------------

    WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
    JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
    Dockerfile:10
    --------------------
       8 |     FROM scratch AS final
       9 |     COPY --from=tools /a /b
      10 | >>> CMD run it
      11 |     
    --------------------
    ");
    let ran = asked(&["--call=check,format=json"]);
    assert_eq!(ran.code, 1);
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(answer["warnings"][0]["ruleName"], "FromAsCasing");
    assert_eq!(answer["warnings"][1]["location"]["ranges"][0]["start"]["line"], 10);
    assert_eq!(answer["sources"][0]["filename"], "Dockerfile");
    assert_eq!(asked(&["--call=check,ignorestatus=true"]).code, 0);
    assert_eq!(asked(&["--check", "--target", "tools"]).stdout.matches("WARNING").count(), 1);
}

#[test]
fn checks_can_be_chosen() {
    let argument = "BUILDKIT_DOCKERFILE_CHECK=skip=FromAsCasing,JSONArgsRecommended";
    insta::assert_snapshot!(asked(&["--check", "--build-arg", argument]), @"
    exit code 0
    ---- stdout
    Check complete, no warnings found.
    ");
    let world = World::new();
    world.context("Dockerfile", "# check=error=true\nFROM bb AS Upper\n");
    let ran = world.run(["build", "--progress=quiet", "context"]);
    insta::assert_snapshot!(ran, @"
    exit code 1
    ---- stderr

     1 warning found (use slipway --debug to expand):
     - StageNameCasing: Stage name 'Upper' should be lowercase

    error: lint violation found for rules: StageNameCasing
     --> Dockerfile:1:1
    1 | # check=error=true
      | ^

    ERROR: the Dockerfile has 1 error
    ");
    world.context("Dockerfile", "# check=skip=all\nFROM bb AS Upper\n");
    assert_eq!(world.run(["build", "--progress=quiet", "context"]).stderr, "");
}

#[test]
fn mistakes_are_told_by_checks_too() {
    let world = World::empty();
    world.context("Dockerfile", "FROM scratch AS A\nCPOY a b\n");
    insta::assert_snapshot!(world.run(["build", "--check", "context"]), @"
    exit code 1
    ---- stdout
    Check complete, 1 warning has been found!

    WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
    Stage name 'A' should be lowercase
    Dockerfile:1
    --------------------
       1 | >>> FROM scratch AS A
       2 |     CPOY a b
       3 |     
    --------------------
    ---- stderr
    error: unknown instruction `CPOY`
     --> Dockerfile:2:1
    2 | CPOY a b
      | ^^^^ help: did you mean `COPY`?

    ERROR: the Dockerfile has 1 error
    ");
    world.context("Dockerfile", "FROM scratch AS A\nCOPY --from=b a b\nSTOPSIGNAL x\n");
    insta::assert_snapshot!(world.run(["build", "--check", "context"]), @"
    exit code 1
    ---- stdout
    Check complete, 1 warning has been found!

    WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
    Stage name 'A' should be lowercase
    Dockerfile:1
    --------------------
       1 | >>> FROM scratch AS A
       2 |     COPY --from=b a b
       3 |     STOPSIGNAL x
    --------------------
    ---- stderr
    error: unknown signal `x`
     --> Dockerfile:3:12
    3 | STOPSIGNAL x
      |            ^

    ERROR: the Dockerfile has 1 error
    ");
    let ran = world.run(["build", "--call=subrequests.describe", "nowhere"]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 4), "{}", ran.stderr);
    insta::assert_snapshot!(world.run(["build", "--call=chekc", "context"]), @"
    exit code 1
    ---- stderr
    error: invalid value 'chekc' for '--call <METHOD>': unknown method `chekc`, expected build, check, outline, targets or subrequests.describe

    For more information, try '--help'.
    ");
}

#[test]
fn bases_in_the_store_are_known() {
    let world = World::new();
    world.context("Dockerfile", "FROM bb\nENV A=$NOPE\nFROM unknown\nENV A=$PERHAPS\n");
    let ran = world.run(["build", "--check", "context"]);
    assert!(ran.stdout.contains("'$NOPE'") && !ran.stdout.contains("'$PERHAPS'"), "{ran}");
}

#[test]
fn ignored_files_are_an_experimental_check() {
    let world = World::empty();
    world.context(".dockerignore", "*.log\n").context("Dockerfile", "FROM scratch\nCOPY a.log /\n");
    world.context("a.log", "");
    assert_eq!(world.run(["build", "--check", "context"]).code, 0);
    let argument = "BUILDKIT_DOCKERFILE_CHECK=experimental=CopyIgnoredFile";
    let ran = world.run(["build", "--check", "--build-arg", argument, "context"]);
    assert!(ran.code == 1 && ran.stdout.contains("WARNING: CopyIgnoredFile"), "{ran}");
}

#[test]
fn outlines_and_targets_are_tables() {
    insta::assert_snapshot!(asked(&["--call=outline"]), @"
    exit code 0
    ---- stdout
    TARGET: final

    BUILD ARG   VALUE   DESCRIPTION
    VERSION     12      is what is built

    SECRET   REQUIRED
    token
    ");
    insta::assert_snapshot!(asked(&["--call=outline", "--target=tools", "--build-arg=VERSION=13"]), @"
    exit code 0
    ---- stdout
    TARGET:      tools
    DESCRIPTION: compile

    BUILD ARG   VALUE   DESCRIPTION
    VERSION     13      is what is built

    SECRET   REQUIRED
    token
    ");
    insta::assert_snapshot!(asked(&["--call=targets"]), @"
    exit code 0
    ---- stdout
    TARGET          DESCRIPTION
    tools           compile
    final (default)
    ");
    let answer: serde_json::Value =
        serde_json::from_str(&asked(&["--call=targets,format=json"]).stdout).unwrap();
    assert_eq!(answer["targets"][1]["default"], true);
    let answer: serde_json::Value =
        serde_json::from_str(&asked(&["--call=outline,format=json"]).stdout).unwrap();
    assert_eq!(answer["secrets"][0]["name"], "token");
}

#[test]
fn formatting_rewrites_what_is_not_formatted() {
    let world = World::empty();
    let file = world.path("Dockerfile");
    fs::write(&file, "from   scratch\n\n\n\ncopy a   b\n").unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    symlink("Dockerfile", world.path("link")).unwrap();
    insta::assert_snapshot!(world.run(["fmt", "--check"]), @"
    exit code 1
    ---- stdout
    Dockerfile
    ");
    assert_eq!(world.ok(["fmt", "link"]), "");
    assert_eq!(fs::read_to_string(&file).unwrap(), "FROM scratch\n\nCOPY a b\n");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(world.path("link").is_symlink());
    assert_eq!(world.ok(["fmt", "--check", "Dockerfile", "link"]), "");
    let ran = world.run_with(b"from a", ["fmt", "-"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "FROM a\n"));
    fs::write(&file, "RNU a\n").unwrap();
    insta::assert_snapshot!(world.run(["fmt"]), @"
    exit code 1
    ---- stderr
    error: unknown instruction `RNU`
     --> Dockerfile:1:1
    1 | RNU a
      | ^^^ help: did you mean `RUN`?

    ERROR: the Dockerfile has 1 error
    ");
    assert_eq!(fs::read_to_string(&file).unwrap(), "RNU a\n");
    assert_eq!(world.run(["fmt", "missing"]).code, 1);
}

#[test]
fn formatting_keeps_the_cache() {
    let world = World::new();
    let text = "from   bb\nenv A=1    B='2  3'\nrun  echo   $A  && \\\n   true\nadd   file   /f\n";
    world.context("Dockerfile", text).context("file", "content");
    world.ok(["build", "context"]);
    world.ok(["fmt", "context/Dockerfile"]);
    assert_ne!(fs::read_to_string(world.path("context/Dockerfile")).unwrap(), text);
    let ran = world.run(["build", "--progress=plain", "context"]);
    assert_eq!(ran.stderr.matches("CACHED").count(), 2, "{ran}");
}

#[test]
fn graphs_have_four_forms() {
    let world = World::empty();
    world.context("Dockerfile", "FROM scratch AS a\nCOPY x /\nFROM bb\nCOPY --from=a /x /y\n");
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(world.run(["graph", "context"]), @"
    exit code 0
    ---- stdout
      0  [internal] scratch
           the empty file system
      1  [internal] load build context
           files of context
      2  [a 1/1] COPY x /
           on 0, reads 1
           copy x of input 1 to /
      3  [stage-1 1/2] FROM docker.io/library/bb:latest
           image docker.io/library/bb:latest for linux/<arch>
    * 4  [stage-1 2/2] COPY --from=a /x /y
           on 3, reads 2
           copy x of input 1 to /y
    ---- stderr
    note: `bb:latest` is not in the store, what it defines is missing here
    ");
    let graph: serde_json::Value =
        serde_json::from_str(&world.ok(["graph", "--format", "json", "context"])).unwrap();
    assert_eq!(graph["vertices"][2]["op"]["actions"][0]["sources"][0], "x");
    let dot = world.ok(["graph", "--format=dot", "--target=a", "context"]);
    assert!(dot.starts_with("digraph build {") && !dot.contains("FROM bb"), "{dot}");
    let svg = world.ok(["graph", "--format=svg", "context"]);
    assert!(svg.starts_with("<svg ") && svg.contains(">[stage-1 2/2] COPY --from=a /x /y</text>"), "{svg}");
    assert!(!world.path("store").exists());
    assert_eq!(world.run(["graph", "--target=b", "context"]).code, 1);
}
