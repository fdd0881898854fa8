//! What happens to containers, images, volumes, networks and the build cache, in Docker's words.
//!
//! ```text
//! ROOT/events/log.<number>    one event in a line, the newest file last
//! ```
//!
//! There is no daemon that could tell: whoever does something writes it down, and whoever wants to know reads along. Only so
//! much is kept; what is read while it is written is read whole.

mod filter;
mod read;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

pub use filter::EventFilters;
pub use read::{EventOptions, Events};

use crate::Engine;
use crate::lines::{PREFIX, numbers};

const DIRECTORY: &str = "events";
/// The only scope that there is, in Docker's word.
const SCOPE: &str = "local";
const NANOSECONDS: i64 = 1_000_000_000;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A container, or a command in one.
    Container,
    /// An image, or a name of one.
    Image,
    /// A volume.
    Volume,
    /// A network.
    Network,
    /// The build cache.
    Builder,
}

impl EventKind {
    /// Docker's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Builder => "builder",
        }
    }
}

/// Something that has happened, with the fields of Docker's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The same as the action, for containers and images, as in older versions of the API.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// The same as the id of the actor, for containers and images.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The image of a container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// What it is about.
    #[serde(rename = "Type")]
    pub kind: EventKind,
    /// `start`, `die`, `exec_create: sh`.
    #[serde(rename = "Action")]
    pub action: String,
    /// To whom it happened.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// Always `local`.
    pub scope: String,
    /// When, in seconds since 1970.
    pub time: i64,
    /// When, in nanoseconds since 1970.
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

/// To whom an event happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Of a container or a network the id; of an image its id or name, of a volume its name. Empty for several.
    #[serde(rename = "ID")]
    pub id: String,
    /// What else there is to say.
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

impl Event {
    /// Something that happens now.
    pub(crate) fn now(kind: EventKind, action: &str, id: &str) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time_nano = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        let has_status = matches!(kind, EventKind::Container | EventKind::Image);
        let only = |text: &str| if has_status { text.to_owned() } else { String::new() };
        Self {
            status: only(action),
            id: only(id),
            from: String::new(),
            kind,
            action: action.to_owned(),
            actor: Actor { id: id.to_owned(), attributes: BTreeMap::new() },
            scope: SCOPE.to_owned(),
            time: time_nano / NANOSECONDS,
            time_nano,
        }
    }

    /// The same with something more to say.
    pub(crate) fn with(mut self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.actor.attributes.insert(name.to_owned(), value.to_string());
        self
    }

    /// Writes it down. Best effort: nothing is undone because nobody can be told.
    pub(crate) fn note(&self, root: &Path) {
        if let Err(error) = write::append(&directory(root), self) {
            tracing::debug!(%error, "an event is lost");
        }
    }
}

fn directory(root: &Path) -> PathBuf {
    root.join(DIRECTORY)
}

fn file_of(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{PREFIX}{number}"))
}

/// What is kept in a store, in bytes.
pub(crate) fn size_bytes(root: &Path) -> u64 {
    let directory = directory(root);
    let sizes =
        numbers(&directory).into_iter().filter_map(|number| file_of(&directory, number).metadata().ok());
    sizes.map(|metadata| metadata.len()).sum()
}

impl Engine {
    /// What has happened in the store, and what will.
    pub fn events(&self, options: EventOptions) -> Events {
        Events::new(&directory(self.root()), options)
    }

    /// Writes down that what nobody uses was removed, and how many bytes that took.
    pub(crate) fn note_prune(&self, kind: EventKind, bytes: u64) {
        Event::now(kind, "prune", "").with("reclaimed", &bytes).note(self.root());
    }

    /// Writes down what has happened to an image.
    pub(crate) fn note_image(&self, action: &str, id: &str, name: &str) {
        Event::now(EventKind::Image, action, id).with("name", name).note(self.root());
    }
}
