//! An HTTP server that can misbehave: it cuts bodies, resets connections, lies in its headers.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// By lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(crate) is_whole: bool,
}

impl Incoming {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let url: reqwest::Url = format!("http://h{}", self.target).parse().unwrap();
        url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What the server does about it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Closes the connection after so many bytes of the body.
    pub(crate) cut_at: Option<usize>,
    /// Says nothing and closes.
    pub(crate) hangs_up: bool,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn cut_at(mut self, bytes: usize) -> Self {
        self.cut_at = Some(bytes);
        self
    }

    pub(crate) fn hang_up() -> Self {
        Self { hangs_up: true, ..Self::default() }
    }
}

/// Decides about a request; asked with the head alone first, where a body of so many bytes can be cut short.
pub(crate) trait Handler: Send + Sync + 'static {
    /// After how many bytes of the body the connection breaks.
    fn cut_request(&self, head: &Incoming) -> Option<usize>;
    fn reply(&self, request: Incoming) -> Reply;
}

/// Serves on a port of its own for as long as the runtime lives; returns host and port.
pub(crate) async fn serve(handler: Arc<dyn Handler>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, handler.clone()));
        }
    });
    address
}

async fn connection(stream: TcpStream, handler: Arc<dyn Handler>) {
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    // Whatever breaks, breaks this connection.
    while let Ok(Some(())) = exchange(&mut stream, handler.as_ref()).await {}
}

async fn exchange(stream: &mut BufReader<TcpStream>, handler: &dyn Handler) -> std::io::Result<Option<()>> {
    let Some(mut request) = read_head(stream).await? else { return Ok(None) };
    let cut = handler.cut_request(&request);
    read_body(stream, &mut request, cut).await?;
    let (is_head, is_whole) = (request.method == "HEAD", request.is_whole);
    let reply = handler.reply(request);
    if reply.hangs_up || !is_whole {
        return Ok(None);
    }
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
    let has = |name: &str| reply.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !has("content-length") && reply.status != 204 {
        head += &format!("content-length: {}\r\n", reply.body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    if !is_head {
        let end = reply.cut_at.unwrap_or(reply.body.len());
        stream.write_all(&reply.body[..end.min(reply.body.len())]).await?;
    }
    stream.flush().await?;
    Ok(reply.cut_at.is_none().then_some(()))
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Incoming>> {
    let mut line = Vec::new();
    // A greeting of TLS begins with this byte, and need not have an end of line.
    if stream.fill_buf().await?.first() == Some(&22) {
        return Ok(None);
    }
    stream.read_until(b'\n', &mut line).await?;
    let text = String::from_utf8_lossy(&line).into_owned();
    let [method, target, _] = text.split_whitespace().collect::<Vec<_>>()[..] else { return Ok(None) };
    let (method, target) = (method.to_owned(), target.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        stream.read_until(b'\n', &mut line).await?;
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        if text.is_empty() {
            return Ok(Some(Incoming { method, target, headers, body: Vec::new(), is_whole: true }));
        }
        let (name, value) = text.split_once(':').unwrap();
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

async fn read_body(
    stream: &mut BufReader<TcpStream>,
    request: &mut Incoming,
    cut: Option<usize>,
) -> std::io::Result<()> {
    assert!(request.header("transfer-encoding").is_none(), "registries want to know the length: {request:?}");
    let length: usize = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let wanted = cut.map_or(length, |cut| cut.min(length));
    request.body = vec![0; wanted];
    stream.read_exact(&mut request.body).await?;
    request.is_whole = wanted == length;
    Ok(())
}
