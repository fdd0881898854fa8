//! How an image came to be.

use cache::Store;
use image::{History, ImageId, Reference};

use super::config::read_config;
use super::find::references_of;
use super::time::parse_rfc3339;
use super::{ImageError, find, stored};

/// One step in the history of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The image as it was after the step; only the newest one is known.
    pub id: Option<ImageId>,
    /// When, seconds since 1970; zero when unknown.
    pub created_unix_s: i64,
    /// The instruction.
    pub created_by: String,
    /// The files of its layer.
    pub size_bytes: u64,
    /// Which tool.
    pub comment: String,
    /// Names of the image as it was after the step.
    pub references: Vec<Reference>,
}

/// The steps that made an image, newest first.
///
/// # Errors
///
/// Those of [`find`], and [`ImageError::Damaged`] when the history tells of more layers than there are.
pub fn history(store: &Store, name: &str) -> Result<Vec<HistoryEntry>, ImageError> {
    let id = find(store, name)?;
    let image = stored(store, &id)?;
    let config = read_config(store, &id)?;
    let mut layers = image.layers.iter();
    let mut entries = Vec::new();
    for step in &config.history {
        let size_bytes = if step.empty_layer {
            0
        } else {
            let what = || "its history has more layers than the image".to_owned();
            let layer = layers.next().ok_or_else(|| ImageError::Damaged { id, what: what() })?;
            let gone = || ImageError::Damaged { id, what: format!("layer {layer} is gone") };
            store.layer(layer)?.ok_or_else(gone)?.size_bytes()?
        };
        entries.push(entry(step, size_bytes));
    }
    entries.reverse();
    if let Some(newest) = entries.first_mut() {
        newest.id = Some(id);
        newest.references = references_of(store, &id)?;
        newest.references.retain(|reference| reference.tag().is_some());
    }
    Ok(entries)
}

fn entry(step: &History, size_bytes: u64) -> HistoryEntry {
    let created = step.created.as_deref().and_then(parse_rfc3339);
    HistoryEntry {
        id: None,
        created_unix_s: created.map_or(0, |time| time.as_second()),
        created_by: step.created_by.clone(),
        size_bytes,
        comment: step.comment.clone(),
        references: Vec::new(),
    }
}
