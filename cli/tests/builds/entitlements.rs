//! What a Dockerfile gets only when the user says so.

use std::fs;
use std::process::{Command, Output};

use crate::support::Home;

/// Two devices in files of either kind, which together have all that a step can get.
const DEVICES_JSON: &str = r#"{
  "cdiVersion": "0.6.0",
  "kind": "slipway.test/sink",
  "containerEdits": { "env": ["SINKS=1"] },
  "devices": [{ "name": "null", "containerEdits": { "deviceNodes": [{ "path": "/dev/sink", "hostPath": "/dev/null" }] } }]
}"#;
const DEVICES_YAML: &str = "
cdiVersion: 1.0.0
kind: slipway.test/source
devices:
- name: zero
  containerEdits:
    env: [SOURCE=/dev/source]
    deviceNodes: [{path: /dev/source, hostPath: /dev/zero}]
    mounts: [{hostPath: /usr/lib/os-release, containerPath: /etc/host-release, options: [ro, bind]}]
- name: zero-hooked
  containerEdits: {hooks: [{hookName: createContainer, path: /bin/true}]}
";

/// A build in a mount namespace in which these devices are described; the host does not see them.
fn build_with_devices(home: &Home, arguments: &[&str], steps: &str) -> Output {
    fs::create_dir_all(home.path("cdi")).unwrap();
    fs::write(home.path("cdi/sink.json"), DEVICES_JSON).unwrap();
    fs::write(home.path("cdi/source.yaml"), DEVICES_YAML).unwrap();
    let context = home.context(&format!("FROM base\n{steps}\n"), &[]);
    let build = home.command(&[&["build", "-q", "-t", "image"], arguments, &[&context]].concat());
    let script = "mount -t tmpfs none /run && mkdir /run/cdi && cp cdi/* /run/cdi && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(build.get_program()).args(build.get_args());
    command.env("SLIPWAY_ROOT", home.store()).current_dir(home.path("")).output().unwrap()
}

#[test]
fn a_step_gets_the_devices_that_are_allowed() {
    let home = Home::new();
    let steps = "RUN --device=slipway.test/sink --device=slipway.test/source=zero,required \\
        busybox head -c 3 $SOURCE | busybox wc -c > /seen && echo x > /dev/sink && echo $SINKS >> /seen && \\
        busybox cmp /etc/host-release /etc/host-release && ! touch /etc/host-release
RUN --device=slipway.test/other ! test -e /dev/sink && echo ${SINKS-none} >> /seen
RUN --device=zero test -c /dev/source";
    let allowed = ["--allow=device=slipway.test/sink", "--allow=device=slipway.test/source=*"];
    let alias = "--allow=device=slipway.test/source=zero,alias=zero";
    let output = build_with_devices(&home, &[&allowed[..], &[alias]].concat(), steps);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(home.ok(&["run", "--rm", "image", "cat", "/seen"]), "3\n1\nnone\n");
    let files = home.ok(&[
        "run",
        "--rm",
        "image",
        "sh",
        "-c",
        "ls /dev/sink /dev/source /etc/host-release 2>&1; true",
    ]);
    assert_eq!(files.matches("No such file").count(), 3, "{files}");
    let all = build_with_devices(
        &home,
        &["--allow", "device"],
        &steps.replace("=zero test", "=slipway.test/source test"),
    );
    assert!(all.status.success(), "{}", String::from_utf8_lossy(&all.stderr));
}

#[test]
fn devices_that_a_step_cannot_have() {
    let home = Home::new();
    let error = |device: &str, arguments: &[&str]| {
        let output = build_with_devices(&home, arguments, &format!("RUN --device={device} true"));
        format!("{:?}\n{}\n", output.status.code(), String::from_utf8_lossy(&output.stderr))
    };
    let errors = [
        error("slipway.test/sink=null", &[]),
        error("slipway.test/sink=absent,required", &["--allow=device"]),
        error("gpu", &["--allow=device"]),
        error("slipway.test/source=zero-hooked", &["--allow=device"]),
    ];
    insta::assert_snapshot!(errors.concat(), @r#"
    Some(1)
    error: this step asks for a device
     --> Dockerfile:2:1
    2 | RUN --device=slipway.test/sink=null true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: device slipway.test/sink=null is requested by the build but not allowed
    hint: allow it if you trust the Dockerfile: `--allow device=slipway.test/sink=null`

    Some(1)
    error: this step asks for a device
     --> Dockerfile:2:1
    2 | RUN --device=slipway.test/sink=absent,required true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: required device "slipway.test/sink=absent" is not registered
    hint: files in `/etc/cdi` and `/var/run/cdi` describe devices; `--device=NAME` without `required` does without

    Some(1)
    error: this step asks for a device
     --> Dockerfile:2:1
    2 | RUN --device=gpu true
      | ^^^^^^^^^^^^^^^^^^^^^

    ERROR: invalid device `gpu`, expected VENDOR/CLASS=NAME
    hint: if that is a name of yours: `--allow device=VENDOR/CLASS=NAME,alias=gpu`

    Some(1)
    error: this step asks for a device
     --> Dockerfile:2:1
    2 | RUN --device=slipway.test/source=zero-hooked true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: device slipway.test/source=zero-hooked needs hooks, which would run outside of the sandbox (`/var/run/cdi/source.yaml`)
    "#);
}

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
    error: invalid value 'security.unsafe' for '--allow <ENTITLEMENT>': unknown entitlement security.unsafe, expected network.host, security.insecure or device[=NAME[,alias=ALIAS]]

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

#[test]
fn a_step_has_the_network_of_the_host_or_one_of_its_own() {
    let home = Home::new();
    let see = |network: &str, id: &str| {
        let dockerfile = format!("FROM base\nRUN readlink /proc/self/ns/net > /seen # {id}\n");
        home.ok(&["build", "-q", "-t", id, "--network", network, &home.context(&dockerfile, &[])]);
        home.ok(&["run", "--rm", id, "cat", "/seen"])
    };
    let host = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(see("host", "one").trim_end(), host.to_str().unwrap());
    for (network, id) in [("default", "two"), ("bridge", "three"), ("none", "four")] {
        assert_ne!(see(network, id).trim_end(), host.to_str().unwrap(), "{network}");
    }
}
