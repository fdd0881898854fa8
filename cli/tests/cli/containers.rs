//! Containers that go on without the command that started them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Ran, World, signal, spawn};

/// Longest that anything may take to become true.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a container does that only ends when it is told to.
const FOREVER: &str = "trap 'echo bye; exit 4' TERM; echo ready; while true; do sleep 0.05; done";

/// Waits for something that happens in another process.
pub(crate) fn wait_until(what: &str, is_true: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_true() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn inspect(world: &World, name: &str, template: &str) -> String {
    world.ok(["inspect", "-f", template, name]).trim_end().to_owned()
}

/// Starts a container in the background, and waits until it has written its first line.
pub(crate) fn start(world: &World, options: &[&str], script: &str) -> String {
    let command = ["bb", "sh", "-c", script];
    let id = world.ok([&["run", "-d"], options, &command[..]].concat()).trim().to_owned();
    wait_until("the container writes nothing", || !world.ok(["logs", &id]).is_empty());
    id
}

/// The process that keeps a container.
pub(crate) fn monitor(world: &World, name: &str) -> u32 {
    let pid = inspect(world, name, "{{.State.Pid}}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    parent.trim().parse().unwrap()
}

#[test]
fn a_container_lives_without_its_client() {
    let world = World::new();
    let id = start(&world, &["--name", "web", "--label", "tier=front"], FOREVER);
    assert_eq!(id.len(), 64);
    let shown =
        world.ok(["ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}} {{.Image}} {{.Labels}}"]);
    assert_eq!(shown, format!("{id} web running bb tier=front\n"));
    assert_eq!(world.ok(["exec", "web", "sh", "-c", "echo $HOSTNAME; id -u"]), format!("{}\n0\n", &id[..12]));
    assert_eq!(
        world
            .run([
                "exec",
                "-u",
                "sailor",
                "-w",
                "/tmp",
                "-e",
                "A=1",
                &id[..6],
                "sh",
                "-c",
                "id -un; pwd; echo $A; exit 9"
            ])
            .to_string(),
        "exit code 9\n---- stdout\nsailor\n/tmp\n1\n"
    );
    assert_eq!(world.run_with(b"typed\n", ["exec", "-i", "web", "cat"]).stdout, "typed\n");
    assert_eq!(world.ok(["stop", "web"]), "web\n");
    assert_eq!(inspect(&world, "web", "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}"), "exited 4 0");
    assert_eq!(world.ok(["wait", "web"]), "4\n");
    assert_eq!(world.ok(["ps", "-q"]), "");
    assert_eq!(
        world.ok(["ps", "-aq", "--no-trunc", "-f", "exited=4", "-f", "label=tier"]),
        format!("{id}\n")
    );
    assert_eq!(world.ok(["logs", "web"]), "ready\nbye\n");
    // It goes on with the files that it had.
    world.ok(["start", "web"]);
    world.ok(["exec", "web", "touch", "/kept"]);
    world.ok(["restart", "-t", "0", "web"]);
    world.ok(["exec", "web", "test", "-e", "/kept"]);
    assert_eq!(world.ok(["rm", "-f", "web"]), "web\n");
    assert_eq!(world.ok(["ps", "-aq"]), "");
    assert_eq!(fs::read_dir(world.path("store/containers")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(world.path("store/container-names")).unwrap().count(), 0);
}

#[test]
fn mistakes_have_dockers_words_and_codes() {
    let world = World::new();
    let mut settings = world.settings();
    settings.add_filter("[0-9a-f]{64}", "<container>");
    let _guard = settings.bind_to_scope();
    start(&world, &["--name", "web"], FOREVER);
    world.ok(["create", "--name", "idle", "bb", "true"]);
    let text: String = [
        &["run", "--name", "web", "bb", "true"][..],
        &["create", "--name", "-x", "bb", "true"],
        &["run", "--restart", "always", "--rm", "bb", "true"],
        &["run", "--stop-signal", "NOPE", "bb", "true"],
        &["rm", "web"],
        &["exec", "idle", "true"],
        &["exec", "web", "nope"],
        &["exec", "web", "/etc/passwd"],
        &["kill", "idle"],
        &["kill", "-s", "NOPE", "web"],
        &["pause", "idle"],
        &["unpause", "web"],
        &["attach", "idle"],
        &["logs", "absent"],
        &["stop", "absent"],
        &["rename", "idle", "web"],
        &["ps", "-f", "nope=1"],
    ]
    .iter()
    .map(|arguments| format!("$ {}\n{}", arguments.join(" "), world.run(*arguments)))
    .collect();
    insta::assert_snapshot!(text);
    assert_eq!(world.ok(["ps", "-aq"]).lines().count(), 2, "nothing half-created stays behind");
    world.ok(["rm", "-f", "web", "idle"]);
}

#[test]
fn what_ends_in_the_foreground_is_kept_unless_it_is_to_go() {
    let world = World::new();
    assert_eq!(
        world.run(["run", "--name", "kept", "bb", "sh", "-c", "echo out; echo err >&2; exit 3"]).code,
        3
    );
    let logs = world.run(["logs", "kept"]);
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("out\n", "err\n"));
    world.ok(["run", "--rm", "--name", "gone", "bb", "true"]);
    assert_eq!(world.run(["run", "--rm", "--name", "never", "bb", "nope"]).code, 127);
    assert_eq!(world.run(["run", "--name", "failed", "bb", "nope"]).code, 127);
    assert_eq!(world.ok(["ps", "-a", "--format", "{{.Names}} {{.State}}"]), "failed created\nkept exited\n");
    let pruned = world.ok(["container", "prune", "-f"]);
    assert!(pruned.starts_with("Deleted Containers:\n"), "{pruned}");
    assert_eq!(world.ok(["ps", "-aq"]), "");
}

#[test]
fn a_created_container_is_started_with_its_streams() {
    let world = World::new();
    let id = world.ok(["create", "-i", "--cidfile", "id", "--name", "cat", "bb", "cat"]);
    assert_eq!(fs::read_to_string(world.path("id")).unwrap(), id.trim());
    assert_eq!(world.run(["create", "--cidfile", "id", "bb", "true"]).code, 1);
    assert_eq!(world.run_with(b"one\n", ["start", "-a", "-i", "cat"]).stdout, "one\n");
    assert_eq!(world.run_with(b"two\n", ["start", "-ai", "cat"]).stdout, "two\n");
    assert_eq!(world.ok(["logs", "cat"]), "one\ntwo\n");
    assert_eq!(world.ok(["logs", "-n", "1", "cat"]), "two\n");
    let timed = world.ok(["logs", "-t", "--since", "1h", "cat"]);
    assert!(timed.lines().all(|line| line.contains("Z ") && line.starts_with("20")), "{timed}");
    assert_eq!(world.ok(["logs", "--until", "1h", "cat"]), "");
}

#[test]
fn logs_are_followed_to_the_end() {
    let world = World::new();
    let count = 20_000;
    let script = format!("echo ready; while ! test -e /go; do sleep 0.05; done; seq {count}");
    start(&world, &["--name", "writer", "--log-opt", "max-size=1k", "--log-opt", "max-file=100000"], &script);
    let mut follower = spawn(&mut world.command(["logs", "-f", "writer"]));
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "ready");
    world.ok(["exec", "writer", "touch", "/go"]);
    for number in 1..=count {
        assert_eq!(lines.next(), Some(number.to_string()));
    }
    assert_eq!(lines.next(), None);
    assert!(follower.wait().unwrap().success());
}

#[test]
fn containers_are_found_by_what_they_have() {
    let world = World::new();
    let network = world.ok(["network", "create", "net"]);
    let host = world.path("host").display().to_string();
    let bind = format!("{host}:/there");
    let mounts = ["-v", "data:/data", "-v", &bind, "--expose", "90/udp", "-p", "127.0.0.1::80"];
    let run = ["run", "-d", "--name", "one", "--network", "net"];
    world.ok([&run[..], &mounts, &["bb", "sleep", "1000"]].concat());
    world.ok(["create", "--name", "two", "--network", "none", "--expose", "70-72", "bb", "true"]);
    world.ok(["create", "--name", "three", "bb", "true"]);
    let port = world.ok(["port", "one", "80"]);
    let public = format!("publish={}", port.trim().rsplit(':').next().unwrap());
    let found = |filters: &[&str]| {
        let filters = filters.iter().flat_map(|filter| ["-f", filter]);
        let command = ["ps", "-a", "--format", "{{.Names}}"].into_iter().chain(filters);
        let mut names: Vec<String> =
            world.ok(command.collect::<Vec<_>>()).lines().map(str::to_owned).collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(found(&["network=net"]), "one");
    assert_eq!(found(&[&format!("network={}", network.trim())]), "one");
    assert_eq!(found(&["network=none", "network=bridge"]), "three two");
    assert_eq!(found(&["network=absent"]), "");
    for volume in ["volume=data", "volume=/data", "volume=/there", &format!("volume={host}")] {
        assert_eq!(found(&[volume]), "one", "{volume}");
    }
    assert_eq!(found(&["volume=dat"]), "");
    assert_eq!(found(&["expose=80"]), "one");
    assert_eq!(found(&["expose=71/tcp", "expose=90/udp"]), "one two");
    assert_eq!(found(&["expose=60-70", "network=none"]), "two");
    assert_eq!((found(&["expose=90"]).as_str(), found(&[&public]).as_str()), ("", "one"));
    assert_eq!(found(&["publish=80"]), "");
    let wrong = world.run(["ps", "-f", "publish=x"]);
    assert!(wrong.code == 1 && wrong.stderr.contains("invalid filter 'publish=x'"), "{wrong}");
}

#[test]
fn who_follows_slowly_loses_nothing() {
    let world = World::new();
    // More than fits into all pipes and files.
    let count = 200_000;
    let script = format!("echo ready; while ! test -e /go; do sleep 0.05; done; seq {count}");
    start(
        &world,
        &["--rm", "--name", "writer", "--log-opt", "max-size=4k", "--log-opt", "max-file=2"],
        &script,
    );
    let home = world.path("store/containers").join(inspect(&world, "writer", "{{.Id}}"));
    let mut follower = spawn(&mut world.command(["logs", "-f", "writer"]));
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "ready");
    world.ok(["exec", "writer", "touch", "/go"]);
    wait_until("nothing is kept for who follows", || log_sizes(&home).len() > 4);
    assert_eq!(inspect(&world, "writer", "{{.State.Status}}"), "running");
    for number in 1..=count {
        assert_eq!(lines.next(), Some(number.to_string()));
    }
    assert_eq!(lines.next(), None);
    assert!(follower.wait().unwrap().success());
    wait_until("the container stays", || world.ok(["ps", "-aq"]).is_empty() && log_sizes(&home).is_empty());
}

#[test]
fn who_follows_reads_what_a_container_that_is_gone_has_written() {
    let world = World::new();
    // It fits into the pipes and files up to the reader, but not all into the pipe of that.
    let script = "echo ready; while ! test -e /go; do sleep 0.05; done; seq 30000";
    start(
        &world,
        &["--rm", "--name", "writer", "--log-opt", "max-size=1m", "--log-opt", "max-file=2"],
        script,
    );
    let mut follower = spawn(&mut world.command(["logs", "-f", "writer"]));
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "ready");
    world.ok(["exec", "writer", "touch", "/go"]);
    wait_until("the container stays", || world.ok(["ps", "-aq"]).is_empty());
    for number in 1..=30_000 {
        assert_eq!(lines.next(), Some(number.to_string()));
    }
    assert_eq!(lines.next(), None);
    assert!(follower.wait().unwrap().success());
    let containers = world.path("store/containers");
    wait_until("its files stay", || fs::read_dir(&containers).unwrap().count() == 0);
}

/// Sizes of the files of a log.
fn log_sizes(home: &Path) -> Vec<u64> {
    let names = fs::read_dir(home).into_iter().flatten().flatten();
    names
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("log."))
        .filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .collect()
}

#[test]
fn logs_are_limited() {
    let world = World::new();
    world.ok([
        "run",
        "--name",
        "chatty",
        "--log-opt",
        "max-size=10k",
        "--log-opt",
        "max-file=2",
        "bb",
        "seq",
        "20000",
    ]);
    let home = world.path("store/containers").join(inspect(&world, "chatty", "{{.Id}}"));
    let logs = log_sizes(&home);
    assert!(logs.len() == 2 && logs.iter().all(|size| *size < 20_000), "{logs:?}");
    assert!(world.ok(["logs", "chatty"]).ends_with("19999\n20000\n"));
    world.ok(["run", "--name", "quiet", "--log-driver", "none", "bb", "echo", "x"]);
    assert_eq!(world.ok(["logs", "quiet"]), "");
}

#[test]
fn signals_and_standing_still() {
    let world = World::new();
    let script = "trap 'echo usr1' USR1; echo ready; while true; do sleep 0.05; done";
    start(&world, &["--name", "web", "--stop-timeout", "0"], script);
    world.ok(["kill", "-s", "USR1", "web"]);
    wait_until("the signal does not arrive", || world.ok(["logs", "web"]) == "ready\nusr1\n");
    let paused = world.run(["pause", "web"]);
    if paused.code == 0 {
        assert_eq!(inspect(&world, "web", "{{.State.Status}} {{.State.Running}}"), "paused true");
        assert_eq!(world.run(["exec", "web", "true"]).code, 1);
        world.ok(["unpause", "web"]);
        world.ok(["exec", "web", "true"]);
        world.ok(["pause", "web"]);
    } else {
        assert!(std::env::var_os("CI").is_none(), "CI promises a freezer: {paused}");
    }
    // SIGTERM means nothing to it, so SIGKILL follows; whoever stands still hears both.
    world.ok(["stop", "web"]);
    assert_eq!(inspect(&world, "web", "{{.State.ExitCode}}"), "137");
}

#[test]
fn restart_policies() {
    let world = World::new();
    world.ok([
        "run",
        "-d",
        "--name",
        "thrice",
        "--restart",
        "on-failure:2",
        "bb",
        "sh",
        "-c",
        "echo x; exit 3",
    ]);
    assert_eq!(world.ok(["wait", "thrice"]), "3\n");
    assert_eq!(inspect(&world, "thrice", "{{.RestartCount}} {{.State.Status}}"), "2 exited");
    assert_eq!(world.ok(["logs", "thrice"]), "x\nx\nx\n");
    world.ok(["run", "-d", "--name", "always", "--restart", "always", "bb", "true"]);
    wait_until("it is not restarted", || inspect(&world, "always", "{{.RestartCount}}") != "0");
    world.ok(["stop", "always"]);
    let count = inspect(&world, "always", "{{.RestartCount}} {{.State.Status}}");
    assert!(count.ends_with(" exited"), "{count}");
    world.ok(["rm", "always"]);
}

/// Control groups of ours that are not in use.
fn groups() -> Vec<String> {
    let roots = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let groups = roots.flat_map(|root| fs::read_dir(root.path()).into_iter().flatten().flatten());
    let names = groups.map(|group| group.path().display().to_string());
    names.filter(|name| name.contains("/slipway-")).collect()
}

#[test]
fn the_truth_is_told_after_the_monitor_was_killed() {
    let world = World::new();
    start(&world, &["--name", "web"], FOREVER);
    let pid = inspect(&world, "web", "{{.State.Pid}}");
    let killed = monitor(&world, "web");
    let own = groups().into_iter().filter(|group| group.contains(&format!("-{killed}-"))).collect::<Vec<_>>();
    signal(killed, "KILL");
    wait_until("the lock is not let go", || inspect(&world, "web", "{{.State.Status}}") == "exited");
    assert_eq!(inspect(&world, "web", "{{.State.ExitCode}} {{.State.Pid}}"), "137 0");
    wait_until("the container outlives its monitor", || {
        fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
    });
    assert_eq!(world.run(["exec", "web", "true"]).code, 1);
    world.ok(["start", "web"]);
    assert_ne!(monitor(&world, "web"), killed);
    world.ok(["rm", "-f", "web"]);
    assert!(groups().iter().all(|group| !own.contains(group)), "{own:?} stay");
}

#[test]
fn a_client_that_is_killed_leaves_the_container_alone() {
    let world = World::new();
    let script = "trap 'exit 4' TERM; echo ready; while true; do echo again; sleep 0.05; done";
    let mut client = spawn(&mut world.command(["run", "--name", "web", "bb", "sh", "-c", script]));
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(inspect(&world, "web", "{{.State.Status}}"), "running");
    let mut attached = spawn(world.command(["attach", "web"]).stdin(Stdio::null()));
    // It is connected when it hears something.
    let mut heard = BufReader::new(attached.stdout.take().unwrap());
    heard.read_line(&mut String::new()).unwrap();
    let rest = std::thread::spawn(move || heard.lines().map_while(Result::ok).count());
    world.ok(["stop", "web"]);
    rest.join().unwrap();
    assert_eq!(attached.wait().unwrap().code(), Some(4));
}

#[test]
fn files_that_a_power_cut_has_emptied_are_in_nobodys_way() {
    let world = World::new();
    for name in ["first", "second", "third"] {
        let id = start(&world, &["--name", name, "-v", &format!("{name}:/data")], FOREVER);
        signal(monitor(&world, name), "KILL");
        wait_until("it goes on", || inspect(&world, name, "{{.State.Status}}") == "exited");
        let emptied = if name == "second" { "config.json" } else { "state.json" };
        fs::write(world.path("store/containers").join(&id).join(emptied), "").unwrap();
    }
    assert_eq!(inspect(&world, "first", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    let refused = world.run(["start", "second"]);
    assert!(refused.code == 71 && refused.stderr.contains("is damaged"), "{refused}");
    assert!(refused.stderr.contains("removes what is left of it"), "{refused}");
    world.ok(["start", "first"]);
    world.ok(["rm", "-f", "first", "second", "third"]);
    assert_eq!(world.run(["ps", "-a"]).stderr, "");
    world.ok(["run", "--rm", "--name", "second", "bb", "true"]);
    world.ok(["volume", "rm", "first", "second", "third"]);
}

#[test]
fn what_a_container_stands_on_stays() {
    let world = World::new();
    world.ok(["create", "--name", "idle", "bb", "echo", "still here"]);
    world.ok(["rmi", "-f", "bb"]);
    world.ok(["image", "prune", "-af"]);
    world.ok(["builder", "prune", "-af"]);
    assert_eq!(world.ok(["start", "-a", "idle"]), "still here\n");
    world.ok(["rm", "idle"]);
}

#[test]
fn many_at_once() {
    let world = World::new();
    let count = 24;
    let clients: Vec<_> = (0..count)
        .map(|number| {
            let name = format!("n{number}");
            spawn(&mut world.command([
                "run",
                "-d",
                "--network",
                "none",
                "--name",
                &name,
                "bb",
                "sleep",
                "1000",
            ]))
        })
        .collect();
    for client in clients {
        let ran = Ran::of(&client.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran}");
    }
    let ids = world.ok(["ps", "-q"]);
    assert_eq!(ids.lines().count(), count);
    let mut remove: Vec<&str> = ids.lines().collect();
    remove.splice(0..0, ["rm", "-f"]);
    world.ok(remove);
    assert_eq!(world.ok(["ps", "-aq"]), "");
}

#[test]
fn images_of_containers_stay() {
    let world = World::new();
    let idle = world.ok(["create", "--name", "idle", "bb", "true"]);
    let id = world.ok(["image", "inspect", "-f", "{{.Id}}", "bb"]);
    let (id, short) = (id.trim(), &id["sha256:".len()..][..12]);
    let named = world.run(["rmi", "bb"]);
    let expected = format!(
        "ERROR: conflict: unable to remove repository reference \"bb\" (must force) - container {} is using its \
         referenced image {short}\n",
        &idle[..12]
    );
    assert!(named.code == 1 && named.stderr.starts_with(&expected), "{named}");
    world.ok(["tag", "bb", "other"]);
    assert_eq!(world.ok(["rmi", "other"]), "Untagged: other:latest\n", "the image has another name");
    start(&world, &["--name", "web"], FOREVER);
    let running = world.run(["rmi", "-f", id]);
    let text =
        format!("unable to delete {short} (cannot be forced) - image is being used by running container");
    assert!(running.code == 1 && running.stderr.contains(&text), "{running}");
    world.ok(["image", "prune", "-af"]);
    assert_eq!(world.ok(["images", "-q", "--no-trunc"]).trim(), id);
    // By force a name goes, and the image stays for who runs.
    assert_eq!(world.ok(["rmi", "-f", "bb"]), "Untagged: bb:latest\n");
    world.ok(["rm", "-f", "web"]);
    let stopped = world.run(["rmi", id]);
    assert!(
        stopped.code == 1 && stopped.stderr.contains("(must be forced) - image is being used by stopped")
    );
    assert_eq!(world.ok(["rmi", "-f", id]), format!("Deleted: {id}\n"));
}

#[test]
fn what_containers_use_is_shown() {
    let world = World::new();
    start(&world, &["--name", "busy"], "echo ready; while true; do :; done");
    world.ok(["create", "--name", "idle", "bb", "true"]);
    let format = "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}} {{.NetIO}}";
    let shown = world.ok(["stats", "--no-stream", "--format", format]);
    let fields: Vec<&str> = shown.split_whitespace().collect();
    assert_eq!((fields[0], fields[5], shown.lines().count()), ("busy", "1", 1), "{shown}");
    assert!(fields[1].trim_end_matches('%').parse::<f64>().unwrap() > 0.0, "{shown}");
    assert!(fields[2].ends_with("iB") && !fields[2].starts_with("0B"), "{shown}");
    let all = world.ok(["stats", "-a", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.PIDs}}"]);
    assert!(all.contains("idle 0.00% 0\n"), "{all}");
    let mut stream = spawn(&mut world.command(["stats", "--format", "{{.Name}}", "busy"]));
    let mut lines = BufReader::new(stream.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!((lines.next().unwrap(), lines.next().unwrap()), ("busy".to_owned(), "busy".to_owned()));
    stream.kill().unwrap();
    stream.wait().unwrap();
    assert_eq!(world.run(["stats", "--no-stream", "absent"]).code, 1);
}

#[test]
fn groups_are_added() {
    let world = World::new();
    let groups = |options: &[&str]| {
        let command = ["bb", "id", "-G"];
        world.ok([&["run", "--rm"], options, &command].concat()).trim().to_owned()
    };
    assert_eq!(groups(&["--group-add", "1234", "--group-add", "root"]), "0 1234");
    assert_eq!(groups(&["-u", "7:8", "--group-add", "9"]), "8 9");
    let unknown = world.run(["run", "--rm", "--group-add", "nope", "bb", "true"]);
    assert!(unknown.code == 125 && unknown.stderr.contains("nope"), "{unknown}");
    start(&world, &["--name", "web", "--group-add", "1234"], FOREVER);
    assert_eq!(world.ok(["exec", "web", "id", "-G"]), "0 1234\n");
    assert_eq!(inspect(&world, "web", "{{.HostConfig.GroupAdd}}"), "[1234]");
}
