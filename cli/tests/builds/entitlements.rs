//! What a Dockerfile gets only when the user says so.

use crate::support::Home;

#[test]
fn nothing_is_allowed_unless_somebody_says_so() {
    let home = Home::new();
    let error = |steps: &str, arguments: &[&str]| {
        let context = home.context(&format!("FROM base\n{steps}\n"), &[]);
        let (code, error) = home.fails(&[&["build", "-q"], arguments, &[&context]].concat());
        format!("{code}\n{error}\n")
    };
    let errors = [
        error("RUN --security=insecure true", &[]),
        error("RUN true\nRUN --network=host true", &["--allow", "security.insecure"]),
        error("RUN true", &["--allow", "security.unsafe"]),
    ];
    insta::assert_snapshot!(errors.concat(), @"
    1
    error: this step needs the entitlement `security.insecure`
     --> Dockerfile:2:1
    2 | RUN --security=insecure true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: security.insecure is not allowed
    hint: allow it if you trust the Dockerfile: `--allow security.insecure`

    1
    error: this step needs the entitlement `network.host`
     --> Dockerfile:3:1
    3 | RUN --network=host true
      | ^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: network.host is not allowed
    hint: allow it if you trust the Dockerfile: `--allow network.host`

    1
    error: invalid value 'security.unsafe' for '--allow <ENTITLEMENT>': unknown entitlement security.unsafe, expected network.host or security.insecure

    For more information, try '--help'.
    ");
    // What the target does not need does not matter.
    let context = home.context("FROM base AS unused\nRUN --security=insecure true\nFROM base\n", &[]);
    home.ok(&["build", "-q", &context]);
}

#[test]
fn an_insecure_step_can_do_everything() {
    let home = Home::new();
    let dockerfile = "FROM base
RUN grep='busybox grep -E' && $grep '^(CapEff|Seccomp:|NoNew)' /proc/self/status > /sandbox && ! busybox mount -t tmpfs none /tmp
RUN --security=insecure busybox grep -E '^(CapEff|Seccomp:|NoNew)' /proc/self/status > /insecure && \
    busybox mount -t tmpfs none /tmp && busybox mount | busybox grep ' on /sys type' | busybox grep -c '(rw' >> /insecure && \
    test -c /dev/fuse
USER app
RUN --security=insecure busybox grep -E '^CapEff' /proc/self/status > /tmp/user
";
    let context = home.context(dockerfile, &[]);
    home.ok(&["build", "-q", "-t", "image", "--allow", "security.insecure", &context]);
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find(|line| line.starts_with("CapEff")).unwrap();
    let shown = home.ok(&["run", "--rm", "image", "cat", "/sandbox", "/insecure", "/tmp/user"]);
    insta::assert_snapshot!(shown.replace(own, "CapEff:\tall of ours"), @"
    CapEff:	00000000a80425fb
    NoNewPrivs:	1
    Seccomp:	2
    CapEff:	all of ours
    NoNewPrivs:	0
    Seccomp:	0
    1
    CapEff:	all of ours
    ");
}

#[test]
fn a_step_in_the_network_of_the_host() {
    let home = Home::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connects = format!("busybox nc -w 5 127.0.0.1 {port} < /dev/null");
    let dockerfile =
        format!("FROM base\nRUN --network=none ! {connects}\nRUN --network=host {connects} > /said\n");
    let context = home.context(&dockerfile, &[]);
    let server =
        std::thread::spawn(move || std::io::Write::write_all(&mut listener.accept().unwrap().0, b"hello\n"));
    home.ok(&["build", "-q", "-t", "image", "--allow=network.host", &context]);
    server.join().unwrap().unwrap();
    assert_eq!(home.ok(&["run", "--rm", "image", "cat", "/said"]), "hello\n");
}
