//! Makes an image of a root file system in a tar.

use std::io::{self, Read};

use cache::Store;
use image::{DiffId, History, ImageConfig, ImageId, Platform, Reference, RootFs, canonical_json};
use jiff::Timestamp;

use super::error::is_of_machine;
use super::publish::publish;
use super::tag::check_target;
use super::time::rfc3339;
use super::{ImageError, OnProgress, change};

/// What Docker says of an image that was imported from standard input.
const DEFAULT_MESSAGE: &str = "Imported from -";
/// Of the progress.
const PART: &str = "importing";

/// How an imported image is made.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Its name.
    pub reference: Option<Reference>,
    /// `--change`: Dockerfile instructions that only change the config.
    pub changes: Vec<String>,
    /// `--message`, the comment in its history.
    pub message: Option<String>,
    /// What it is for; none is this machine.
    pub platform: Option<Platform>,
    /// `SOURCE_DATE_EPOCH`: when the image says it was made, seconds since 1970; none is now. Times of files
    /// stay what the tar says.
    pub source_date_epoch: Option<i64>,
}

/// Makes an image with one layer of a tar, compressed in any way that layers are. The image and its name are
/// durable when this returns.
///
/// The tar is read as a layer: names that begin with `.wh.` have the meaning that they have there. The layer
/// is the one that our own tar of the files gives, so that equal files are equal images, whatever wrote the
/// tar.
///
/// # Errors
///
/// [`ImageError::Change`] and [`ImageError::ChangeText`] before anything is read, [`ImageError::Import`] for
/// a tar that cannot be unpacked. Nothing is visible then.
pub fn import(
    store: &Store,
    tar: &mut dyn Read,
    options: &ImportOptions,
    on_progress: OnProgress<'_>,
) -> Result<ImageId, ImageError> {
    if let Some(reference) = &options.reference {
        check_target(reference)?;
    }
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let mut config = ImageConfig::empty(&platform);
    config.config = change::run_config(&options.changes, &platform)?;
    let mut counted = Counted { from: tar, count_bytes: 0, on_progress };
    let unpacked = store.unpack_layer(&mut counted, None);
    let (layer, diff_id) = unpacked.map_err(|source| match is_of_machine(&source) {
        true => source.into(),
        false => ImageError::Import { source },
    })?;
    describe(&mut config, diff_id, options)?;
    let id = publish(store, &canonical_json(&config), &config, &[layer], None)?;
    if let Some(reference) = &options.reference {
        store.tag(reference, &id)?;
    }
    store.make_durable()?;
    Ok(id)
}

fn describe(config: &mut ImageConfig, diff_id: DiffId, options: &ImportOptions) -> Result<(), ImageError> {
    let created = match options.source_date_epoch {
        Some(epoch) => Timestamp::from_second(epoch).map_err(|_| ImageError::Epoch { seconds: epoch })?,
        None => Timestamp::now(),
    };
    let created = Some(rfc3339(created));
    let message = options.message.clone().unwrap_or_else(|| DEFAULT_MESSAGE.to_owned());
    config.created.clone_from(&created);
    config.rootfs = RootFs { diff_ids: vec![diff_id], ..RootFs::default() };
    config.history = vec![History { created, comment: message, ..History::default() }];
    Ok(())
}

/// Counts what is read.
struct Counted<'a> {
    from: &'a mut dyn Read,
    count_bytes: u64,
    on_progress: OnProgress<'a>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.count_bytes += count as u64;
        (self.on_progress)(PART, self.count_bytes, None);
        Ok(count)
    }
}
