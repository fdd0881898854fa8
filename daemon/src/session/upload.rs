//! A build context that the client has as one stream: a tar or a Dockerfile on its standard input.

use std::io::{self, Read};

use futures_util::stream;
use tokio::sync::mpsc::{self, Receiver};
use tonic::{Request, Status};

use super::Session;
use crate::proto::upload::BytesMessage;

const PULL: &str = "/moby.upload.v1.Upload/Pull";
/// How the client tells its streams apart.
const PATH: &str = "urlpath";
/// The host in the name of such a context.
pub(crate) const SESSION_URL: &str = "http://buildkit-session/";
const MESSAGES_WAITING_MAX: usize = 16;

/// The bytes of a stream, for a thread that may block.
struct Uploaded {
    messages: Receiver<Result<Vec<u8>, Status>>,
    rest: Vec<u8>,
    taken: usize,
}

impl Session {
    /// Begins to read a stream of the client: what [`SESSION_URL`] is followed by.
    pub(crate) async fn upload(&self, name: &str) -> Result<impl Read + Send + 'static, Status> {
        if !self.offers(PULL) {
            return Err(Status::failed_precondition(
                "the client does not send the build context that it names",
            ));
        }
        let mut request = Request::new(stream::pending::<BytesMessage>());
        let path = format!("/{name}").parse();
        let path = path.map_err(|_| Status::invalid_argument("the name of a stream is ASCII"))?;
        request.metadata_mut().insert(PATH, path);
        let mut arriving = self.caller.bidi::<BytesMessage, BytesMessage>(PULL, request).await?;
        let (bring, messages) = mpsc::channel(MESSAGES_WAITING_MAX);
        tokio::task::spawn_local(async move {
            while let Some(message) = arriving.message().await.transpose() {
                let ended = message.is_err();
                if bring.send(message.map(|message| message.data)).await.is_err() || ended {
                    break;
                }
            }
        });
        Ok(Uploaded { messages, rest: Vec::new(), taken: 0 })
    }
}

impl Read for Uploaded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.rest.len() {
            match self.messages.blocking_recv() {
                None => return Ok(0),
                Some(Ok(data)) => (self.rest, self.taken) = (data, 0),
                Some(Err(status)) => return Err(io::Error::other(status.message().to_owned())),
            }
        }
        let count = buffer.len().min(self.rest.len() - self.taken);
        buffer[..count].copy_from_slice(&self.rest[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}
