//! Results that are not in the store: found in remote caches, and brought when something needs their files.

use std::sync::Arc;

use graph::{Vertex, VertexId};
use image::Reference;
use solver::{Found, Key, Lookup, Solved};

use super::{BuildWorker, Layers, Output};
use crate::BuildError;
use crate::remote_cache::{AwayLayers, Lost, Trod};

impl BuildWorker {
    /// What remote caches know of a key that the store does not.
    pub(super) async fn look_elsewhere(&self, id: VertexId, key: Key) -> Result<Lookup<Output>, BuildError> {
        let Some(hit) = self.imports.find(&self.store, id, key.0).await? else {
            self.ahead.missed(id);
            return Ok(Lookup::Missing);
        };
        if hit.created_unix_ns < self.cached_since_unix_ns {
            self.foreign.is_another(id);
            self.ahead.missed(id);
            self.journal.expired(id, hit.created_unix_ns);
            return Ok(Lookup::Expired);
        }
        if let Some(step) = self.step(id) {
            self.steps.cached(step, hit.created_unix_ns);
        }
        let offered = Key(hit.offered);
        self.tread(id, key, offered, hit.created_unix_ns, false);
        self.journal.cached(id, key, hit.offered, hit.ingredients);
        Ok(Lookup::Found(Found { output: hit.output, offered }))
    }

    /// Notes under which key a result is known.
    pub(super) fn tread(&self, vertex: VertexId, key: Key, offered: Key, created_unix_ns: i64, ran: bool) {
        self.trail.note(key.0, Trod { vertex, offered: offered.0, created_unix_ns, ran });
    }

    /// The same with all of its layers in the store.
    ///
    /// # Errors
    ///
    /// [`BuildError::LostLayer`] when a remote cache has not what it said: from now on it does not say so any more, and
    /// the graph is to be solved again.
    pub(crate) async fn here(&self, output: &Output) -> Result<Output, BuildError> {
        let Output::Away(away) = output else { return Ok(output.clone()) };
        let ids = self.engine.bring(away).await.map_err(|lost| self.lost(lost))?;
        let AwayLayers { created_unix_ns, .. } = away;
        Ok(Output::Layers(Layers { ids: Arc::clone(&ids), created_unix_ns: *created_unix_ns }))
    }

    /// Makes sure that a push to these names finds the layers that are not here, as [`Self::here`] does without
    /// unpacking any.
    pub(crate) async fn promise(&self, output: &Output, names: &[Reference]) -> Result<(), BuildError> {
        let Output::Away(away) = output else { return Ok(()) };
        self.engine.promise(away, names).await.map_err(|lost| self.lost(lost))
    }

    fn lost(&self, lost: Lost) -> BuildError {
        match lost {
            Lost::Build(error) => *error,
            Lost::Layer { layer, error } => {
                self.imports.distrust(&layer, &error);
                BuildError::LostLayer { diff_id: layer.diff_id }
            }
        }
    }

    /// Keeps records of results whose layers have all come by now, for whatever reason.
    pub(crate) fn remember_brought(&self, solved: &Solved<Output>) -> Result<(), BuildError> {
        for settled in solved.vertices.iter().flatten() {
            let Output::Away(AwayLayers { links, record: Some(record), .. }) = &settled.output else {
                continue;
            };
            let here =
                links.iter().map(|link| link.here(&self.store)).collect::<Result<Option<Vec<_>>, _>>()?;
            if let Some(layers) = here {
                self.store.put_record(&cache::Record { layers, ..cache::Record::clone(record) })?;
            }
        }
        Ok(())
    }

    /// The same for those inputs of a vertex that it reads partly.
    pub(super) async fn read_here(
        &self,
        vertex: &Vertex,
        inputs: &[Option<Output>],
    ) -> Result<Vec<Option<Output>>, BuildError> {
        let mut here = inputs.to_vec();
        for at in vertex.op.partly_read() {
            if let Some(output) = &inputs[at] {
                here[at] = Some(self.here(output).await?);
            }
        }
        Ok(here)
    }
}
