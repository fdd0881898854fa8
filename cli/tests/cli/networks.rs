//! Networks that containers share, and published ports, with real sockets.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::rootless;
use crate::support::{World, signal, spawn};

/// Longest time for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A container that greets on port 80, and ends with its input.
struct Server(Child);

impl Server {
    /// Returns when it listens.
    fn start(world: &World, options: &[&str]) -> Self {
        Self::running(
            world,
            options,
            "echo greeting > /tmp/index.html; busybox httpd -p 80 -h /tmp; echo up; read x",
        )
    }

    fn running(world: &World, options: &[&str], script: &str) -> Self {
        let command = ["bb", "sh", "-c", script];
        let words = ["run", "--rm", "-i"].iter().chain(options).chain(&command).copied();
        let mut child = spawn(world.command(words).stdin(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line != "up\n" {
            let mut text = String::new();
            child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
            panic!("{line}{text}");
        }
        Self(child)
    }

    fn stop(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().code().is_some());
    }
}

/// The host's Python, for servers that busybox does not have.
const HOST_PROGRAMS: [&str; 6] = ["-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro"];

/// Starts a server on port 9 that sends back what it gets, and waits for the end of the input. Its queue holds
/// all that a test connects at once: Python's five overflow, upon which the kernel resets some.
fn echo_server(kind: &str) -> String {
    let receive = match kind {
        "TCP" => "for d in iter(lambda: self.request.recv(65536), b''): self.request.sendall(d)",
        _ => "self.request[1].sendto(self.request[0], self.client_address)",
    };
    format!(
        "exec /usr/bin/python3 -c \"
import socketserver, sys, threading
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        {receive}
class Server(socketserver.Threading{kind}Server):
    request_queue_size = 128
server = Server(('0.0.0.0', 9), Echo)
threading.Thread(target=server.serve_forever, daemon=True).start()
print('up', flush=True)
sys.stdin.readline()\""
    )
}

fn get(address: impl Into<SocketAddr>) -> Option<String> {
    let mut stream = TcpStream::connect(address.into()).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.lines().last().map(str::to_owned)
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A port that nobody had a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind(local(0)).unwrap().local_addr().unwrap().port()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn networks_are_made_listed_shown_and_removed() {
    let world = World::empty();
    let create = [
        "network",
        "create",
        "--subnet",
        "10.77.1.9/24",
        "--ip-range",
        "10.77.1.128/25",
        "--label",
        "a=b",
        "mine",
    ];
    let id = world.ok(create);
    assert_eq!(id.len(), 65);
    let names = |filter: &str| world.ok(["network", "ls", "--format", "{{.Name}} {{.Driver}}", "-f", filter]);
    assert_eq!(names("scope=local"), "bridge bridge\nhost host\nmine bridge\nnone null\n");
    assert_eq!(names("type=custom"), "mine bridge\n");
    assert_eq!(names("label=a=c"), "");
    assert_eq!(world.ok(["network", "ls", "-q", "-f", "name=min"]).trim(), &id[..12]);
    let mut settings = world.settings();
    settings.add_filter(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>");
    settings.add_filter("[0-9a-f]{64}", "<network>");
    let _guard = settings.bind_to_scope();
    insta::assert_snapshot!(world.ok(["network", "inspect", &id[..6]]), @r#"
    [
        {
            "Name": "mine",
            "Id": "<network>",
            "Created": "<time>",
            "Scope": "local",
            "Driver": "bridge",
            "EnableIPv4": true,
            "EnableIPv6": false,
            "IPAM": {
                "Driver": "default",
                "Options": null,
                "Config": [
                    {
                        "Subnet": "10.77.1.0/24",
                        "IPRange": "10.77.1.128/25",
                        "Gateway": "10.77.1.1"
                    }
                ]
            },
            "Internal": false,
            "Attachable": false,
            "Ingress": false,
            "ConfigFrom": {
                "Network": ""
            },
            "ConfigOnly": false,
            "Containers": {},
            "Options": {},
            "Labels": {
                "a": "b"
            }
        }
    ]
    "#);
    let stderr = |arguments: &[&str]| {
        let ran = world.run(arguments);
        format!("{} {}", ran.code, ran.stderr)
    };
    insta::assert_snapshot!(stderr(&["network", "create", "mine"]), @"1 ERROR: network with name mine already exists");
    insta::assert_snapshot!(stderr(&["network", "create", "a b"]), @r#"1 ERROR: invalid network name: "a b" includes invalid characters, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed"#);
    insta::assert_snapshot!(stderr(&["network", "create", "host"]), @"1 ERROR: operation is not permitted on predefined host network");
    insta::assert_snapshot!(stderr(&["network", "create", "--subnet", "10.77.0.0/16", "x"]), @"1 ERROR: invalid pool request: Pool overlaps with other one on this address space: 10.77.0.0/16 with 10.77.1.0/24");
    insta::assert_snapshot!(stderr(&["network", "create", "--subnet", "10.78.0.0/16", "--gateway", "10.9.0.1", "x"]), @"1 ERROR: no matching subnet for gateway 10.9.0.1");
    insta::assert_snapshot!(stderr(&["network", "create", "-d", "macvlan", "x"]), @"1 ERROR: could not find plugin macvlan in v1 plugin registry: plugin not found");
    insta::assert_snapshot!(stderr(&["network", "rm", "bridge"]), @"1 ERROR: operation is not permitted on predefined bridge network");
    insta::assert_snapshot!(stderr(&["network", "rm", "nope"]), @r"
    1 ERROR: network nope not found
    hint: `slipway network ls` lists the networks that there are
    ");
    assert_eq!(world.ok(["network", "rm", "mine"]), "mine\n");
    world.ok(["network", "create", "other"]);
    assert_eq!(world.ok(["network", "prune", "-f"]), "Deleted Networks:\nother\n\n");
    assert_eq!(names("type=custom"), "");
    let left = fs::read_dir(world.path("store/networks")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["lock"]);
}

#[test]
fn containers_of_a_network_find_each_other() {
    let world = World::new();
    world.ok(["network", "create", "net"]);
    world.ok(["network", "create", "other"]);
    let server = Server::start(&world, &["--network", "net", "--network-alias", "web"]);
    let container = |options: &[&str], script: &str| {
        let command = ["bb", "sh", "-c", script];
        world.run(["run", "--rm"].iter().chain(options).chain(&command).copied())
    };
    let fetch =
        |name: &str| container(&["--network", "net"], &format!("busybox wget -qO- http://{name}/index.html"));
    for name in ["web", "WEB", "web.net"] {
        assert_eq!(fetch(name).stdout, "greeting\n", "{name}");
    }
    let inspected = world.ok([
        "network",
        "inspect",
        "-f",
        "{{range .Containers}}{{.Name}} {{.IPv4Address}} {{.MacAddress}}{{end}}",
        "net",
    ]);
    let [name, address, mac] = inspected.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{inspected}")
    };
    let address: Ipv4Addr = address.strip_suffix("/16").unwrap().parse().unwrap();
    assert_eq!(address.octets()[2..], [0, 2]);
    assert!(mac.starts_with("02:42:ac:"), "{mac}");
    assert_eq!(fetch(name).stdout, "greeting\n", "by its short id");
    let reversed =
        container(&["--network", "net"], &format!("busybox nslookup {address} | busybox grep name"));
    assert!(reversed.stdout.contains(&format!("name = {name}.net")), "{reversed}");
    assert_ne!(
        container(&["--network", "other", "--dns", "127.0.0.2"], "busybox wget -qO- http://web/").code,
        0,
        "another network"
    );
    // By its address nobody else reaches it either, and the host does where it is root.
    let by_address = format!("busybox timeout 3 busybox wget -qO- http://{address}/index.html || exit 1");
    if rootless::is_root() {
        assert_eq!(get((address, 80)).as_deref(), Some("greeting"));
    }
    assert_ne!(container(&["--network", "other"], &by_address).code, 0);
    let refused = world.run(["network", "rm", "net"]);
    assert!(
        refused.code == 1 && refused.stderr.contains(&format!("has active endpoints (name:\"{name}\"")),
        "{refused}"
    );
    assert_eq!(world.ok(["network", "prune", "-f"]), "Deleted Networks:\nother\n\n");
    server.stop();
    wait_until("the last container has left", || world.run(["network", "rm", "net"]).code == 0);
}

#[test]
fn names_of_others_are_asked_for_elsewhere() {
    let world = World::new();
    world.ok(["network", "create", "net"]);
    world.ok(["network", "create", "--internal", "inner"]);
    // A name server of the host, which knows one name.
    let server = UdpSocket::bind("127.0.0.53:53");
    let Ok(server) = server else { return };
    let answering = std::thread::spawn(move || {
        let mut buffer = [0; 512];
        let (length, asker) = server.recv_from(&mut buffer).unwrap();
        let mut answer = buffer[..length].to_vec();
        (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
        answer.truncate(12 + buffer[12..length].iter().position(|byte| *byte == 0).unwrap() + 5);
        (answer[8], answer[9], answer[10], answer[11]) = (0, 0, 0, 0);
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 77]);
        server.send_to(&answer, asker).unwrap();
    });
    let look = |network: &str| {
        world.run([
            "run",
            "--rm",
            "--network",
            network,
            "--dns",
            "127.0.0.53",
            "bb",
            "busybox",
            "nslookup",
            "-type=a",
            "far.example",
        ])
    };
    assert!(!look("inner").stdout.contains("192.0.2.77"), "an inner network asks nobody outside");
    let found = look("net");
    assert!(found.stdout.contains("192.0.2.77"), "{found}");
    answering.join().unwrap();
    let route = world.ok(["run", "--rm", "--network", "inner", "bb", "busybox", "ip", "route"]);
    assert!(!route.contains("default"), "{route}");
    let resolv = world.ok([
        "run",
        "--rm",
        "--network",
        "net",
        "--dns-search",
        "example.org",
        "bb",
        "cat",
        "/etc/resolv.conf",
    ]);
    let words: Vec<_> = resolv.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(words, ["search example.org", "nameserver 127.0.0.11", "options ndots:0"]);
}

#[test]
fn addresses_are_what_was_asked_for() {
    let world = World::new();
    world.ok(["network", "create", "--subnet", "10.77.2.0/24", "net"]);
    world.ok(["network", "create", "auto"]);
    let server = Server::start(
        &world,
        &[
            "--network",
            "name=net,ip=10.77.2.77,mac-address=02:00:00:00:00:07",
            "--network-alias",
            "web",
            "-h",
            "ship",
        ],
    );
    let mac = world.ok([
        "network",
        "inspect",
        "-f",
        "{{range .Containers}}{{.IPv4Address}} {{.MacAddress}}{{end}}",
        "net",
    ]);
    assert_eq!(mac, "10.77.2.77/24 02:00:00:00:00:07\n");
    let stderr = |options: &[&str]| {
        let ran = world.run(["run", "--rm"].iter().chain(options).chain(&["bb", "true"]).copied());
        format!("{} {}", ran.code, ran.stderr)
    };
    insta::assert_snapshot!(stderr(&["--network", "net", "--ip", "10.77.2.77"]), @"125 ERROR: cannot set up the network: Address already in use: 10.77.2.77");
    insta::assert_snapshot!(stderr(&["--network", "net", "--ip", "10.9.9.9"]), @"125 ERROR: cannot set up the network: no configured subnet or ip range contain the IP address 10.9.9.9");
    insta::assert_snapshot!(stderr(&["--network", "auto", "--ip", "10.9.9.9"]), @"125 ERROR: user specified IP address is supported only when connecting to networks with user configured subnets");
    insta::assert_snapshot!(stderr(&["--network-alias", "x"]), @"125 ERROR: network-scoped alias is supported only for containers in user defined networks");
    insta::assert_snapshot!(stderr(&["--network", "net", "--network", "host"]), @"125 ERROR: conflicting options: cannot attach both user-defined and non-user-defined network-modes");
    // In two networks, the first of which is the way out.
    let both = world.ok(["run", "--rm", "--network", "auto", "--network", "net", "bb", "sh", "-c", "ls /sys/class/net; busybox ip route | busybox grep -c default; busybox wget -qO- http://10.77.2.77/index.html"]);
    assert_eq!(both, "eth0\neth1\nlo\n1\ngreeting\n");
    server.stop();
}

#[test]
fn ports_lead_to_their_container() {
    let world = World::new();
    let port = free_port();
    let published = format!("{port}:80");
    let server = Server::start(&world, &["-p", &published]);
    assert_eq!(get(local(port)).as_deref(), Some("greeting"));
    assert_eq!(get((std::net::Ipv6Addr::LOCALHOST, port)).as_deref(), Some("greeting"));
    let ran = world.run(["run", "--rm", "-p", &published, "bb", "true"]);
    assert_eq!(
        (ran.code, ran.stderr),
        (125, format!("ERROR: Bind for 0.0.0.0:{port} failed: port is already allocated\n"))
    );
    server.stop();
    let again = Server::start(&world, &["-p", &format!("127.0.0.1:{port}:80")]);
    assert_eq!(get(local(port)).as_deref(), Some("greeting"), "it was free again");
    again.stop();
    let host = world.run(["run", "--rm", "--network", "none", "-p", &published, "bb", "true"]);
    assert!(host.code == 0 && host.stderr.contains("published ports are discarded"), "{host}");
    let wrong = world.run(["run", "-p", "80:x", "bb", "true"]);
    assert!(wrong.code == 125 && wrong.stderr.contains("invalid containerPort: x"), "{wrong}");
}

#[test]
fn much_goes_through_a_port_both_ways() {
    let world = World::new();
    let port = free_port();
    let script = echo_server("TCP");
    world.ok(["network", "create", "net"]);
    let ports = format!("127.0.0.1:{port}:9");
    let options = ["-p", &ports, "--network", "net"];
    let server = Server::running(&world, &[&options[..], &HOST_PROGRAMS].concat(), &script);
    let echo = |bytes: usize| {
        let mut stream = TcpStream::connect(local(port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let sent: Vec<u8> = (0..bytes).map(|index| (index / 7) as u8).collect();
        let (mut writer, expected) = (stream.try_clone().unwrap(), sent.clone());
        let writing = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        writing.join().unwrap();
        assert!(received == expected, "{} of {bytes} bytes", received.len());
    };
    echo(20 << 20);
    std::thread::scope(|scope| (0..20).for_each(|_| drop(scope.spawn(|| echo(100_000)))));
    server.stop();
}

#[test]
fn a_reset_is_not_taken_for_an_end() {
    let world = World::new();
    let port = free_port();
    let script = "exec /usr/bin/python3 -c \"
import socket, struct, sys
server = socket.create_server(('0.0.0.0', 9))
print('up', flush=True)
while True:
    client, _ = server.accept()
    word = client.recv(16)
    client.sendall(b'half of it')
    if word == b'reset':
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        client.recv(16)
    client.close()
    if word == b'stop': sys.exit(0)\"";
    let ports = format!("127.0.0.1:{port}:9");
    let server = Server::running(&world, &[&["-p", &ports][..], &HOST_PROGRAMS].concat(), script);
    let ask = |word: &str| {
        let mut stream = TcpStream::connect(local(port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(word.as_bytes()).unwrap();
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).unwrap();
        if word == "reset" {
            // The server waits for it. One that has closed its end answers with a reset, too.
            stream.write_all(b"on").unwrap();
        }
        (String::from_utf8(answer.to_vec()).unwrap(), stream.read(&mut [0; 10]).map_err(|error| error.kind()))
    };
    let half = || String::from("half of it");
    assert_eq!(ask("reset"), (half(), Err(std::io::ErrorKind::ConnectionReset)));
    assert_eq!(ask("stop"), (half(), Ok(0)));
    server.stop();
}

#[test]
fn datagrams_and_ranges_are_published_too() {
    let world = World::new();
    let port = free_port();
    let script = echo_server("UDP");
    let ports = format!("127.0.0.1:{port}:9/udp");
    let server = Server::running(&world, &[&["-p", &ports][..], &HOST_PROGRAMS].concat(), &script);
    let socket = UdpSocket::bind(local(0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(local(port)).unwrap();
    socket.send(b"ahoy").unwrap();
    let mut buffer = [0; 16];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"ahoy");
    server.stop();
    world.context("Dockerfile", "FROM bb\nEXPOSE 80 81/udp\n");
    world.ok(["build", "-q", "-t", "exposing", "context"]);
    let mut command = world.command([
        "run",
        "--rm",
        "-i",
        "-P",
        "--expose",
        "90-91",
        "exposing",
        "sh",
        "-c",
        "echo up; read x",
    ]);
    let mut child = spawn(command.stdin(Stdio::piped()));
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    let count = |sockets: &[String], kind: &str| sockets.iter().filter(|it| it.starts_with(kind)).count();
    wait_until("80, 90 and 91 of TCP and 81 of UDP are published", || {
        let sockets = sockets_of("slipway-ports", &world);
        (count(&sockets, "tcp "), count(&sockets, "udp ")) == (3, 1)
    });
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// Sockets of IPv4 that are open in a helper process of our containers, as kinds and local addresses.
fn sockets_of(name: &str, world: &World) -> Vec<String> {
    let engine = world.path("store");
    let mut all = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let is_ours =
            command.starts_with(name.as_bytes()) && parent_has(&process.path(), engine.to_str().unwrap());
        if !is_ours {
            continue;
        }
        let inodes: Vec<String> = fs::read_dir(process.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|fd| {
                Some(
                    fs::read_link(fd.path())
                        .ok()?
                        .to_str()?
                        .strip_prefix("socket:[")?
                        .strip_suffix(']')?
                        .to_owned(),
                )
            })
            .collect();
        for kind in ["tcp", "udp"] {
            let table = fs::read_to_string(format!("/proc/net/{kind}")).unwrap();
            for line in table.lines() {
                let fields: Vec<&str> = line.split_whitespace().collect();
                if fields.get(9).is_some_and(|inode| inodes.iter().any(|it| it == inode)) {
                    all.push(format!("{kind} {}", fields[1]));
                }
            }
        }
    }
    all
}

/// Whether the monitor that started a process works on this store.
fn parent_has(process: &std::path::Path, store: &str) -> bool {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let parent =
        status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim).unwrap_or_default();
    let command = fs::read(format!("/proc/{parent}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).split('\0').any(|word| word == store)
}

/// Interfaces and routes of the host, without those of other tests.
fn has_route(subnet: &str) -> bool {
    fs::read_to_string("/proc/net/route").unwrap().contains(subnet)
}

#[test]
fn nothing_of_a_network_stays_when_everything_is_killed() {
    let world = World::new();
    world.ok(["network", "create", "--subnet", "10.77.3.0/24", "net"]);
    let port = free_port();
    let mut server = Server::start(&world, &["--network", "net", "-p", &format!("127.0.0.1:{port}:80")]);
    assert_eq!(get(local(port)).as_deref(), Some("greeting"));
    // 10.77.3.0 in the byte order of the machine.
    let subnet = format!("{:08X}", u32::from_ne_bytes([10, 77, 3, 0]));
    assert!(!rootless::is_root() || has_route(&subnet));
    // The container is its monitor's, and not the client's.
    let id = world.ok(["ps", "-q"]);
    let pid = world.ok(["inspect", "-f", "{{.State.Pid}}", id.trim()]);
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    let monitor = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned();
    server.0.kill().unwrap();
    server.0.wait().unwrap();
    signal(monitor.parse().unwrap(), "KILL");
    wait_until("the port is free", || std::net::TcpListener::bind(local(port)).is_ok());
    wait_until("the network is gone from the host", || !has_route(&subnet));
    wait_until("nobody is in it", || {
        world.ok(["network", "inspect", "-f", "{{len .Containers}}", "net"]) == "0\n"
    });
    // The next one finds it as it was.
    let next = Server::start(&world, &["--network", "net", "-p", &format!("127.0.0.1:{port}:80")]);
    assert_eq!(get(local(port)).as_deref(), Some("greeting"));
    next.stop();
    wait_until("the last one has left", || world.run(["network", "rm", "net"]).code == 0);
}

/// Containers in the background, which are gone at the end of the test.
struct Background<'a>(&'a World, Vec<&'a str>);

impl<'a> Background<'a> {
    fn start(&mut self, name: &'a str, options: &[&str], script: &str) {
        let command = ["bb", "sh", "-c", script];
        let begin = ["run", "-d", "--name", name];
        let words = begin.iter().chain(options).chain(&command).copied();
        self.1.push(name);
        self.0.ok(words);
    }
}

impl Drop for Background<'_> {
    fn drop(&mut self) {
        self.0.run(["rm", "-f"].iter().chain(&self.1).copied());
    }
}

const GREETER: &str = "echo greeting > /tmp/index.html; exec busybox httpd -f -p 80 -h /tmp";

#[test]
fn containers_join_and_leave_networks_while_they_run() {
    let world = World::new();
    for name in ["one", "two"] {
        world.ok(["network", "create", name]);
    }
    let (port, mut containers) = (free_port(), Background(&world, Vec::new()));
    let published = format!("127.0.0.1:{port}");
    containers.start("web", &["--network", "one", "-p", &format!("{published}:80")], GREETER);
    containers.start("other", &["--network", "two"], "sleep 1000");
    wait_until("it greets", || get(local(port)).as_deref() == Some("greeting"));
    assert_eq!(world.ok(["port", "web"]), format!("80/tcp -> {published}\n"));
    assert_eq!(world.ok(["port", "web", "80/tcp"]), format!("{published}\n"));
    let none = world.run(["port", "web", "81"]);
    assert_eq!(
        (none.code, none.stderr),
        (1, "ERROR: no public port '81/tcp' published for web\n".to_owned())
    );
    assert_eq!(
        world.ok(["ps", "--format", "{{.Names}} {{.Networks}} {{.Ports}}", "-f", "name=web"]),
        format!("web one {published}->80/tcp\n")
    );
    let addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}}/{{.IPPrefixLen}} {{end}}";
    assert_eq!(world.ok(["inspect", "-f", addresses, "web"]).matches("/16 ").count(), 1);
    let fetch = |name: &str| {
        world.run(["exec", "other", "busybox", "wget", "-qO-", &format!("http://{name}/index.html")])
    };
    world.ok(["network", "connect", "--alias", "www", "two", "web"]);
    for name in ["web", "www", "web.two"] {
        assert_eq!(fetch(name).stdout, "greeting\n", "{name}");
    }
    assert_eq!(world.ok(["inspect", "-f", addresses, "web"]).matches("/16 ").count(), 2);
    assert_eq!(world.ok(["exec", "web", "ls", "/sys/class/net"]), "eth0\neth1\nlo\n");
    let twice = world.run(["network", "connect", "two", "web"]);
    assert!(twice.code == 1 && twice.stderr.contains("already exists in network"), "{twice}");
    let used = world.run(["network", "rm", "two"]);
    assert!(used.code == 1 && used.stderr.contains("has active endpoints"), "{used}");
    world.ok(["network", "disconnect", "two", "web"]);
    assert_eq!(world.ok(["exec", "web", "ls", "/sys/class/net"]), "eth0\nlo\n");
    let gone = world.run(["network", "disconnect", "two", "web"]);
    assert!(gone.code == 1 && gone.stderr.contains("is not connected to network two"), "{gone}");
    // What was published is published again.
    world.ok(["restart", "-t", "0", "web"]);
    wait_until("it greets again", || get(local(port)).as_deref() == Some("greeting"));
    let absent = world.run(["create", "--network", "nope", "bb", "true"]);
    assert!(absent.code == 1 && absent.stderr.contains("network nope not found"), "{absent}");
}

/// The same as an ordinary user, whose containers are started by different processes.
const USER_SCRIPT: &str = "slipway import rootfs.tar bb > id && slipway network create net > id
    mkfifo in1 in2; exec 8<>in1 9<>in2
    server='echo greeting > /tmp/index.html; busybox httpd -p 80 -h /tmp; echo up; read x'
    slipway run --rm -i --network net --network-alias web -p 127.0.0.1:0:80 bb sh -c \"$server\" < in1 > out1 2> err1 &
    slipway run --rm -i --network net --network-alias www -p 127.0.0.1:$PORT:80 bb sh -c \"$server\" < in2 > out2 2> err2 &
    until grep -q up out1 && grep -q up out2; do sleep 0.05; if [ -s err1 ] || [ -s err2 ]; then cat err1 err2; exit 9; fi; done
    slipway run --rm --network net bb sh -c 'busybox wget -qO- http://web/index.html; busybox wget -qO- http://www/index.html'
    busybox wget -qO- http://127.0.0.1:$PORT/index.html
    slipway network inspect -f '{{len .Containers}}' net
    echo >&8; echo >&9; wait
    until slipway network rm net 2> id; do sleep 0.05; done";

#[test]
fn a_user_has_networks_and_ports() {
    for ranges in [rootless::SUBORDINATE, ""] {
        let Some(world) = rootless::user() else { return };
        let ran = rootless::as_user(&world, ranges, &USER_SCRIPT.replace("$PORT", &free_port().to_string()));
        assert_eq!(ran.stdout, "greeting\ngreeting\ngreeting\n2\nnet\n", "{ran}");
    }
}
