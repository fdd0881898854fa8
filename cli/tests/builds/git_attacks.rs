//! Repositories, references and settings that want to run something, or to get at files of this machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use crate::git_server::Repository;
use crate::server::Server;
use crate::support::Home;

/// A machine on which a program leaves a mark wherever git would run it.
struct World {
    home: Home,
    server: Server,
    program: PathBuf,
}

impl World {
    fn new() -> Self {
        let home = Home::new();
        let server = Server::new(&home.path("served"));
        let program = home.path("program");
        let mark = home.path("mark");
        fs::write(&program, format!("#!/bin/sh\necho \"$0 $*\" >> {}\ncat\n", mark.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { home, server, program }
    }

    /// Builds with an environment and a home that trust everybody; whether it succeeded, and what was said.
    fn build(&self, dockerfile: &str) -> (bool, String) {
        let context = self.home.context(dockerfile, &[]);
        let mut command = self.home.command(&["build", "--progress=quiet", "-t", "image", &context]);
        let program = self.program.to_str().unwrap();
        let config = self.home.path("gitconfig");
        command.env("HOME", self.home.path("trusting")).env("GIT_CONFIG_GLOBAL", &config);
        for name in ["GIT_SSH_COMMAND", "GIT_SSH", "GIT_ASKPASS", "SSH_ASKPASS", "GIT_PROXY_COMMAND"] {
            command.env(name, program);
        }
        for name in ["GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR"] {
            command.env(name, program);
        }
        command
            .env("GIT_TEMPLATE_DIR", self.home.path("template"))
            .env("GIT_EXEC_PATH", self.home.path("exec"));
        command.env("GIT_ALLOW_PROTOCOL", "ext:file:http").env("GIT_DIR", self.home.path("context"));
        command.env("GIT_CONFIG_PARAMETERS", format!("'core.fsmonitor={program}'"));
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The settings of a user who trusts everybody.
    fn trusting(&self) {
        let program = self.program.display();
        let (template, hooks) = (self.home.path("template/hooks"), self.home.path("hooks"));
        for directory in [&template, &hooks] {
            fs::create_dir_all(directory).unwrap();
            for hook in [
                "post-checkout",
                "post-index-change",
                "reference-transaction",
                "post-merge",
                "fsmonitor-watchman",
            ] {
                symlink(&self.program, directory.join(hook)).unwrap();
            }
        }
        let settings = format!(
            "[core]\n\thooksPath = {hooks}\n\tfsmonitor = {program}\n\tsshCommand = {program}\n\tgitProxy = {program}\n\taskPass = {program}\n\
             [filter \"evil\"]\n\tsmudge = {program}\n\tprocess = {program}\n\trequired = true\n\
             [init]\n\ttemplateDir = {template}\n\
             [protocol \"ext\"]\n\tallow = always\n[protocol \"file\"]\n\tallow = always\n\
             [credential]\n\thelper = !{program}\n\
             [url \"ext::{program} \"]\n\tinsteadOf = http://\n",
            hooks = hooks.display(),
            template = self.home.path("template").display(),
        );
        let home = self.home.path("trusting");
        fs::create_dir_all(home.join(".config/git")).unwrap();
        for path in [home.join(".gitconfig"), home.join(".config/git/config"), self.home.path("gitconfig")] {
            fs::write(path, &settings).unwrap();
        }
        fs::write(home.join(".config/git/attributes"), "* filter=evil\n").unwrap();
    }

    fn assert_nothing_ran(&self) {
        let mark = fs::read_to_string(self.home.path("mark")).unwrap_or_default();
        assert_eq!(mark, "", "the program ran");
    }
}

#[test]
fn no_setting_hook_or_filter_of_the_user_runs() {
    let world = World::new();
    let repository = Repository::new(&world.home, "a");
    repository.write(".gitattributes", "* filter=evil\n").write("file", "as it is\n").commit();
    world.trusting();
    let url = repository.url(&world.server);
    let (is_built, text) = world.build(&format!("FROM base\nADD --keep-git-dir {url} /src\n"));
    assert!(is_built, "{text}");
    world.assert_nothing_ran();
    let unpacked = world.home.unpack("image");
    assert_eq!(fs::read_to_string(unpacked.path("src/file")).unwrap(), "as it is\n");
    assert!(!unpacked.path("src/.git/hooks").exists());
    let config = fs::read_to_string(unpacked.path("src/.git/config")).unwrap();
    assert!(!config.contains("program"), "{config}");
}

#[test]
fn references_and_urls_are_never_options_or_other_transports() {
    let world = World::new();
    world.trusting();
    let repository = Repository::new(&world.home, "a");
    repository.write("file", "x\n").commit();
    let url = repository.url(&world.server);
    let program = world.program.display();
    let local = repository.work.display();
    for source in [
        format!("{url}#--upload-pack={program}"),
        format!("{url}?ref=--upload-pack={program}"),
        format!("{url}?branch=--upload-pack={program}"),
        format!("{url}?ref=-u{program}"),
        format!("{url}#+refs/heads/main"),
        format!("ext::{program}"),
        format!("ext::{program}%20x.git"),
        format!("file://{local}/.git"),
        format!("{local}/.git"),
        format!("ssh://-oProxyCommand={program}/a.git"),
        format!("ssh://-oProxyCommand={program}@host/a.git"),
        format!("-oProxyCommand={program}@host:a.git"),
        format!("git@-oProxyCommand={program}:a.git"),
        "git://127.0.0.1:1/a.git".to_owned(),
        "ssh://git@127.0.0.1:1/a.git".to_owned(),
        "git@127.0.0.1:a.git".to_owned(),
    ] {
        let (is_built, _) = world.build(&format!("FROM base\nADD {source} /src/\n"));
        assert!(!is_built, "{source}");
        world.assert_nothing_ran();
    }
}

/// Commits a submodule that no `git submodule add` would make.
fn submodule(world: &World, name: &str, path: &str, settings: &str) -> Repository {
    let repository = Repository::new(&world.home, name);
    repository.write(".gitmodules", &format!("[submodule \"{name}\"]\n{settings}"));
    repository.git(&["add", ".gitmodules"]);
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},{path}", "1".repeat(40))]);
    repository.git(&["commit", "-q", "-m", "a submodule"]);
    repository.serve();
    repository
}

#[test]
fn submodules_are_fetched_from_servers_alone() {
    let world = World::new();
    world.trusting();
    let program = world.program.display().to_string();
    let own = Repository::new(&world.home, "own");
    own.write("file", "x\n").commit();
    let local = own.work.display().to_string();
    let cases = [
        ("ext", format!("ext::{program} x")),
        ("file", format!("file://{local}/.git")),
        ("path", format!("{local}/.git")),
        ("above", "../../../../../etc".to_owned()),
        ("ssh", format!("ssh://-oProxyCommand={program}/x")),
        ("option", format!("-u{program}")),
        ("long-option", format!("--upload-pack={program}")),
        ("scp", format!("-oProxyCommand={program}@host:x")),
        ("line", format!("\"https://host/a\\n{program}\"")),
        ("update", format!("https://host/a\n\tupdate = !{program}")),
    ];
    let mut said = Vec::new();
    for (name, url) in cases {
        let settings = format!("\tpath = sub\n\turl = {url}\n\tfetchRecurseSubmodules = true\n");
        let repository = submodule(&world, name, "sub", &settings);
        let (is_built, text) =
            world.build(&format!("FROM base\nADD {} /src\n", repository.url(&world.server)));
        assert!(!is_built, "{name}");
        let error = text.lines().find(|line| line.starts_with("ERROR")).unwrap_or_default();
        // Git's own checks find some of it, and say more than we want to know.
        let why = match error.split_once("cannot be fetched: ") {
            Some((_, why)) => why.replace(&program, "PROGRAM").replace(&local, "LOCAL"),
            None if error.contains("fsck error") => "refused by git".to_owned(),
            None => error.to_owned(),
        };
        said.push(format!("{name}: {why}"));
        world.assert_nothing_ran();
    }
    insta::assert_snapshot!(said.join("\n"), @"
    ext: `ext::PROGRAM x` is not the URL of a git repository
    file: `file://LOCAL/.git` is not the URL of a git repository
    path: `LOCAL/.git` is not the URL of a git repository
    above: `../../../../../etc` leads out of the server
    ssh: `ssh://-oProxyCommand=PROGRAM/x` has no valid host
    option: refused by git
    long-option: refused by git
    scp: refused by git
    line: refused by git
    update: refused by git
    ");
}

#[test]
fn submodules_and_subdirectories_stay_in_the_repository() {
    let world = World::new();
    let own = Repository::new(&world.home, "own");
    own.write("config", "x\n").commit();
    let url = own.url(&world.server);
    let settings = |path: &str| format!("\tpath = {path}\n\turl = {url}\n");
    let nowhere = submodule(&world, "unmapped", "sub", &settings("elsewhere"));
    let build = |repository: &Repository, reference: &str| {
        let address = repository.url(&world.server);
        let (is_built, text) = world.build(&format!("FROM base\nADD {address}{reference} /src\n"));
        assert!(!is_built);
        let error = text.lines().find(|line| line.starts_with("ERROR")).unwrap_or_default();
        error.replace(&address, "REPO")
    };
    insta::assert_snapshot!(build(&nowhere, ""), @"ERROR: `REPO` has the submodule `sub`, which cannot be fetched: `.gitmodules` does not say where it is");

    let links = Repository::new(&world.home, "links");
    symlink("/etc", links.work.join("out")).unwrap();
    symlink("inside", links.work.join("in")).unwrap();
    links.write("inside/dir/file", "x\n").commit();
    for reference in
        ["#:out", "#:in", "#:in/dir", "#:out/../etc", "#:../links", "?subdir=..%2f..", "#:inside/dir/file"]
    {
        let error = build(&links, reference);
        let is_refused = ["has no directory", "leads out"].iter().any(|words| error.contains(words));
        assert!(is_refused || error.contains("1 error"), "{reference}: {error}");
    }
    world.assert_nothing_ran();
}

/// A tree that has a link and files behind it: the link must not be followed when they are written.
#[test]
fn a_crafted_tree_writes_nothing_elsewhere() {
    let world = World::new();
    let victim = world.home.path("victim");
    fs::create_dir(&victim).unwrap();
    let repository = Repository::new(&world.home, "crafted");
    repository.write("payload", "overwritten\n").commit();
    let blob = repository.git(&["hash-object", "-w", "payload"]);
    fs::write(repository.work.join("link"), victim.to_str().unwrap()).unwrap();
    let link = repository.git(&["hash-object", "-w", "link"]);
    let tree = |lines: &str, name: &str| {
        fs::write(repository.work.join(name), lines).unwrap();
        let script = format!("git mktree < {name}");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]).current_dir(&repository.work).env("GIT_CONFIG_NOSYSTEM", "1");
        crate::support::check(&mut command).trim().to_owned()
    };
    let inner = tree(&format!("100644 blob {blob}\tpwned\n"), "inner");
    let top = tree(&format!("120000 blob {link}\ta\n040000 tree {inner}\ta\n"), "top");
    let commit = repository.git(&["commit-tree", "-m", "crafted", &top]);
    repository.git(&["update-ref", "refs/heads/crafted", &commit]);
    repository.serve();
    let url = repository.url(&world.server);
    let (is_built, text) = world.build(&format!("FROM base\nADD {url}#crafted /src\n"));
    assert!(!is_built, "{text}");
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    let dotgit = tree(&format!("040000 tree {inner}\t.git\n"), "dotgit");
    let commit = repository.git(&["commit-tree", "-m", "crafted", &dotgit]);
    repository.git(&["update-ref", "refs/heads/dotgit", &commit]);
    repository.serve();
    let (is_built, text) = world.build(&format!("FROM base\nADD {url}#dotgit /src\n"));
    assert!(!is_built, "{text}");
    assert_eq!(fs::read_dir(world.home.store().join("staging")).map_or(0, Iterator::count), 0);
}
