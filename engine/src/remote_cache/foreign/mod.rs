//! Foreign keys: what BuildKit calls the results of a build.
//!
//! BuildKit's cache knows a result under a digest of the operation, written down in its own way, and the keys of the
//! operation's inputs; of a build context it takes the digest of the files that are read. All that is computed here from our
//! graph, so that what one of the two has built is found by the other. An operation that cannot be written down has no key, and
//! neither has what stands on it.

mod content;
mod exec;
mod export;
mod file;
mod json;
mod lookup;
mod node;
mod owner;
mod records;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use cache::tree::ContextMode;
use graph::{BuildGraph, FileAction, MakeFile, Op, Vertex, VertexId};
use image::{Digest, Platform};

use crate::ops::{BaseImage, BaseImages, ContextFiles};
use content::FileDigests;
use json::{Dialect, Object, quoted};
use node::{Content, Node, content_key, root_key};

pub(super) use lookup::Lookup;
pub(super) use records::{ForeignLink, ForeignRecord};

/// The operations of BuildKit behind a graph.
#[derive(Default)]
pub(crate) struct Foreign {
    nodes: Vec<Node>,
    /// The place of the operation that has the result of a vertex; none of the empty file system.
    of: Vec<Option<usize>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The files of the contexts that were looked at.
    contexts: HashMap<VertexId, (Arc<ContextFiles>, Arc<FileDigests>)>,
    /// The keys of what is read of them, by operation and input.
    contents: HashMap<(usize, usize), Vec<Digest>>,
    /// Vertices whose results are not those that their keys say.
    others: BTreeSet<VertexId>,
}

impl Foreign {
    /// The operations behind a graph. An image is known by the layers of its config.
    pub(crate) fn new(graph: &BuildGraph, bases: &BaseImages) -> Self {
        let mut lowering = Lowering {
            graph,
            nodes: Vec::new(),
            of: Vec::new(),
            platforms: Vec::new(),
            contexts: HashMap::new(),
        };
        for (id, vertex) in graph.vertices() {
            lowering.vertex(id, vertex, bases);
        }
        let Lowering { nodes, of, .. } = lowering;
        Self { nodes, of, state: Mutex::default() }
    }

    /// The files of a context are known now.
    pub(crate) fn opened(&self, context: VertexId, files: &Arc<ContextFiles>) {
        if !self.nodes.is_empty() {
            self.lock().contexts.insert(context, (files.clone(), Arc::default()));
        }
    }

    /// The result of a vertex is another one than that of its key, so that nothing which stands on it is found.
    pub(crate) fn is_another(&self, vertex: VertexId) {
        if !self.nodes.is_empty() {
            self.lock().others.insert(vertex);
        }
    }

    /// Why a vertex has no key, if that is its own fault.
    pub(super) fn why_unknown(&self, vertex: VertexId) -> Option<&'static str> {
        self.nodes[self.place(vertex)?].unknown
    }

    fn place(&self, vertex: VertexId) -> Option<usize> {
        self.of.get(vertex.index()).copied().flatten()
    }

    /// Places of operations whose results are not those of their keys.
    fn others(&self) -> BTreeSet<usize> {
        self.lock().others.iter().filter_map(|vertex| self.place(*vertex)).collect()
    }

    /// The keys of what an input's context has of what is read, one for each way of digesting it. Reads the files.
    fn content(&self, node: usize, input: usize) -> Vec<Digest> {
        let Some(content) = &self.nodes[node].inputs[input].content else { return Vec::new() };
        if let Some(known) = self.lock().contents.get(&(node, input)) {
            return known.clone();
        }
        let keys = self.content_of(content);
        self.lock().contents.insert((node, input), keys.clone());
        keys
    }

    fn content_of(&self, Content { context, selectors }: &Content) -> Vec<Digest> {
        let Some((files, digests)) = self.lock().contexts.get(context).cloned() else { return Vec::new() };
        // Other permissions than those that the files have are not what BuildKit would see.
        if files.source.mode != ContextMode::default() {
            return Vec::new();
        }
        let mut keys = Vec::new();
        for dialect in Dialect::ALL {
            match content::checksum(&files.tree, &digests, (selectors, dialect)) {
                Ok(digest) => keys.extend(digest.map(content_key)),
                Err(error) => tracing::debug!(%error, "cannot digest a context as BuildKit does"),
            }
            // Nothing but what matches a pattern is digested in several ways.
            if !selectors.iter().any(|selector| selector.is_pattern) {
                break;
            }
        }
        keys.dedup();
        keys
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the lock panics")
    }
}

/// Operations in the making.
struct Lowering<'a> {
    graph: &'a BuildGraph,
    nodes: Vec<Node>,
    of: Vec<Option<usize>>,
    /// For which platform each vertex is.
    platforms: Vec<Platform>,
    /// The places of build contexts.
    contexts: HashMap<usize, VertexId>,
}

impl Lowering<'_> {
    fn push(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn vertex(&mut self, id: VertexId, vertex: &Vertex, bases: &BaseImages) {
        let below = vertex.inputs.first().map(|below| self.platforms[below.index()].clone());
        let mut platform = below.unwrap_or_else(Platform::host);
        let place = match &vertex.op {
            Op::Scratch => None,
            Op::Image(source) => {
                platform = source.platform.clone();
                Some(self.push(Node::image(image_keys(bases.get(source), &platform))))
            }
            Op::Context(_) => {
                let place = self.push(Node::source(Vec::new()));
                self.contexts.insert(place, id);
                Some(place)
            }
            Op::Http(_) => Some(self.push(Node::unknown("it is a file of a server"))),
            Op::Git(_) => Some(self.push(Node::unknown("it is a repository"))),
            Op::Run(run) => {
                let node = self.run(vertex, run, &platform);
                Some(self.push(node))
            }
            Op::File(file) => Some(self.file(vertex, file)),
        };
        if let Some(place) = place
            && vertex.no_cache
        {
            self.nodes[place].keys.clear();
        }
        self.of.push(place);
        self.platforms.push(platform);
    }

    /// The context of which a vertex has the files that are mounted.
    fn mountable(&self, vertex: VertexId) -> Option<VertexId> {
        let Vertex { inputs, label, .. } = self.graph.vertex(vertex);
        let context = *inputs.get(1)?;
        let is_context = matches!(self.graph.vertex(context).op, Op::Context(_));
        (is_context && label.name.starts_with("[internal] ")).then_some(context)
    }

    /// The here-document that a vertex is.
    fn document(&self, vertex: VertexId) -> Option<&MakeFile> {
        match &self.graph.vertex(vertex).op {
            Op::File(file) => match &file.actions[..] {
                [FileAction::MakeFile(document)] => Some(document),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The keys of an image: of its chain of layers, and of what its name stands for.
fn image_keys(base: &BaseImage, platform: &Platform) -> Vec<Digest> {
    let BaseImage { config, digest, named, .. } = base;
    let mut diff_ids = config.rootfs.diff_ids.iter().map(|diff_id| diff_id.0);
    let lowest = diff_ids.next();
    let chain = lowest
        .map(|lowest| diff_ids.fold(lowest, |chain, next| Digest::of(format!("{chain} {next}").as_bytes())));
    let mut manifests: Vec<&Digest> = named.iter().chain(digest).collect();
    manifests.dedup();
    let platform = platform.normalized();
    let of_manifest = manifests.into_iter().map(|manifest| {
        let written = Object::new()
            .text("Digest", &manifest.to_string())
            .always("OS", quoted(&platform.os))
            .always("Arch", quoted(&platform.architecture))
            .text("Variant", platform.variant.as_deref().unwrap_or_default());
        Digest::of(written.finish().as_bytes())
    });
    let key = |of: Digest| root_key(Digest::of(format!("buildkit.source.v0:{of}").as_bytes()), 0);
    chain.into_iter().chain(of_manifest).map(key).collect()
}
