//! One graph from its sources to its targets.

use std::collections::BTreeSet;
use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use graph::{BuildGraph, VertexId};
use petgraph::Direction;
use petgraph::graphmap::DiGraphMap;
use petgraph::visit::{Dfs, Reversed};

use crate::state::State;
use crate::{Found, Input, Key, Keys, Lookup, Worker};

/// What happens to a vertex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Its result was there.
    Cached(VertexId),
    /// It begins to run.
    Started(VertexId),
    /// It has run.
    Completed(VertexId),
    /// It could not.
    Failed(VertexId),
}

/// Where a result comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A source of the build.
    Source,
    /// It was there already.
    Cached,
    /// It was made now.
    Run,
}

/// A vertex with its result.
#[derive(Debug, Clone)]
pub struct Settled<O> {
    /// The result.
    pub output: O,
    /// The key that dependents see; none for a source without identity.
    pub offered: Option<Key>,
    /// Where it comes from.
    pub origin: Origin,
}

/// A solved graph.
#[derive(Debug)]
pub struct Solved<O> {
    /// The targets, in the order in which they were asked for.
    pub targets: Vec<Settled<O>>,
    /// Every vertex that was found or made, by its place in the graph. A vertex that nobody needed is none.
    pub vertices: Vec<Option<Settled<O>>>,
}

/// A vertex that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("vertex {} did not finish", vertex.index())]
pub struct SolveError<E> {
    /// Which.
    pub vertex: VertexId,
    /// Why.
    pub source: E,
}

/// Makes `targets` and what they need; what several of them need is made once.
///
/// The first failure ends everything else that is under way. The result does not depend on the order in
/// which independent vertices finish.
pub async fn solve<W: Worker>(
    graph: &BuildGraph,
    targets: &[VertexId],
    worker: &W,
    observe: &(dyn Fn(Event) + Send + Sync),
) -> Result<Solved<W::Output>, SolveError<W::Error>> {
    let mut solve = Solve::new(graph, targets, worker, observe);
    solve.probe_sources();
    while let Some((vertex, news)) = solve.work.next().await {
        let news = news.map_err(|source| {
            observe(Event::Failed(vertex));
            SolveError { vertex, source }
        })?;
        solve.advance(vertex, news);
    }
    Ok(solve.finish())
}

/// What the worker answered.
enum News<O> {
    Probed { keys: Keys, lookup: Lookup<O>, source: Option<O> },
    Ran { keys: Keys, offered: Option<Key>, output: O, cached: bool },
}

type Work<'a, O, E> = Pin<Box<dyn Future<Output = (VertexId, Result<News<O>, E>)> + Send + 'a>>;

struct Solve<'a, W: Worker> {
    graph: &'a BuildGraph,
    targets: &'a [VertexId],
    worker: &'a W,
    observe: &'a (dyn Fn(Event) + Send + Sync),
    /// The part that the targets need; edges from input to dependent.
    needed: DiGraphMap<VertexId, ()>,
    states: Vec<State<W::Output>>,
    /// What runs although there is a result of it.
    replaced: BTreeSet<VertexId>,
    work: FuturesUnordered<Work<'a, W::Output, W::Error>>,
}

impl<'a, W: Worker> Solve<'a, W> {
    fn new(
        graph: &'a BuildGraph,
        targets: &'a [VertexId],
        worker: &'a W,
        observe: &'a (dyn Fn(Event) + Send + Sync),
    ) -> Self {
        let needed = needed(graph, targets);
        let distinct_inputs = |id| needed.neighbors_directed(id, Direction::Incoming).count();
        let states = graph
            .vertices()
            .map(|(id, _)| State::Unprobed {
                inputs: if needed.contains_node(id) { distinct_inputs(id) } else { usize::MAX },
            })
            .collect();
        let replaced = graph.vertices().filter(|(_, vertex)| vertex.no_cache).map(|(id, _)| id).collect();
        Self { graph, targets, worker, observe, needed, states, replaced, work: FuturesUnordered::new() }
    }

    fn state(&self, id: VertexId) -> &State<W::Output> {
        &self.states[id.index()]
    }

    /// The key that dependents of a vertex see, as far as it is known. What runs although there is a result may come
    /// to something else than it did before, so it shows none until it has run.
    fn offered(&self, id: VertexId) -> Option<Key> {
        let state = self.state(id);
        match state.settled() {
            None if self.replaced.contains(&id) => None,
            _ => state.offered(),
        }
    }

    fn set(&mut self, id: VertexId, state: State<W::Output>) {
        self.states[id.index()] = state;
    }

    fn dependents(&self, id: VertexId) -> Vec<VertexId> {
        self.needed.neighbors(id).collect()
    }

    fn inputs(&self, id: VertexId) -> Vec<VertexId> {
        self.needed.neighbors_directed(id, Direction::Incoming).collect()
    }

    fn probe_sources(&mut self) {
        let ready: Vec<VertexId> = self
            .graph
            .vertices()
            .map(|(id, _)| id)
            .filter(|id| matches!(self.state(*id), State::Unprobed { inputs: 0 }))
            .collect();
        for id in ready {
            self.probe(id);
        }
    }

    fn advance(&mut self, id: VertexId, news: News<W::Output>) {
        match news {
            News::Probed { keys, lookup, source } => {
                if matches!(lookup, Lookup::Expired) {
                    self.replaced.insert(id);
                }
                let settled = match (lookup.found(), source) {
                    (Some(Found { output, offered }), _) => {
                        (self.observe)(Event::Cached(id));
                        let origin = self.origin(id, Origin::Cached);
                        Some(Settled { output, offered: Some(offered), origin })
                    }
                    (None, Some(output)) => {
                        Some(Settled { output, offered: keys.offered(), origin: Origin::Source })
                    }
                    (None, None) => None,
                };
                self.set(id, settled.map_or(State::Missed { keys }, State::Done));
                self.probed(id);
            }
            News::Ran { keys, offered, output, cached } => {
                (self.observe)(if cached { Event::Cached(id) } else { Event::Completed(id) });
                let origin = self.origin(id, if cached { Origin::Cached } else { Origin::Run });
                let offered = offered.or(keys.offered());
                self.set(id, State::Done(Settled { output, offered, origin }));
                self.arrived(id);
            }
        }
    }

    /// A source is one, wherever its files were.
    fn origin(&self, id: VertexId, otherwise: Origin) -> Origin {
        if self.graph.vertex(id).op.is_source() { Origin::Source } else { otherwise }
    }

    /// Tells the dependents that one more input has been probed, and demands a target.
    fn probed(&mut self, id: VertexId) {
        for dependent in self.dependents(id) {
            if let State::Unprobed { inputs } = &mut self.states[dependent.index()] {
                *inputs -= 1;
                if *inputs == 0 {
                    self.probe(dependent);
                }
            }
        }
        if self.targets.contains(&id) {
            self.demand(id);
        }
    }

    /// Makes sure that `id` and everything missing below it will run.
    fn demand(&mut self, id: VertexId) {
        let mut demanded = vec![id];
        while let Some(id) = demanded.pop() {
            let State::Missed { keys } = *self.state(id) else { continue };
            let missing: Vec<VertexId> =
                self.inputs(id).into_iter().filter(|input| self.state(*input).settled().is_none()).collect();
            self.set(id, State::Waiting { inputs: missing.len(), keys });
            if missing.is_empty() {
                self.run(id);
            }
            demanded.extend(missing);
        }
    }

    /// Tells the dependents that are waiting that one more input is there.
    fn arrived(&mut self, id: VertexId) {
        for dependent in self.dependents(id) {
            if let State::Waiting { inputs, .. } = &mut self.states[dependent.index()] {
                *inputs -= 1;
                if *inputs == 0 {
                    self.run(dependent);
                }
            }
        }
    }

    /// Asks the worker who a source is, or for a remembered result.
    fn probe(&mut self, id: VertexId) {
        self.set(id, State::Probing);
        let (graph, worker) = (self.graph, self.worker);
        if graph.vertex(id).op.is_source() {
            self.work.push(Box::pin(async move { (id, identify(graph, worker, id).await) }));
        } else {
            let view = InputView::of(self, id);
            self.work.push(Box::pin(async move { (id, look_up(graph, worker, id, view).await) }));
        }
    }

    /// Looks once more if the inputs' keys have changed since the probe, then lets the worker work.
    fn run(&mut self, id: VertexId) {
        let State::Waiting { keys, .. } = *self.state(id) else {
            unreachable!("only a waiting vertex runs");
        };
        self.set(id, State::Running);
        let view = InputView::of(self, id);
        let (graph, worker, observe) = (self.graph, self.worker, self.observe);
        self.work.push(Box::pin(async move { (id, run(graph, worker, observe, id, keys, view).await) }));
    }

    fn finish(self) -> Solved<W::Output> {
        let vertices: Vec<_> = self
            .states
            .into_iter()
            .map(|state| match state {
                State::Done(settled) => Some(settled),
                _ => None,
            })
            .collect();
        let settled = |target: &VertexId| {
            vertices[target.index()].clone().expect("the target was demanded and nothing failed")
        };
        Solved { targets: self.targets.iter().map(settled).collect(), vertices }
    }
}

/// What is known of the inputs of a vertex when work on it begins.
struct InputView<O> {
    keys: Vec<Option<Key>>,
    outputs: Vec<Option<O>>,
}

impl<O: Clone> InputView<O> {
    fn of<W: Worker<Output = O>>(solve: &Solve<'_, W>, id: VertexId) -> Self {
        let inputs = &solve.graph.vertex(id).inputs;
        Self {
            keys: inputs.iter().map(|input| solve.offered(*input)).collect(),
            outputs: inputs
                .iter()
                .map(|input| solve.state(*input).settled().map(|settled| settled.output.clone()))
                .collect(),
        }
    }
}

async fn identify<W: Worker>(
    graph: &BuildGraph,
    worker: &W,
    id: VertexId,
) -> Result<News<W::Output>, W::Error> {
    let vertex = graph.vertex(id);
    let identity = worker.identify(id, vertex).await?;
    let definition = identity.digest.map(|digest| Key::of_source(vertex.op.digest(), &digest));
    let keys = Keys { definition, content: None };
    if identity.output.is_some() {
        return Ok(News::Probed { keys, lookup: Lookup::Missing, source: identity.output });
    }
    let key = definition.expect("a source without output has an identity");
    let lookup = if vertex.no_cache { Lookup::Missing } else { worker.look_up(id, key).await? };
    Ok(News::Probed { keys, lookup, source: None })
}

/// Looks a vertex up by its definition key, then, if what it reads is there, by its content key.
async fn look_up<W: Worker>(
    graph: &BuildGraph,
    worker: &W,
    id: VertexId,
    view: InputView<W::Output>,
) -> Result<News<W::Output>, W::Error> {
    let vertex = graph.vertex(id);
    let definition = definition_key(graph, id, &view);
    let by_definition = match (definition, vertex.no_cache) {
        (Some(key), false) => worker.look_up(id, key).await?,
        _ => Lookup::Missing,
    };
    if matches!(by_definition, Lookup::Found(_)) {
        let keys = Keys { definition, content: None };
        return Ok(News::Probed { keys, lookup: by_definition, source: None });
    }
    let content = content_key(graph, worker, id, &view).await?;
    let keys = Keys { definition, content };
    let lookup = match find_by_content(graph, worker, id, keys).await? {
        Lookup::Missing => by_definition,
        by_content => by_content,
    };
    Ok(News::Probed { keys, lookup, source: None })
}

async fn run<W: Worker>(
    graph: &BuildGraph,
    worker: &W,
    observe: &(dyn Fn(Event) + Send + Sync),
    id: VertexId,
    probed: Keys,
    view: InputView<W::Output>,
) -> Result<News<W::Output>, W::Error> {
    let vertex = graph.vertex(id);
    let keys = match vertex.op.is_source() {
        true => probed,
        false => {
            let definition = definition_key(graph, id, &view);
            Keys { definition, content: content_key(graph, worker, id, &view).await? }
        }
    };
    if keys.definition != probed.definition
        && let (Some(key), false) = (keys.definition, vertex.no_cache)
        && let Lookup::Found(found) = worker.look_up(id, key).await?
    {
        return Ok(News::Ran { keys, offered: Some(found.offered), output: found.output, cached: true });
    }
    if keys.content != probed.content
        && let Lookup::Found(found) = find_by_content(graph, worker, id, keys).await?
    {
        return Ok(News::Ran { keys, offered: Some(found.offered), output: found.output, cached: true });
    }
    observe(Event::Started(id));
    let outputs = view.outputs.into_iter().map(|output| output.expect("every input has arrived"));
    let inputs: Vec<_> = outputs.zip(view.keys).map(|(output, offered)| Input { output, offered }).collect();
    let finished = worker.execute(id, vertex, &inputs, keys).await?;
    Ok(News::Ran { keys, offered: finished.offered, output: finished.output, cached: finished.reused })
}

async fn find_by_content<W: Worker>(
    graph: &BuildGraph,
    worker: &W,
    id: VertexId,
    keys: Keys,
) -> Result<Lookup<W::Output>, W::Error> {
    let (Some(key), false) = (keys.content, graph.vertex(id).no_cache) else { return Ok(Lookup::Missing) };
    let lookup = worker.look_up(id, key).await?;
    if let Lookup::Found(found) = &lookup {
        // Next time the definition key finds it, and what it reads need not even be there.
        worker.remember(id, keys, found).await?;
    }
    Ok(lookup)
}

fn definition_key<O>(graph: &BuildGraph, id: VertexId, view: &InputView<O>) -> Option<Key> {
    let inputs: Vec<Key> = view.keys.iter().copied().collect::<Option<_>>()?;
    Some(Key::of_definition(graph.vertex(id).op.digest(), &inputs))
}

/// None when the vertex reads no input partly, or when what it reads is not there yet.
async fn content_key<W: Worker>(
    graph: &BuildGraph,
    worker: &W,
    id: VertexId,
    view: &InputView<W::Output>,
) -> Result<Option<Key>, W::Error> {
    let vertex = graph.vertex(id);
    let read = vertex.op.partly_read();
    if read.is_empty() || read.iter().any(|input| view.outputs[*input].is_none()) {
        return Ok(None);
    }
    let continued = view.keys.iter().enumerate().filter(|(input, _)| !read.contains(input));
    let Some(continued) = continued.map(|(_, key)| *key).collect::<Option<Vec<Key>>>() else {
        return Ok(None);
    };
    let digest = worker.fingerprint(id, vertex, &view.outputs).await?;
    Ok(Some(Key::of_content(vertex.op.digest(), &continued, &digest)))
}

/// The vertices that `targets` need, with an edge from each input to each dependent.
fn needed(graph: &BuildGraph, targets: &[VertexId]) -> DiGraphMap<VertexId, ()> {
    let mut all: DiGraphMap<VertexId, ()> = DiGraphMap::new();
    for (id, vertex) in graph.vertices() {
        all.add_node(id);
        for input in &vertex.inputs {
            all.add_edge(*input, id, ());
        }
    }
    let mut needed = DiGraphMap::new();
    let reversed = Reversed(&all);
    let mut search = Dfs::empty(reversed);
    search.stack.extend(targets);
    while let Some(id) = search.next(reversed) {
        needed.add_node(id);
        for input in &graph.vertex(id).inputs {
            needed.add_edge(*input, id, ());
        }
    }
    needed
}
