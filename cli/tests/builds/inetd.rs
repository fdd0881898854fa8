//! Servers that are started for each connection, as inetd(8) does.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// A port of loopback behind which a program is started; nobody waits for it to come up.
pub(crate) struct Inetd {
    port: u16,
    is_over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Inetd {
    /// Starts `program` for each connection, which is its standard input and output.
    pub(crate) fn new(program: impl Fn() -> Command + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let accepting = thread::spawn(move || {
            let mut children = Vec::new();
            for connection in listener.incoming() {
                if over.load(Ordering::Acquire) {
                    break;
                }
                let socket = OwnedFd::from(connection.unwrap());
                let mut command = program();
                command.stdin(socket.try_clone().unwrap()).stdout(socket).stderr(Stdio::null());
                children.push(command.spawn().unwrap());
            }
            // Their connections have ended, and so do they.
            children.iter_mut().for_each(|child| drop(child.wait()));
        });
        Self { port, is_over, accepting: Some(accepting) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Inetd {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        let _wakes_it = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}
