//! Files of the client: what `FileSync.DiffCopy` brings.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;

use futures_util::stream;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tonic::metadata::{MetadataKey, MetadataMap};
use tonic::{Request, Status};

use super::packets;
use super::receive::{Others, Receiving, receive};
use super::{KeptDirectories, KeptDirectory, Session};
use crate::proto::Packet;

pub(crate) const DIFF_COPY: &str = "/moby.filesync.v1.FileSync/DiffCopy";

/// Which files of a client's directory are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// The directory, by the name that the client gave it.
    pub(crate) name: String,
    /// Patterns of an ignore file; what they hide is not sent.
    pub(crate) exclude: Vec<String>,
    /// Only these and what they lead to; all when empty.
    pub(crate) follow: Vec<String>,
    /// Patterns of what is sent; all when empty.
    pub(crate) include: Vec<String>,
    /// Tells directories apart that have the same name.
    pub(crate) hint: String,
}

impl Wanted {
    /// What the client has to be told, in its own words.
    fn metadata(&self) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        let name = [self.name.clone()];
        for (key, values) in [
            ("dir-name", &name[..]),
            ("include-patterns", &self.include),
            ("exclude-patterns", &self.exclude),
            ("followpaths", &self.follow),
        ] {
            add(&mut metadata, key, values);
        }
        metadata
    }
}

/// Adds texts to a call. All of them are escaped when one has to be, as in BuildKit.
fn add(metadata: &mut MetadataMap, key: &str, values: &[String]) {
    let is_plain = values.iter().all(|value| value.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
    let mut append = |key: &str, value: &str| {
        let key: MetadataKey<_> = key.parse().expect("the keys are ours");
        metadata.append(key, value.parse().expect("it has only printable characters of ASCII"));
    };
    for value in values {
        append(key, &if is_plain { value.clone() } else { escape(value) });
    }
    if !is_plain {
        append(&format!("{key}-encoded"), "1");
    }
}

/// As in the query of a URL.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(byte.into()),
            b' ' => escaped.push('+'),
            _ => write!(escaped, "%{byte:02X}").expect("a text takes all"),
        }
    }
    escaped
}

impl Session {
    /// Brings the wanted files into a directory that is kept for the next time, when only what is different is sent. The
    /// directory is the caller's alone until it is dropped.
    pub(crate) async fn sync(
        &self,
        kept: &Arc<KeptDirectories>,
        wanted: &Wanted,
        on_bytes: impl Fn(u64) + Send + 'static,
    ) -> Result<KeptDirectory, Status> {
        let kept = kept.clone();
        let Wanted { name, follow, include, hint, .. } = wanted;
        let mut name = format!("{}\0{name}\0{}", self.shared_key, follow.join("\0"));
        if !include.is_empty() || !hint.is_empty() {
            name = format!("{name}\0\0{}\0{hint}", include.join("\0"));
        }
        let opened = crate::blocking::spawn_blocking(move || kept.take(&name));
        let directory = joined(opened).await?.map_err(|error| Status::internal(error.to_string()))?;
        self.copy(directory, wanted, on_bytes).await
    }

    /// The directory goes along with who writes into it: nobody else gets it before that has ended, even when nobody
    /// waits for it any more.
    async fn copy(
        &self,
        directory: KeptDirectory,
        wanted: &Wanted,
        on_bytes: impl Fn(u64) + Send + 'static,
    ) -> Result<KeptDirectory, Status> {
        // Requests are small and as many as there are files; one that waited for the client could wait for ever, since
        // that waits for us to take its data.
        let (ask, asked) = mpsc::unbounded_channel::<Packet>();
        let (bring, brought) = mpsc::channel(packets::WAITING_MAX);
        let asked = stream::unfold(asked, |mut asked| async { Some((asked.recv().await?, asked)) });
        let mut request = Request::new(asked);
        *request.metadata_mut() = wanted.metadata();
        let mut arriving = self.caller.bidi::<Packet, Packet>(DIFF_COPY, request).await?;
        let received = crate::blocking::spawn_blocking(move || {
            let mut receiving = Receiving::open(directory.path(), brought, ask, Others::Removed)?;
            receive(&mut receiving, &on_bytes).map(|()| directory)
        });
        let pump = packets::pass_on(&mut arriving, bring);
        let (pumped, received) = futures_util::future::join(pump, joined(received)).await;
        match (pumped, received?) {
            (_, Ok(directory)) => Ok(directory),
            // A client that ends the call says why.
            (Err(status), Err(_)) => Err(status),
            (Ok(()), Err(error)) => Err(Status::failed_precondition(error.to_string())),
        }
    }

    /// The text of a file that was brought; none when there is none of this name.
    pub(crate) async fn text(
        &self,
        directory: &KeptDirectory,
        name: &str,
        bytes_max: u64,
    ) -> Result<Option<String>, Status> {
        let (directory, name) = (directory.path().to_owned(), name.to_owned());
        let read =
            crate::blocking::spawn_blocking(move || super::kept::read_text(&directory, &name, bytes_max));
        joined(read).await?.map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

/// What a blocking task returned.
pub(crate) async fn joined<T>(task: impl Future<Output = Result<T, JoinError>>) -> Result<T, Status> {
    task.await.map_err(|error| Status::internal(error.to_string()))
}

/// The patterns of an ignore file as a client wants them: without comments and empty lines.
pub(crate) fn exclude_patterns(text: &str) -> Vec<String> {
    let lines = text.trim_start_matches('\u{feff}').lines();
    let lines = lines.filter(|line| !line.starts_with('#')).map(str::trim).filter(|line| !line.is_empty());
    lines.map(pattern).collect()
}

fn pattern(line: &str) -> String {
    let (mark, path) = match line.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", line),
    };
    let path = clean(path);
    let relative = if path.len() > 1 { path.strip_prefix('/').unwrap_or(&path) } else { &path };
    format!("{mark}{relative}")
}

/// The shortest path that means the same, as Go's `filepath.Clean`.
fn clean(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let is_absolute = path.starts_with('/');
    let mut parts: VecDeque<&str> = VecDeque::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.back().is_some_and(|last| *last != "..") => drop(parts.pop_back()),
            ".." if is_absolute => {}
            part => parts.push_back(part),
        }
    }
    let joined = parts.into_iter().collect::<Vec<_>>().join("/");
    match (is_absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignore_files_are_read_as_the_client_reads_them() {
        let text = "\u{feff}# no\n  a/../b  \n\n/c\n! d/./e \n/\n..\n#x\n **/*.o\n!/f\n";
        assert_eq!(exclude_patterns(text), ["b", "c", "!d/e", "/", "..", "**/*.o", "!f"]);
    }

    #[test]
    fn what_is_no_ascii_is_escaped() {
        let wanted =
            Wanted {
                name: "context".into(), exclude: vec!["a b".into(), "ä/*".into()], ..Wanted::default()
            };
        let metadata = wanted.metadata();
        let all = |key: &str| -> Vec<_> {
            metadata.get_all(key).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(all("dir-name"), ["context"]);
        assert_eq!(all("exclude-patterns"), ["a+b", "%C3%A4%2F%2A"]);
        assert_eq!(all("exclude-patterns-encoded"), ["1"]);
        assert!(all("dir-name-encoded").is_empty());
    }
}
