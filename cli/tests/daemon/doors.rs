//! The ways in: TCP, and sockets that somebody else has opened.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::process::Command;
use std::time::Duration;

use crate::buildctl::{build, ok};
use crate::client::Served;
use crate::support::Home;

/// A machine that does much else may take long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a daemon with a socket where systemd puts it, see sd_listen_fds(3).
fn activated(home: Home, socket: OwnedFd) -> Served {
    let own = home.command(&["daemon", "--addr", "fd://"]);
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$0" "$@" 3<&0 0</dev/null"#]).arg(own.get_program()).args(own.get_args());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("SLIPWAY_ROOT", home.store());
    command.current_dir(home.path(".")).stdin(File::from(socket));
    Served::listening(home, command)
}

#[test]
fn clients_come_over_tcp() {
    let home = Home::new();
    let command = home.command(&["daemon", "--addr=tcp://127.0.0.1:0"]);
    let served = Served::of(home, command, &[]);
    // This machine trusts itself.
    assert_eq!(served.told, "");
    let context = served.home.context("FROM base\nCOPY f /\nRUN cat /f", &[("f", "over the wire\n")]);
    assert!(served.build(&[&context]).contains(" over the wire\n"));
}

#[test]
fn an_open_door_is_told() {
    let home = Home::without_base();
    let command = home.command(&["daemon", "--addr=tcp://0.0.0.0:0"]);
    let served = Served::listening(home, command);
    assert_eq!(
        served.told,
        "WARNING: whoever reaches tcp://0.0.0.0:0 can build here: give `--tlscert`, `--tlskey` and `--tlscacert`\n"
    );
}

#[test]
fn a_socket_of_the_service_manager_is_taken_over() {
    let home = Home::new();
    let path = home.path("a.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let mut served = activated(home, socket.into());
    assert_eq!(served.address, "a socket of the service manager");
    served.address = format!("unix://{}", path.display());
    served.home.context("FROM base\nRUN echo woken", &[]);
    assert!(ok(&served, &build(&[])).shown.contains(" woken\n"));
    let home = Home::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("tcp://{}", socket.local_addr().unwrap());
    let served = activated(home, socket.into());
    assert_eq!(served.address, place);
    served.home.context("FROM base\nRUN echo woken", &[]);
    assert!(ok(&served, &build(&[])).shown.contains(" woken\n"));
}

#[test]
fn the_service_manager_hears_when_clients_are_served_and_when_not() {
    use std::os::linux::net::SocketAddrExt as _;
    let place = format!("slipway-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&place).unwrap();
    let manager = UnixDatagram::bind_addr(&address).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = || {
        let mut message = [0; 64];
        let count = manager.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..count]).into_owned()
    };
    let home = Home::without_base();
    let mut command = home.command(&["daemon", "--addr=tcp://127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", format!("@{place}"));
    let mut served = Served::listening(home, command);
    assert_eq!(hear(), "READY=1");
    let pid = served.daemon.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    assert_eq!(hear(), "STOPPING=1");
    assert!(served.daemon.wait().unwrap().success());
}
