//! The process of a switch: our own binary, executed anew, with one thread that waits for everything.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::process::WaitOptions;

use super::super::{NetworkError, OrNetwork};
use super::bridge::{Addresses, Bridge, Made};
use super::endpoints::{choose, choose6, mac_of};
use super::message::{Answer, Endpoint, Join, Request, SwitchPlan};
use super::names::{Code, Kind, Query};

use crate::sys;
use crate::wire::{from_memory_file, receive, send};

/// Exit status when there is nobody to report to.
const EXIT_ORPHANED: i32 = 125;
/// How often to look whether nobody wants to join any more, while nobody has.
const IDLE_PERIOD: Duration = Duration::from_millis(200);
/// Time in which another name server must answer, as in Docker.
const RESOLVER_PATIENCE: Duration = Duration::from_secs(4);
/// Questions to others at the same time; the oldest is given up.
const QUESTIONS_MAX: usize = 512;
/// Longest question or answer.
const DATAGRAM_BYTES_MAX: usize = 4096;
/// Conversations of one container with the name server at the same time, each a process of the host. Others wait.
const CONVERSATIONS_MAX: usize = 16;
/// The port of name servers.
const DOMAIN: u16 = 53;

/// Runs as a child process of the engine; descriptor 0 is the control socket. Never returns.
pub(crate) fn run() -> ! {
    let code = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(control) => match begin(&control) {
            Ok(switch) => send(&control, &Answer::Ready, &[]).map_or(EXIT_ORPHANED, |()| {
                drop(control);
                switch.keep()
            }),
            Err(error) => send(&control, &Answer::Failed(error), &[]).map_or(EXIT_ORPHANED, |()| 0),
        },
        Err(_) => EXIT_ORPHANED,
    };
    std::process::exit(code)
}

fn begin(control: &OwnedFd) -> Result<Switch, NetworkError> {
    sys::reset_signals().or_network(|| String::from("rt_sigaction(SIG_DFL)"))?;
    sys::ignore_broken_pipes().or_network(|| String::from("rt_sigaction(SIGPIPE)"))?;
    std::env::set_current_dir("/").or_network(|| String::from("chdir(\"/\")"))?;
    let lost = || NetworkError::Keeper { problem: String::from("received no plan") };
    let (_, fds) =
        receive::<Answer>(control).or_network(|| String::from("recvmsg(control)"))?.ok_or_else(lost)?;
    let [plan, listener, lock] = <[OwnedFd; 3]>::try_from(fds).map_err(|_| lost())?;
    let plan: SwitchPlan = from_memory_file(plan).or_network(|| String::from("read(plan)"))?;
    // What belonged to the terminal of whoever needed us first must not keep it.
    let _ = rustix::process::setsid();
    let bridge = Bridge::open(&plan)?;
    Ok(Switch {
        plan,
        bridge,
        listener,
        lock,
        clients: Vec::new(),
        members: Vec::new(),
        questions: Vec::new(),
        conversations: Vec::new(),
        turn: 0,
    })
}

struct Switch {
    plan: SwitchPlan,
    bridge: Bridge,
    listener: OwnedFd,
    /// The lock of whoever starts us and joins.
    lock: OwnedFd,
    /// Connections that have not joined.
    clients: Vec<OwnedFd>,
    members: Vec<Member>,
    questions: Vec<Question>,
    conversations: Vec<Conversation>,
    /// Who of several with the same name is named first.
    turn: usize,
}

/// A container in the network.
struct Member {
    endpoint: Endpoint,
    /// What ends with it.
    end: End,
    port: String,
    name_server: Option<(UdpSocket, TcpListener)>,
    resolvers: Vec<IpAddr>,
}

enum End {
    Connection(OwnedFd),
    Process(OwnedFd),
}

/// A question that somebody else was asked.
struct Question {
    socket: UdpSocket,
    /// Where the answer goes: a container, by its id, and a socket in it.
    container: String,
    asker: SocketAddr,
    message: Vec<u8>,
    /// Resolvers that were not asked yet.
    others: Vec<IpAddr>,
    deadline: Instant,
}

/// A process that answers a question in a stream.
struct Conversation {
    process: OwnedFd,
    /// Whose it is, by its id.
    container: String,
}

/// What is ready.
#[derive(Debug, Clone, Copy)]
enum Source {
    Listener,
    Client(usize),
    End(usize),
    Datagram(usize),
    Stream(usize),
    Answer(usize),
    Conversation(usize),
}

impl Switch {
    fn keep(mut self) -> i32 {
        loop {
            while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
            if self.members.is_empty() && flock(&self.lock, FlockOperation::NonBlockingLockExclusive).is_ok()
            {
                return 0;
            }
            let ready = self.wait();
            // From the last to the first: numbers of those that are still to come stay what they are.
            for source in ready.into_iter().rev() {
                self.handle(source);
            }
            self.give_up_questions();
        }
    }

    fn sources(&self) -> Vec<(Source, BorrowedFd<'_>, PollFlags)> {
        let mut sources = vec![(Source::Listener, self.listener.as_fd(), PollFlags::IN)];
        for (index, client) in self.clients.iter().enumerate() {
            sources.push((Source::Client(index), client.as_fd(), PollFlags::IN));
        }
        for (index, question) in self.questions.iter().enumerate() {
            sources.push((Source::Answer(index), question.socket.as_fd(), PollFlags::IN));
        }
        for (index, member) in self.members.iter().enumerate() {
            if let Some((datagrams, streams)) = &member.name_server {
                sources.push((Source::Datagram(index), datagrams.as_fd(), PollFlags::IN));
                if self.may_converse(member) {
                    sources.push((Source::Stream(index), streams.as_fd(), PollFlags::IN));
                }
            }
        }
        for (index, conversation) in self.conversations.iter().enumerate() {
            sources.push((Source::Conversation(index), conversation.process.as_fd(), PollFlags::IN));
        }
        // Last, and so handled first: whoever is gone answers nobody.
        for (index, member) in self.members.iter().enumerate() {
            sources.push(match &member.end {
                End::Connection(connection) => (Source::End(index), connection.as_fd(), PollFlags::RDHUP),
                End::Process(process) => (Source::End(index), process.as_fd(), PollFlags::IN),
            });
        }
        sources
    }

    fn wait(&self) -> Vec<Source> {
        let sources = self.sources();
        let mut fds: Vec<PollFd<'_>> =
            sources.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        let deadline = self.questions.iter().map(|question| question.deadline).min();
        let patience = match deadline {
            Some(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
            None => self.members.is_empty().then_some(IDLE_PERIOD),
        };
        let timeout = patience.map(|patience| Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        });
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        let ready = fds.iter().zip(&sources).filter(|(fd, _)| !fd.revents().is_empty());
        ready.map(|(_, (source, ..))| *source).collect()
    }

    fn handle(&mut self, source: Source) {
        match source {
            Source::Listener => {
                self.clients
                    .extend(rustix::net::accept_with(&self.listener, rustix::net::SocketFlags::CLOEXEC));
            }
            Source::Client(index) => self.serve(index),
            Source::End(index) => self.remove(index),
            Source::Datagram(index) => self.answer_datagram(index),
            Source::Stream(index) => self.answer_stream(index),
            Source::Answer(index) => self.pass_answer_on(index),
            Source::Conversation(index) => drop(self.conversations.swap_remove(index)),
        }
    }

    fn may_converse(&self, member: &Member) -> bool {
        let own = |conversation: &&Conversation| conversation.container == member.endpoint.container;
        self.conversations.iter().filter(own).count() < CONVERSATIONS_MAX
    }

    /// One request of a client, which stays one, or becomes what holds a member.
    fn serve(&mut self, index: usize) {
        let client = self.clients.swap_remove(index);
        let Ok(Some((request, fds))) = receive::<Request>(&client) else { return };
        match request {
            Request::List => {
                let endpoints = self.members.iter().map(|member| member.endpoint.clone()).collect();
                let _ = send(&client, &Answer::Endpoints(endpoints), &[]);
            }
            Request::Owner => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                if let Ok(owner) = rustix::fs::open("/proc/self/ns/user", flags, Mode::empty()) {
                    let _ = send(&client, &Answer::Owner, &[owner.as_fd()]);
                }
            }
            Request::Leave { container } => {
                if let Some(index) = self.members.iter().position(|it| it.endpoint.container == container) {
                    self.remove(index);
                }
                let _ = send(&client, &Answer::Left, &[]);
            }
            Request::Join(join) => {
                if let Err(error) = self.join(client.as_fd(), join, fds) {
                    let _ = send(&client, &Answer::Failed(error), &[]);
                }
            }
        }
    }

    fn join(&mut self, client: BorrowedFd<'_>, join: Join, fds: Vec<OwnedFd>) -> Result<(), NetworkError> {
        let mut fds = fds.into_iter();
        let (running, process) = (fds.next(), fds.next());
        let endpoints = || self.members.iter().map(|member| &member.endpoint);
        let address = choose(&self.plan, endpoints(), join.address)?;
        let address6 = choose6(&self.plan, endpoints(), join.address6)?;
        let mac = join.mac.unwrap_or_else(|| mac_of(address));
        let Made { namespace, name_server, port } =
            self.bridge.link(&self.plan, &join, Addresses { address, address6, mac }, running.as_ref())?;
        let endpoint = Endpoint {
            container: join.container,
            names: join.names,
            address,
            prefix: self.plan.subnet.1,
            address6,
            mac,
            host: self.bridge.host,
        };
        let end = match process {
            Some(process) => End::Process(process),
            None => End::Connection(
                client.try_clone_to_owned().or_network(|| String::from("fcntl(F_DUPFD_CLOEXEC)"))?,
            ),
        };
        let answer = Answer::Joined(endpoint.clone());
        let handed_over: Vec<BorrowedFd<'_>> = namespace.iter().map(AsFd::as_fd).collect();
        let told = send(client, &answer, &handed_over);
        if let Some((datagrams, streams)) = &name_server {
            // A question that is gone when we look must not make us wait.
            let _ = (datagrams.set_nonblocking(true), streams.set_nonblocking(true));
        }
        self.members.push(Member { endpoint, end, port, name_server, resolvers: join.resolvers });
        if told.is_err() {
            self.remove(self.members.len() - 1);
        }
        Ok(())
    }

    fn remove(&mut self, index: usize) {
        let member = self.members.swap_remove(index);
        self.bridge.unlink(&member.port);
    }

    /// What a member asked, and the answer if it is ours to give.
    fn answer_datagram(&mut self, index: usize) {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        let Some(member) = self.members.get(index) else { return };
        let Some((socket, _)) = &member.name_server else { return };
        let Ok((length, asker)) = socket.recv_from(&mut buffer) else { return };
        let message = &buffer[..length];
        let query = Query::parse(message);
        if let Some(answer) = query.as_ref().and_then(|query| self.own_answer(query)) {
            let _ = socket.send_to(&answer, asker);
            self.turn = self.turn.wrapping_add(1);
            return;
        }
        let resolvers = if self.plan.is_internal { Vec::new() } else { member.resolvers.clone() };
        let question = Question {
            socket: match UdpSocket::bind(("0.0.0.0", 0)) {
                Ok(socket) => socket,
                Err(_) => return,
            },
            container: member.endpoint.container.clone(),
            asker,
            message: message.to_vec(),
            others: resolvers,
            deadline: Instant::now(),
        };
        self.ask_next(question);
    }

    /// The answer to a question about this network; none if it is about something else.
    fn own_answer(&self, query: &Query<'_>) -> Option<Vec<u8>> {
        if let Some(address) = query.reversed_address() {
            let has_address = |member: &&Member| match address {
                IpAddr::V4(address) => member.endpoint.address == address,
                IpAddr::V6(address) => member.endpoint.address6.is_some_and(|(own, _)| own == address),
            };
            let member = self.members.iter().find(has_address)?;
            let name = member.endpoint.names.first()?;
            return Some(query.named(&format!("{name}.{}", self.plan.name)));
        }
        let suffix = format!(".{}", self.plan.name.to_ascii_lowercase());
        let short = query.name.strip_suffix(&suffix).unwrap_or(&query.name);
        let has_name =
            |endpoint: &Endpoint| endpoint.names.iter().any(|name| name.eq_ignore_ascii_case(short));
        let mut found: Vec<&Endpoint> = self
            .members
            .iter()
            .map(|member| &member.endpoint)
            .filter(|endpoint| has_name(endpoint))
            .collect();
        if found.is_empty() {
            return None;
        }
        let turn = self.turn % found.len();
        found.rotate_left(turn);
        let addresses: Vec<IpAddr> = match query.kind {
            Kind::Address => found.iter().map(|endpoint| endpoint.address.into()).collect(),
            Kind::Address6 => found.iter().filter_map(|endpoint| Some(endpoint.address6?.0.into())).collect(),
            Kind::Name | Kind::Other => Vec::new(),
        };
        Some(if addresses.is_empty() { query.nothing(Code::NoData) } else { query.addresses(&addresses) })
    }

    /// Asks the next resolver of a question. When there is none, nobody can be asked.
    fn ask_next(&mut self, mut question: Question) {
        while !question.others.is_empty() {
            let resolver = question.others.remove(0);
            let bound = match resolver {
                IpAddr::V4(_) => UdpSocket::bind(("0.0.0.0", 0)),
                IpAddr::V6(_) => UdpSocket::bind(("::", 0)),
            };
            let Ok(socket) = bound else { continue };
            let asked = socket
                .set_nonblocking(true)
                .and_then(|()| socket.connect((resolver, DOMAIN)))
                .and_then(|()| socket.send(&question.message));
            if asked.is_ok() {
                question.socket = socket;
                question.deadline = Instant::now() + RESOLVER_PATIENCE;
                if self.questions.len() >= QUESTIONS_MAX {
                    self.questions.remove(0);
                }
                self.questions.push(question);
                return;
            }
        }
        if let Some(query) = Query::parse(&question.message) {
            self.tell(&question, &query.nothing(Code::Failure));
        }
    }

    fn tell(&self, question: &Question, answer: &[u8]) {
        let member = self.members.iter().find(|member| member.endpoint.container == question.container);
        if let Some((socket, _)) = member.and_then(|member| member.name_server.as_ref()) {
            let _ = socket.send_to(answer, question.asker);
        }
    }

    fn pass_answer_on(&mut self, index: usize) {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        let Some(question) = self.questions.get(index) else { return };
        match question.socket.recv(&mut buffer) {
            Ok(length) if length >= 2 && buffer[..2] == question.message[..2] => {
                self.tell(question, &buffer[..length]);
                self.questions.remove(index);
            }
            // Somebody else's: the answer may still come.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => {
                let question = self.questions.remove(index);
                self.ask_next(question);
            }
        }
    }

    fn give_up_questions(&mut self) {
        let now = Instant::now();
        while let Some(index) = self.questions.iter().position(|question| question.deadline <= now) {
            let question = self.questions.remove(index);
            self.ask_next(question);
        }
    }

    /// A question in a stream is answered by a process of its own, which may wait.
    fn answer_stream(&mut self, index: usize) {
        let Some(Member { name_server: Some((_, listener)), resolvers, endpoint, .. }) =
            self.members.get(index)
        else {
            return;
        };
        let Ok((stream, _)) = listener.accept() else { return };
        match sys::fork(0) {
            Ok(sys::Fork::Parent { pidfd, .. }) => {
                let container = endpoint.container.clone();
                self.conversations.push(Conversation { process: pidfd, container });
            }
            Ok(sys::Fork::Child) => {
                let resolvers: &[IpAddr] = if self.plan.is_internal { &[] } else { resolvers };
                // Nobody must find our listener, or our lock, in the hands of a child when we are gone.
                let _ = rustix::stdio::dup2_stdin(&stream);
                sys::close_from(3);
                if let Ok(stream) = io::stdin().as_fd().try_clone_to_owned() {
                    let _ = super::stream::answer(&stream.into(), resolvers, |query| self.own_answer(query));
                }
                std::process::exit(0);
            }
            // The asker sees that nobody answers.
            Err(_) => {}
        }
    }
}
