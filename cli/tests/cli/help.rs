//! Help, versions and mistyped words.

use crate::support::World;

fn shown(arguments: &[&str]) -> String {
    World::empty().run(arguments).to_string()
}

#[test]
fn the_help_of_every_command() {
    let commands = [
        "",
        "build",
        "builder",
        "run",
        "exec",
        "ps",
        "container",
        "attach",
        "create",
        "kill",
        "logs",
        "pause",
        "rename",
        "restart",
        "rm",
        "start",
        "stop",
        "top",
        "unpause",
        "wait",
        "container prune",
        "images",
        "image",
        "fmt",
        "graph",
        "history",
        "import",
        "inspect",
        "load",
        "rmi",
        "save",
        "tag",
        "version",
        "info",
        "builder gc",
        "builder logs",
        "builder prune",
        "image prune",
        "store",
        "store check",
        "system",
        "system df",
        "system prune",
        "network",
        "network create",
        "network inspect",
        "network ls",
        "network prune",
        "network rm",
        "volume",
        "volume create",
        "volume inspect",
        "volume ls",
        "volume prune",
        "volume rm",
        "why",
    ];
    let mut text = String::new();
    for command in commands {
        let words: Vec<_> = command.split(' ').chain(["--help"]).filter(|word| !word.is_empty()).collect();
        text += &format!("$ slipway {}\n{}\n", words.join(" "), World::empty().ok(&words));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn aliases_are_the_same_command() {
    for (alias, command) in [
        ("image build", "build"),
        ("builder build", "build"),
        ("image ls", "images"),
        ("image list", "images"),
        ("image rm", "rmi"),
        ("image remove", "rmi"),
        ("image tag", "tag"),
    ] {
        let help = |command: &str| World::empty().ok(command.split(' ').chain(["--help"]));
        assert_eq!(help(alias), help(command), "{alias}");
    }
}

#[test]
fn mistyped_words_get_a_suggestion() {
    insta::assert_snapshot!(shown(&["biuld", "."]), @"
    exit code 1
    ---- stderr
    error: unrecognized subcommand 'biuld'

      tip: some similar subcommands exist: 'builder', 'build'

    Usage: slipway [OPTIONS] COMMAND

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shown(&["build", "--taget", "x", "."]), @"
    exit code 1
    ---- stderr
    error: unexpected argument '--taget' found

      tip: a similar argument exists: '--target'

    Usage: slipway build [OPTIONS] PATH | URL | -

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shown(&["build"]), @"
    exit code 1
    ---- stderr
    error: the following required arguments were not provided:
      <PATH>

    Usage: slipway build [OPTIONS] PATH | URL | -

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shown(&["run"]), @"
    exit code 125
    ---- stderr
    error: the following required arguments were not provided:
      <IMAGE>...

    Usage: slipway run [OPTIONS] IMAGE [COMMAND] [ARG...]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shown(&[]), @"
    exit code 1
    ---- stderr
    error: 'slipway' requires a subcommand but one was not provided
      [subcommands: run, exec, ps, build, pull, push, images, login, logout, search, version, info, doctor, events, builder, container, image, manifest, ci, store, system, network, volume, attach, commit, cp, create, daemon, diff, export, fmt, generate, graph, history, import, inspect, kill, load, logs, pause, port, rename, restart, rm, rmi, save, start, stats, stop, tag, top, unpause, update, wait, why]

    Usage: slipway [OPTIONS] COMMAND

    For more information, try '--help'.
    ");
}

#[test]
fn wrong_values_are_explained() {
    insta::assert_snapshot!(shown(&["build", "-t", "Upper", "."]), @"
    exit code 1
    ---- stderr
    error: invalid value 'Upper' for '--tag <NAME>': invalid reference format: repository name `library/Upper` must be lowercase

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shown(&["build", "-o", "type=zip", "."]), @"
    exit code 1
    ---- stderr
    error: invalid value 'type=zip' for '--output <DEST>': unknown type `zip`, expected one of cacheonly, docker, image, local, oci, registry, tar

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shown(&["build", "--platform", "linux/amd64/v1/x", "."]), @"
    exit code 1
    ---- stderr
    error: invalid value 'linux/amd64/v1/x' for '--platform <OS/ARCH>': `linux/amd64/v1/x` is not a platform, expected `os[/arch[/variant]]` such as `linux/arm64`

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shown(&["build", "--progress", "loud", "."]), @"
    exit code 1
    ---- stderr
    error: invalid value 'loud' for '--progress <TYPE>'
      [possible values: auto, plain, tty, rawjson, quiet]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shown(&["inspect", "--type", "volume", "x"]), @"
    exit code 1
    ---- stderr
    error: invalid value 'volume' for '--type <TYPE>'
      [possible values: container, image]

    For more information, try '--help'.
    ");
}

#[test]
fn versions_need_no_store() {
    let world = World::empty();
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(world.ok(["version"]), @"
    Client:
     Version:           0.1.0
     OS/Arch:           linux/<arch>

    Server: none, every slipway process is its own
     Version:           0.1.0
     OS/Arch:           linux/<arch>
    ");
    insta::assert_snapshot!(world.ok(["--version"]), @"slipway 0.1.0");
    insta::assert_snapshot!(world.ok(["version", "--format", "{{.Client.Version}} {{.Server.Os}}"]), @"0.1.0 linux");
    insta::assert_snapshot!(world.ok(["version", "-f", "json"]), @r#"{"Client":{"Version":"0.1.0","Os":"linux","Arch":"<arch>"},"Server":{"Version":"0.1.0","Os":"linux","Arch":"<arch>"}}"#);
    insta::assert_snapshot!(shown(&["version", "-f", "{{.Clinet}}"]), @r#"
    exit code 1
    ---- stderr
    ERROR: template parsing error: template: :1:2: executing "" at <.Clinet>: map has no entry for key "Clinet"
    "#);
    insta::assert_snapshot!(shown(&["version", "-f", "{{"]), @"
    exit code 64
    ---- stderr
    ERROR: template parsing error: template: :1: unclosed action
    ");
    assert!(!world.path("store").exists());
}

#[test]
fn info_tells_of_the_store_and_the_machine() {
    let world = World::empty();
    let facts = world.ok(["info", "--format", "{{.Images}} {{.Driver}} {{.OSType}} {{.DockerRootDir}}"]);
    assert_eq!(facts, format!("0 overlay2 linux {}\n", world.path("store").display()));
    assert!(world.ok(["info"]).contains("\nTotal Memory: "));
}
