//! A client that does not wait long, a sink and a source in memory.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use image::{BlobDigest, Descriptor, Digest, MediaType, Reference};
use registry::{Client, Fetch, RegistryError, Repository, RetryPolicy, Settings, Sink, Source};

use crate::double::Running;

/// Settings with short waits.
pub(crate) fn settings() -> Settings {
    let retry = RetryPolicy {
        attempts_max: 4,
        wait_first: Duration::from_millis(1),
        wait_max: Duration::from_millis(4),
        wait_asked_max: Duration::from_millis(1500),
    };
    Settings { retry, ..Settings::default() }
}

pub(crate) fn name(running: &Running, repository: &str) -> Reference {
    format!("{}/{repository}", running.authority).parse().unwrap()
}

pub(crate) fn repository(running: &Running, path: &str) -> Repository {
    Client::new(settings()).repository(&name(running, path)).unwrap()
}

pub(crate) fn descriptor(bytes: &[u8]) -> Descriptor {
    Descriptor::new(MediaType::LayerGzip, BlobDigest(Digest::of(bytes)), bytes.len() as u64)
}

/// Bytes that are all over the place.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[derive(Default)]
pub(crate) struct Memory(Mutex<Vec<u8>>);

impl Sink for Memory {
    async fn write_at(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        let mut memory = self.0.lock().unwrap();
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if memory.len() < end {
            memory.resize(end, 0);
        }
        memory[start..end].copy_from_slice(&bytes);
        Ok(())
    }
}

pub(crate) struct Content(pub(crate) Vec<u8>);

impl Source for Content {
    async fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let start = (offset as usize).min(self.0.len());
        let end = (start + length).min(self.0.len());
        Ok(Bytes::copy_from_slice(&self.0[start..end]))
    }
}

/// Fetches a blob.
pub(crate) async fn fetch(
    repository: &Repository,
    blob: &Descriptor,
    how: Fetch,
) -> Result<Vec<u8>, RegistryError> {
    let memory = Memory::default();
    repository.fetch_blob(blob, how, &memory, &|_| ()).await?;
    Ok(memory.0.into_inner().unwrap())
}

pub(crate) fn content(bytes: &[u8]) -> Arc<Content> {
    Arc::new(Content(bytes.to_vec()))
}

/// An error with its causes, ports left out.
pub(crate) fn told(error: &RegistryError, running: &Running) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text.replace(&running.authority, "[registry]")
}
