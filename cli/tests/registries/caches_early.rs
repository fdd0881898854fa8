//! Layers that travel to a cache while later steps run.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use crate::server::Registry;
use crate::support::{Home, wait_for};

/// A build whose last step ends when somebody answers at this port.
fn dockerfile(port: u16) -> String {
    format!(
        "FROM base\nRUN echo one > /one\nRUN --network=host busybox wget -q -O /two http://127.0.0.1:{port}/\n"
    )
}

#[test]
fn a_layer_arrives_before_the_build_has_ended() {
    let (home, registry) = (Home::new(), Registry::start());
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let context = home.context(&dockerfile(server.local_addr().unwrap().port()), &[]);
    let cache = format!("type=slipway,ref={}", registry.name("cache:1"));
    let arguments = ["build", "-q", "-t", "app", "--allow", "network.host", "--cache-to", &cache, &context];
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = server.accept().unwrap();
            wait_for("the layer of the first step", || registry.has_blobs_of("cache"));
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\ntwo\n").unwrap();
        });
        home.ok(&arguments);
    });
    assert_eq!(home.ok(&["run", "app", "cat", "/one", "/two"]), "one\ntwo\n");
}

#[test]
fn a_build_need_not_wait_for_a_cache() {
    let (home, registry) = (Home::new(), Registry::start());
    let context = home.context("FROM base\nRUN echo one > /one\n", &[]);
    let name = format!("type=slipway,ref={}", registry.name("cache:1"));
    let wait = ["build", "-q", "-t", "app", "--cache-wait=none", "--cache-to"];
    // What has not arrived is not named, and what is named is there.
    home.ok(&[&wait[..], &[&name, &context]].concat());
    let other = Home::new();
    let context = other.context("FROM base\nRUN echo one > /one\n", &[]);
    other.ok(&["build", "-q", "-t", "app", "--cache-from", &name, &context]);
    assert_eq!(other.ok(&["run", "app", "cat", "/one"]), "one\n");
}
