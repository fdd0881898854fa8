//! One layer in place of several.

use std::io::{self, BufWriter, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use image::Hasher;

use super::Layer;
use super::packed::OpenFiles;
use crate::layer::Files;
use crate::{Key, LayerId, Record, Store, StoreError, layer};

/// A tar is written in small pieces.
const PIPE_BYTES: usize = 256 << 10;

impl Store {
    /// A layer that does what `merged` do on top of `below`, both lowest first. Made once and kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoLayer`] when one is not in the store.
    pub fn squash_layers(
        &self,
        below: &[LayerId],
        merged: &[LayerId],
        created_unix_ns: i64,
    ) -> Result<Layer, StoreError> {
        // What is below decides about nothing but whether there is anything.
        let on_top = [u8::from(!below.is_empty())];
        let ids = merged.iter().map(|id| id.0);
        let key = Key(Hasher::new("squash/v1").field("on top", on_top).list("layers", ids).finish());
        let _lock = self.lock_key(&key)?;
        if let Some(Record { layers, .. }) = self.record(&key)?
            && let [id] = layers[..]
            && let Some(layer) = self.layer(&id)?
        {
            return Ok(layer);
        }
        let squashed = self.squash(below, merged)?;
        self.put_record(&Record {
            key,
            offered: None,
            layers: vec![squashed.id()],
            content: None,
            created_unix_ns,
            description: format!("{} layers as one", merged.len()),
            ingredients: Vec::new(),
        })?;
        Ok(squashed)
    }

    fn squash(&self, below: &[LayerId], merged: &[LayerId]) -> Result<Layer, StoreError> {
        let view = self.view(&[below, merged].concat())?;
        let open = |id: &LayerId| self.layer(id)?.ok_or(StoreError::NoLayer { id: *id })?.files();
        // Without anything below there is nothing to hide.
        let opened = match below.is_empty() {
            true => Vec::new(),
            false => merged.iter().map(open).collect::<Result<Vec<OpenFiles>, _>>()?,
        };
        let (reader, writer) = io::pipe().map_err(|source| StoreError::Input { source })?;
        let is_whole = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                let mut to = BufWriter::with_capacity(PIPE_BYTES, writer);
                let layers: Vec<_> = opened.iter().map(Files::from).collect();
                let written = match layers.is_empty() {
                    true => layer::write_tar(view.root(), &mut to, None),
                    false => layer::write_squashed(&layers, view.root(), &mut to),
                };
                is_whole.store(written.is_ok(), Ordering::Release);
                written
            });
            let mut reader = WholeReader { from: reader, is_whole };
            let unpacked = self.unpack_layer(&mut reader, None);
            // A writer that still writes gets EPIPE.
            drop(reader);
            let written = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match (written, unpacked) {
                (Err(layer::WriteError::Output { .. }), Err(error)) => Err(error),
                (Err(error), _) => Err(error.into()),
                (Ok(()), unpacked) => unpacked.map(|(layer, _)| layer),
            }
        })
    }
}

/// A pipe whose end counts only when the writer said that it wrote everything.
struct WholeReader<'a> {
    from: io::PipeReader,
    is_whole: &'a AtomicBool,
}

impl Read for WholeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        if count == 0 && !self.is_whole.load(Ordering::Acquire) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }
}
