//! Layers, against what was learned of them when they were made.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;

use image::{BlobDigest, DiffId, Digest, Sha256};

use super::files::unreadable;
use super::told::{Told, told_of_layers};
use super::{Check, Fault, Repair};
use crate::byte_lock::Place;
use crate::gc::{Claim, Claims};
use crate::snapshot::{Fact, Facts, Layer, OpenFiles, is_same, layer_name};
use crate::{LayerId, StoreError, layer};

impl Check<'_> {
    pub(super) fn layers(&mut self) -> Result<(), StoreError> {
        let told = told_of_layers(self.store)?;
        for name in self.store.disk().names("layers")? {
            let Ok(id) = name.parse::<LayerId>() else { continue };
            let facts_path = format!("{}/facts", layer_name(&id));
            // Only those that came with the layer cannot be learned again; an image tells of these.
            let problems = self.checked.problems.len();
            let has_facts = self.envelope(&facts_path)?;
            let are_facts_lost = self.checked.problems.len() > problems;
            // No lease: what we look at ourselves must be ours to take away.
            if !self.store.is_layer_there(&id)? {
                continue;
            }
            self.checked.layers += 1;
            let facts = if has_facts { self.store.facts(&id)? } else { Facts::default() };
            let layer = Layer::new(self.store.clone(), id);
            match self.changed(&layer, &facts, told.get(&id)) {
                // Whoever learns them again would learn what the files are now.
                Ok(None) if are_facts_lost && !told.contains_key(&id) => {
                    self.layer_found(&id, Fault::LayerForgotten)?;
                }
                Ok(None) => self.unpacked(&layer)?,
                Ok(Some(what)) => self.layer_found(&id, Fault::LayerChanged { what })?,
                Err(StoreError::NoLayer { .. }) => {}
                Err(error) => self.layer_found(&id, unreadable(&error))?,
            }
        }
        Ok(())
    }

    /// The directory that somebody made of a packed layer holds what that holds.
    fn unpacked(&mut self, layer: &Layer) -> Result<(), StoreError> {
        let Some(directory) = self.store.unpacked_directory(&layer.id())? else { return Ok(()) };
        if is_same(&layer.files()?, directory.as_fd())? {
            return Ok(());
        }
        let name = self.store.unpacked_name(&layer.id());
        let is_repaired = self.repair == Repair::TakeAway && self.claimed(&layer.id())?.is_some();
        if is_repaired {
            self.store.discard_unpacked(&name)?;
        }
        self.note(&name, Fault::LayerChanged { what: "content" }, is_repaired);
        Ok(())
    }

    /// What of a layer is no longer as it was. What is `told` of it elsewhere counts when its own facts are lost.
    fn changed(
        &self,
        layer: &Layer,
        facts: &Facts,
        told: Option<&BTreeSet<Told>>,
    ) -> Result<Option<&'static str>, StoreError> {
        if let Some(foreign) = facts.get(Fact::ForeignDiffId) {
            return self.foreign_changed(
                layer,
                DiffId(foreign),
                facts.get(Fact::ForeignBlob).map(BlobDigest),
            );
        }
        let files = layer.files()?;
        for (clamp_mtime, diff_id) in facts.diff_ids() {
            let mut hash = Sha256::new();
            layer::write_tar(&files, &mut hash, clamp_mtime)?;
            if hash.finish() != diff_id {
                return Ok(Some("diff id"));
            }
        }
        let content = facts.get(Fact::Content);
        let is_same = |content: Digest| Ok::<_, StoreError>(layer::content_digest(&files)? == content);
        Ok(match content {
            _ if !facts.diff_ids().is_empty() => None,
            Some(content) => (!is_same(content)?).then_some("content"),
            None => {
                told.filter(|told| !told.is_empty()).map(|told| differs(&files, told)).transpose()?.flatten()
            }
        })
    }

    /// A layer that came from elsewhere: its files are those of its blob, or its tar is what it was.
    fn foreign_changed(
        &self,
        layer: &Layer,
        diff_id: DiffId,
        blob: Option<BlobDigest>,
    ) -> Result<Option<&'static str>, StoreError> {
        let files = layer.open()?;
        let Some(file) = blob.map(|blob| self.store.open_blob(&blob)).transpose()?.flatten() else {
            let mut hash = Sha256::new();
            layer::write_tar(files.as_fd(), &mut hash, None)?;
            return Ok((DiffId(hash.finish()) != diff_id).then_some("diff id"));
        };
        let (unpacked, actual) = self.store.unpack(&mut &file)?;
        if actual != diff_id {
            return Ok(Some("blob"));
        }
        let (theirs, ours) =
            (layer::content_digest(unpacked.open()?.as_fd())?, layer::content_digest(files.as_fd())?);
        Ok((theirs != ours).then_some("content"))
    }

    /// A layer is taken away unless somebody uses it.
    pub(super) fn layer_found(&mut self, id: &LayerId, fault: Fault) -> Result<(), StoreError> {
        let path = layer_name(id);
        let is_repaired = self.repair == Repair::TakeAway && self.take_layer_away(id)?;
        self.note(&path, fault, is_repaired);
        Ok(())
    }

    fn take_layer_away(&self, id: &LayerId) -> Result<bool, StoreError> {
        let session = self.store.session()?;
        let Some(claims) = self.claimed(id)? else { return Ok(false) };
        let staged = session.next_name();
        self.store.disk().rename(&layer_name(id), &staged)?;
        drop(claims);
        session.discard(&staged);
        Ok(true)
    }

    /// A claim on a layer; none when somebody uses it.
    fn claimed(&self, id: &LayerId) -> Result<Option<Claims>, StoreError> {
        let claims = Claims::new(self.store.disk())?;
        Ok((claims.claim(Place::of_layer(id))? == Claim::Taken).then_some(claims))
    }

    /// The first of these layers that is not there. Takes no lease.
    pub(super) fn missing(&self, layers: &[LayerId]) -> Result<Option<LayerId>, StoreError> {
        for id in layers {
            if !self.store.is_layer_there(id)? {
                return Ok(Some(*id));
            }
        }
        Ok(None)
    }
}

/// Whether the tar of these files is none of those that they are said to have.
fn differs(files: &OpenFiles, told: &BTreeSet<Told>) -> Result<Option<&'static str>, StoreError> {
    let clamps: BTreeSet<_> = told.iter().map(|(clamp_mtime, _)| *clamp_mtime).collect();
    for clamp_mtime in clamps {
        let mut hash = Sha256::new();
        layer::write_tar(files, &mut hash, clamp_mtime)?;
        if told.contains(&(clamp_mtime, DiffId(hash.finish()))) {
            return Ok(None);
        }
    }
    Ok(Some("diff id"))
}
