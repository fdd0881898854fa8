//! `--network` and what a container is told about its network and its limits.

use crate::support::World;

#[test]
fn a_container_has_a_network_of_its_own() {
    let world = World::new();
    let interfaces =
        |arguments: &[&str]| world.ok([&["run"], arguments, &["bb", "ls", "/sys/class/net"]].concat());
    assert_eq!(interfaces(&[]), "eth0\nlo\n");
    assert_eq!(interfaces(&["--network", "bridge"]), "eth0\nlo\n");
    assert_eq!(interfaces(&["--network", "none"]), "lo\n");
    let namespace = |arguments: &[&str]| {
        world
            .ok([&["run"], arguments, &["bb", "sh", "-c", "ls -l /proc/self/ns/net | sed 's/.*-> //'"]]
                .concat())
    };
    let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(namespace(&["--net", "host"]).trim_end(), ours.to_str().unwrap());
    assert_ne!(namespace(&[]).trim_end(), ours.to_str().unwrap());
}

#[test]
fn host_names_and_name_servers_are_what_was_asked_for() {
    let world = World::new();
    let hosts = world.ok([
        "run",
        "-h",
        "ship",
        "--add-host",
        "db:10.1.2.3",
        "--add-host",
        "v6=[fd00::1]",
        "bb",
        "cat",
        "/etc/hosts",
    ]);
    assert!(hosts.starts_with("127.0.0.1\tlocalhost ship\n"), "{hosts}");
    assert!(hosts.ends_with("10.1.2.3\tdb\nfd00::1\tv6\n"), "{hosts}");
    let gateway = world.ok(["run", "--add-host", "me:host-gateway", "bb", "cat", "/etc/hosts"]);
    assert!(gateway.ends_with(".1\tme\n"), "{gateway}");
    let dns = ["--dns", "192.0.2.53", "--dns-search", "example.org", "--dns-option", "ndots:2"];
    let resolv = world.ok([&["run"], &dns[..], &["bb", "cat", "/etc/resolv.conf"]].concat());
    let words: Vec<_> = resolv.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(words, ["search example.org", "nameserver 192.0.2.53", "options ndots:2"]);
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(world.run(["run", "--add-host", "db:here", "bb", "true"]), @"
    exit code 125
    ---- stderr
    error: invalid value 'db:here' for '--add-host <NAME:IP>': `here` is neither an IP address nor host-gateway

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(world.run(["run", "--network", "mine", "bb", "true"]), @"
    exit code 125
    ---- stderr
    ERROR: network mine not found
    hint: `slipway network ls` lists the networks that there are
    ");
    insta::assert_snapshot!(world.run([
        "run",
        "--network",
        "none",
        "--add-host",
        "me:host-gateway",
        "bb",
        "true"
    ]), @"
    exit code 125
    ---- stderr
    ERROR: the host cannot be reached from a network of the kind `none`, so that `host-gateway` has no address
    ");
}

#[test]
fn shared_memory_and_ulimits() {
    let world = World::new();
    let mount = "sed -n 's/.* \\/dev\\/shm tmpfs .*size=\\([0-9a-z]*\\).*/\\1/p' /proc/mounts";
    assert_eq!(world.ok(["run", "--shm-size", "1m", "bb", "sh", "-c", mount]), "1024k\n");
    assert_eq!(world.ok(["run", "bb", "sh", "-c", mount]), "65536k\n");
    let limits = "ulimit -Sn; ulimit -Hn";
    assert_eq!(world.ok(["run", "--ulimit", "nofile=100:200", "bb", "sh", "-c", limits]), "100\n200\n");
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(world.run(["run", "--ulimit", "nofile=5:4", "bb", "true"]), @"
    exit code 125
    ---- stderr
    error: invalid value 'nofile=5:4' for '--ulimit <NAME=SOFT[:HARD]>': the soft limit is above the hard limit

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(world.run(["run", "--ulimit", "sails=1", "bb", "true"]), @"
    exit code 125
    ---- stderr
    ERROR: cannot start the container: `rlimits` has the value `sails`: no resource limit has this name
    ");
}

#[test]
fn steps_of_a_build_have_it_too() {
    let world = World::new();
    let dockerfile = "FROM bb\nRUN ls /sys/class/net > /net\nRUN --network=none ls /sys/class/net > /none\n\
        RUN sed -n '/db$/p' /etc/hosts > /hosts; ulimit -n > /files\n";
    world.context("Dockerfile", dockerfile);
    let built = |arguments: &[&str]| {
        world.ok([&["build", "-q", "-t", "net"], arguments, &["context"]].concat());
        world.ok(["run", "net", "sh", "-c", "cat /net /none /hosts /files"])
    };
    assert_eq!(built(&["--ulimit", "nofile=99"]), "eth0\nlo\nlo\n99\n");
    assert_eq!(
        built(&["--network", "bridge", "--ulimit", "nofile=99", "--add-host", "db:10.0.0.9"]),
        "eth0\nlo\nlo\n10.0.0.9\tdb\n99\n"
    );
    // No step says so itself, and so nobody has to allow it.
    assert!(built(&["--network", "host", "--ulimit", "nofile=97"]).ends_with("lo\n97\n"));
    assert_eq!(built(&["--network", "none", "--ulimit", "nofile=98"]), "lo\nlo\n98\n");
}

#[test]
fn a_step_is_connected_when_it_makes_a_socket() {
    let world = World::new();
    let gateway = "busybox ip route | sed -n 's/^default via [0-9.]*\\([.]1\\) .*/\\1/p' > /gateway";
    // The first step of a store finds out which network there is; those of later builds begin without one.
    for build in ["first", "second"] {
        let dockerfile = format!(
            "FROM bb\nRUN : {build}; ls /sys/class/net > /before; wc -l < /proc/net/route > /routes\n\
             RUN : {build}; {gateway}; ls /sys/class/net > /after\n"
        );
        world.context("Dockerfile", &dockerfile);
        world.ok(["build", "-q", "-t", build, "context"]);
        let files = world.ok(["run", build, "cat", "/before", "/gateway", "/after"]);
        assert_eq!(files, "eth0\nlo\n.1\neth0\nlo\n", "{build}");
    }
    let routes = |image: &str| world.ok(["run", image, "cat", "/routes"]).trim_end().parse::<u32>().unwrap();
    assert_eq!((routes("first") > 1, routes("second")), (true, 1), "there was no need");
    // Damaged, it is found out again.
    std::fs::write(world.path("store/outlet"), "damaged").unwrap();
    world.context("Dockerfile", &format!("FROM bb\nRUN : third; {gateway}; ls /sys/class/net > /after\n"));
    world.ok(["build", "-q", "-t", "third", "context"]);
    assert_eq!(world.ok(["run", "third", "cat", "/gateway", "/after"]), ".1\neth0\nlo\n");
}
