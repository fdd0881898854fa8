//! Private networks, on a host that is a network namespace of its own, with an Internet that is another.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child as Process, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use executor::{Capability, Exit, Network, Outlet, Rootfs, Spec, private_network};

use crate::support::{Mode, World, run, start};

/// First argument of the test binary when it is an engine on a pretended host.
pub(crate) const ON_HOST: &str = "--on-pretended-host";

/// Time in which everything must be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// A host with an uplink, and an Internet with one server that greets. `$1` is more to set up, `$2` the rest.
const HOST: &str = r#"
    mount -t tmpfs run /run && mount -t tmpfs tmp /tmp && ip link set lo up || exit 90
    echo 0 > /proc/sys/net/ipv4/ip_forward # a new namespace has it from the machine
    unshare --net sh -c 'ip link set lo up && echo up && exec sleep 1000' > /run/internet &
    internet=$!
    until grep -q up /run/internet; do sleep 0.01; done
    ip link add up0 mtu 1400 type veth peer name eth0 netns $internet &&
    ip addr add 192.0.2.2/24 dev up0 && ip link set up0 up && ip route add default via 192.0.2.1 || exit 91
    nsenter --net=/proc/$internet/ns/net sh -c '
        ip addr add 192.0.2.1/24 dev eth0 && ip link set eth0 up && ip addr add 198.51.100.7/32 dev lo || exit 92
        while echo hello | /bin/busybox nc -l -p 80; do :; done' < /dev/null > /dev/null 2>&1 &
    until nsenter --net=/proc/$internet/ns/net grep -q ':0050 ' /proc/net/tcp /proc/net/tcp6; do sleep 0.01; done
    eval "$1"
    shift
    "$@"
"#;

/// Connects to the server on the Internet.
///
/// Its input does not end: some versions of pasta(1) forget to say that the other side has closed a connection when this
/// side has closed its half before.
const GREET: &str = "mkfifo /tmp/open 2>/dev/null; nc -w 5 198.51.100.7 80 <> /tmp/open";

/// A pretended host on which an engine does what it is told, line by line.
struct Host {
    process: Process,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Host {
    /// `set_up` is a script for the host, `prefix` the words before the engine's command.
    fn start(set_up: &str, prefix: &[&str]) -> Self {
        let mut process = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--mount-proc",
                "--pid",
                "--fork",
                "--kill-child=KILL",
                "sh",
                "-c",
                HOST,
                "sh",
                set_up,
            ])
            .args(prefix)
            .args([std::env::current_exe().unwrap().to_str().unwrap(), ON_HOST])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, answers }
    }

    /// Sends a command to the engine, and returns its answer.
    fn tell(&mut self, command: &str) -> String {
        writeln!(self.process.stdin.as_ref().unwrap(), "{command}").unwrap();
        self.answers.next().expect("the engine answers").unwrap()
    }

    /// Runs a script in a sandbox.
    fn sandbox(&mut self, script: &str) -> String {
        self.tell(&format!("run {script}"))
    }

    /// Runs a script on the pretended host.
    fn shell(&mut self, script: &str) -> String {
        self.tell(&format!("host {script}"))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The engine: answers each line of its input with one line.
pub(crate) fn on_host() -> ExitCode {
    let world = World::new(Mode::Root);
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (verb, rest) = line.split_once(' ').unwrap_or((line.as_str(), ""));
        let private = || Spec { network: Network::Private, ..world.shell(rest) };
        let answer = match verb {
            "outlet" => match private_network() {
                Ok(network) => network.outlet.name().to_string(),
                Err(error) => format!("none: {error}"),
            },
            "run" => one_line(&private()),
            "lazy" => one_line(&Spec { network: Network::OnDemand(Outlet::Veth), ..private() }),
            "lazy-user" => one_line(&Spec { network: Network::OnDemand(Outlet::Pasta), ..private() }),
            "admin" => {
                let spec = private();
                let capability = Capability::from_name("NET_ADMIN").unwrap();
                one_line(&Spec { capabilities: spec.capabilities.with(capability), ..spec })
            }
            "host" => {
                let output = Command::new("sh").args(["-c", rest]).output().unwrap();
                String::from_utf8_lossy(&output.stdout).trim_end().replace('\n', " ")
            }
            "neighbours" => neighbours(&world),
            "die" => {
                // It reads nothing more: what follows is for the shell that waits for it.
                println!("dying");
                let _ = Command::new("sh").args(["-c", "kill -9 $PPID"]).status();
                String::new()
            }
            other => panic!("no verb `{other}`"),
        };
        println!("{answer}");
    }
    ExitCode::SUCCESS
}

/// Who can connect to a sandbox that listens.
fn neighbours(world: &World) -> String {
    let listen = "while true; do nc -l -p 99 -e echo inside; done & sleep 0.2; echo ready; wait";
    let first = start(&Spec { network: Network::Private, ..world.shell(listen) });
    let address = "10.213.192.2";
    let connect = format!("nc -w 1 {address} 99 < /dev/null || echo refused");
    let Rootfs::Overlay { lowers, .. } = world.shell("").rootfs else { panic!("worlds are overlays") };
    let [upper, work] = ["upper-of-second", "work-of-second"].map(|name| world.path(name));
    std::fs::create_dir(&upper).unwrap();
    std::fs::create_dir(&work).unwrap();
    let rootfs = Rootfs::Overlay { lowers, upper, work, volatile: true };
    let second = one_line(&Spec { rootfs, network: Network::Private, ..world.shell(&connect) });
    let shell = |script: &str| {
        let output = Command::new("sh").args(["-c", script]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim_end().to_string()
    };
    let host = shell(&format!("busybox {connect}"));
    let internet = "nsenter --net=/proc/$(pgrep -x -f 'sleep 1000' -n)/ns/net";
    let route = format!("{internet} ip route replace {address} via 192.0.2.2");
    let outside = shell(&format!("{route} && {internet} busybox {connect}"));
    drop(first);
    format!("first: {address}, second: {second}, host: {host}, outside: {outside}")
}

fn one_line(spec: &Spec) -> String {
    match run(spec) {
        Ok(ran) if ran.outcome.exit == Exit::Code(0) => ran.stdout.trim_end().replace('\n', " "),
        Ok(ran) => format!("{:?} {}{}", ran.outcome.exit, ran.stdout, ran.stderr).replace('\n', " "),
        Err(error) => {
            format!("error: {error}: {:?}", std::error::Error::source(&error).map(ToString::to_string))
        }
    }
}

pub(crate) fn veth_reaches_the_outside(_: &World) {
    let mut host = Host::start("", &[]);
    assert_eq!(host.tell("outlet"), "veth");
    assert_eq!(host.sandbox(GREET), "hello");
    assert_eq!(host.sandbox("ls /sys/class/net"), "eth0 lo");
    assert_eq!(host.sandbox("cat /sys/class/net/eth0/mtu"), "1400", "packets fit through the uplink");
    assert_eq!(host.shell("cat /proc/sys/net/ipv4/conf/up0/forwarding"), "1");
}

pub(crate) fn users_have_a_program_for_it(_: &World) {
    let mut host = Host::start("", &["unshare", "--user", "--map-root-user"]);
    assert_eq!(host.tell("outlet"), "pasta");
    assert_eq!(host.sandbox(GREET), "hello");
    let hidden = "mount --bind /dev/null $(command -v pasta)";
    let mut host = Host::start(hidden, &["unshare", "--user", "--map-root-user"]);
    assert_eq!(host.tell("outlet"), "slirp4netns");
    assert_eq!(host.sandbox(GREET), "hello");
}

pub(crate) fn the_first_socket_is_connected(_: &World) {
    // The server takes one connection at a time; another meanwhile is refused, or closed without a word.
    let greet = format!("until {GREET} | grep hello; do sleep 0.02; done");
    let look = "ip addr show eth0 | grep -c 'inet '";
    for (lazy, prefix) in [("lazy", &[][..]), ("lazy-user", &["unshare", "--user", "--map-root-user"])] {
        let mut host = Host::start("", prefix);
        let mut sandbox = |script: &str| host.tell(&format!("{lazy} {script}"));
        assert_eq!(sandbox("ls /sys/class/net; grep -c . /proc/net/route"), "eth0 lo 1", "no route");
        assert_eq!(sandbox("ls /sys/class/net; grep -c . /proc/net/route"), "eth0 lo 1", "in the same one");
        assert_eq!(sandbox("ping -c 1 127.0.0.1 > /dev/null && ls /sys/class/net"), "eth0 lo");
        assert_eq!(sandbox(&format!("for each in 1 2 3; do {greet}; done")), "hello hello hello");
        // Two processes make the first one at the same time.
        assert_eq!(sandbox(&format!("({look}) & ({look}) & wait")), "1 1");
        assert_eq!(sandbox("cat /sys/class/net/eth0/operstate"), "down", "another one");
        assert_eq!(host.sandbox(&greet), "hello", "one that is connected before it begins");
    }
    let mut host = Host::start("", &[]);
    assert_eq!(host.tell(&format!("lazy {greet}; cat /sys/class/net/eth0/mtu")), "hello 1400");
}

pub(crate) fn a_socket_without_a_network_ends_the_command(_: &World) {
    let hidden = "for name in pasta slirp4netns; do mount --bind /dev/null $(command -v $name); done";
    let mut host = Host::start(hidden, &["unshare", "--user", "--map-root-user"]);
    assert_eq!(host.tell("lazy-user echo no socket"), "no socket");
    let answer = host.tell(&format!("lazy-user {GREET}; echo survived"));
    assert!(answer.starts_with("error: ") && answer.contains("slirp4netns: is not installed"), "{answer}");
}

pub(crate) fn without_an_outlet_there_are_reasons(_: &World) {
    let hidden = "for name in pasta slirp4netns; do mount --bind /dev/null $(command -v $name); done";
    let mut host = Host::start(hidden, &["unshare", "--user", "--map-root-user"]);
    let answer = host.tell("outlet");
    let reasons = "pasta: is not installed; slirp4netns: is not installed";
    assert!(answer.starts_with("none: veth: ") && answer.ends_with(reasons), "{answer}");
}

pub(crate) fn addresses_are_away_from_routes(_: &World) {
    let mut host = Host::start("ip route add 10.0.0.0/8 via 192.0.2.1", &[]);
    assert_eq!(host.sandbox("ip -o -4 addr show eth0 | tr -s ' ' | cut -d ' ' -f 4"), "172.30.192.2");
    assert_eq!(host.sandbox(GREET), "hello");
}

pub(crate) fn only_the_host_connects_to_a_sandbox(_: &World) {
    let mut host = Host::start("", &[]);
    assert_eq!(
        host.tell("neighbours"),
        "first: 10.213.192.2, second: refused, host: inside, outside: refused"
    );
}

pub(crate) fn other_firewalls_let_sandboxes_pass(_: &World) {
    let strict =
        "nft 'table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop; }; }'";
    let rules = "nft list chain ip filter FORWARD | grep -c slipway";
    let mut host =
        Host::start(strict, &["sh", "-c", &format!("\"$@\"; read -r _; sleep 0.5; {rules}"), "sh"]);
    assert_eq!(host.sandbox(GREET), "hello");
    assert_eq!(host.shell(rules), "2");
    assert_eq!(host.shell("iptables -S FORWARD | grep -c slipway+"), "2", "iptables still shows its table");
    assert_eq!(host.tell("die"), "dying");
    assert_eq!(host.tell(""), "0");
}

pub(crate) fn a_quiet_namespace_is_used_again(_: &World) {
    let mut host = Host::start("", &[]);
    let namespace = "readlink /proc/self/ns/net";
    let first = host.sandbox(namespace);
    assert_eq!(host.sandbox(namespace), first);
    // The side that closes first has to wait for stray packets, and keeps its port meanwhile.
    let noisy = "nc -l -p 99 -e true & sleep 0.2; nc 127.0.0.1 99 < /dev/null; readlink /proc/self/ns/net";
    assert_eq!(host.sandbox(noisy), first);
    let second = host.sandbox(namespace);
    assert_ne!(second, first);
    assert_eq!(host.tell(&format!("admin {namespace}")), second);
    assert_ne!(host.sandbox(namespace), second, "a sandbox that could change its network was the last in it");
}

/// What of ours is on the host.
const CENSUS: &str = "ls /sys/class/net | grep -c slipway; nft list tables | grep -c slipway; cat /proc/sys/net/ipv4/conf/up0/forwarding";

pub(crate) fn nothing_of_the_network_stays(_: &World) {
    // When the engine is gone, a shell of the pretended host takes the census.
    let after = format!("\"$@\"; while read -r _; do {{ {CENSUS}; }} | tr '\\n' ' '; echo; done");
    let mut host = Host::start("mount -t sysfs sys /sys", &["sh", "-c", &after, "sh"]);
    assert_eq!(host.sandbox(GREET), "hello");
    assert_eq!(host.shell(CENSUS), "1 1 1");
    assert_eq!(host.tell("die"), "dying");
    let begin = Instant::now();
    loop {
        let answer = host.tell("");
        if answer.trim() == "0 0 0" {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "interfaces, tables, forwarding: {answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
