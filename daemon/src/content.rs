//! The messages of containerd's service `Content`: blobs by their digests. Clients have stores of them for their builds.

use prost::Message;

/// The service.
pub(crate) const INFO: &str = "/containerd.services.content.v1.Content/Info";
pub(crate) const READ: &str = "/containerd.services.content.v1.Content/Read";
pub(crate) const WRITE: &str = "/containerd.services.content.v1.Content/Write";
/// Which of a client's stores a call is about.
pub(crate) const STORE: &str = "buildkit-attachable-store-id";
/// What goes before the name of an OCI layout in the name of its store.
pub(crate) const LAYOUT_PREFIX: &str = "oci:";
/// The same before the directory of a cache.
pub(crate) const CACHE_PREFIX: &str = "local:";
/// The store of an image that leaves as a layout.
pub(crate) const EXPORT: &str = "export";
/// Bytes in one message.
pub(crate) const CHUNK_BYTES: usize = 128 << 10;

/// Asks for what is known of a blob.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct InfoRequest {
    #[prost(string, tag = "1")]
    pub(crate) digest: String,
}

/// A blob.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Info {
    #[prost(string, tag = "1")]
    pub(crate) digest: String,
    /// In bytes.
    #[prost(int64, tag = "2")]
    pub(crate) size: i64,
}

/// What is known of one.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) info: Option<Info>,
}

/// Asks for a part of a blob.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ReadContentRequest {
    #[prost(string, tag = "1")]
    pub(crate) digest: String,
    #[prost(int64, tag = "2")]
    pub(crate) offset: i64,
    /// None is up to the end.
    #[prost(int64, tag = "3")]
    pub(crate) size: i64,
}

/// A piece of it.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ReadContentResponse {
    #[prost(int64, tag = "1")]
    pub(crate) offset: i64,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) data: Vec<u8>,
}

/// What is to be done with a blob that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum WriteAction {
    /// Say how far it is. The first message, which says what is written.
    Stat = 0,
    /// Add to it.
    Write = 1,
    /// Give it its name.
    Commit = 2,
}

/// A piece of a blob that is written.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WriteContentRequest {
    #[prost(enumeration = "WriteAction", tag = "1")]
    pub(crate) action: i32,
    /// By which the write is known until it is done.
    #[prost(string, tag = "2")]
    pub(crate) r#ref: String,
    /// In bytes; none is unknown.
    #[prost(int64, tag = "3")]
    pub(crate) total: i64,
    /// The digest.
    #[prost(string, tag = "4")]
    pub(crate) expected: String,
    #[prost(int64, tag = "5")]
    pub(crate) offset: i64,
    #[prost(bytes = "vec", tag = "6")]
    pub(crate) data: Vec<u8>,
}

/// How far it is.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WriteContentResponse {
    #[prost(enumeration = "WriteAction", tag = "1")]
    pub(crate) action: i32,
    #[prost(int64, tag = "4")]
    pub(crate) offset: i64,
    #[prost(int64, tag = "5")]
    pub(crate) total: i64,
    #[prost(string, tag = "6")]
    pub(crate) digest: String,
}
