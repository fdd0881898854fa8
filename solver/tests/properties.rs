//! What must hold for every graph: a build with a cache comes to what a build without one comes to, and neither the
//! result nor what runs depends on which vertex finishes first.
#![allow(clippy::unwrap_used, reason = "a poisoned lock ends the test as it should")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use graph::{BuildGraph, ContextSource, Copy, File, FileAction, Label, Op, Run, Vertex, VertexId};
use image::{Digest, Hasher};
use proptest::prelude::*;
use solver::{Finished, Found, Identity, Input, Key, Keys, Lookup, Worker, solve};

/// Files of the context.
const FILES: usize = 3;
/// Commands of steps: few, so that graphs have steps in common.
const COMMANDS: u8 = 4;

/// A step, and what it stands on by places among the steps before it.
#[derive(Debug, Clone)]
enum Step {
    /// A command whose result depends on all that is there.
    Run { command: u8, on: usize },
    /// A command that comes to the same whatever there is: what follows it is cut off.
    Fixed { command: u8, result: u8, on: usize },
    /// A file of the context.
    Copy { file: usize, on: usize },
    /// A file of another step.
    CopyFrom { file: usize, on: usize, from: usize },
}

/// A build: its steps, the content of the files of its context, and steps that are to run whatever there is.
#[derive(Debug, Clone)]
struct Build {
    steps: Vec<Step>,
    files: [u8; FILES],
    no_cache: BTreeSet<usize>,
}

fn step() -> impl Strategy<Value = Step> {
    let place = || 0..100_usize;
    prop_oneof![
        (0..COMMANDS, place()).prop_map(|(command, on)| Step::Run { command, on }),
        (0..COMMANDS, 0..2_u8, place()).prop_map(|(command, result, on)| Step::Fixed { command, result, on }),
        (0..FILES, place()).prop_map(|(file, on)| Step::Copy { file, on }),
        (0..FILES, place(), place()).prop_map(|(file, on, from)| Step::CopyFrom { file, on, from }),
    ]
}

fn build() -> impl Strategy<Value = Build> {
    let no_cache = prop::collection::btree_set(0..8_usize, 0..2);
    let steps = prop::collection::vec(step(), 1..8);
    (steps, prop::array::uniform3(0..2_u8), no_cache).prop_map(|(steps, files, no_cache)| Build {
        steps,
        files,
        no_cache,
    })
}

impl Build {
    /// The graph; the last step is the target.
    fn graph(&self) -> (BuildGraph, VertexId) {
        let mut graph = BuildGraph::new();
        let mut add = |op, inputs: Vec<VertexId>, no_cache| {
            graph.add(Vertex { op, inputs, label: Label::default(), no_cache })
        };
        let mut places = vec![add(Op::Scratch, Vec::new(), false)];
        let context = add(Op::Context(ContextSource { name: ContextSource::MAIN.into() }), Vec::new(), false);
        for (at, step) in self.steps.iter().enumerate() {
            let place = |number: usize| places[number % places.len()];
            let run = |words: Vec<String>| Op::Run(Run { argv: words, ..Run::default() });
            let copy = |file: usize| {
                let (sources, destination) = (vec![file.to_string()], "/".into());
                let copy = Copy { input: 1, sources, destination, ..Copy::default() };
                Op::File(File { actions: vec![FileAction::Copy(copy)] })
            };
            let no_cache = self.no_cache.contains(&at);
            let vertex = match step {
                Step::Run { command, on } => add(run(vec![command.to_string()]), vec![place(*on)], no_cache),
                Step::Fixed { command, result, on } => {
                    add(run(vec![command.to_string(), result.to_string()]), vec![place(*on)], no_cache)
                }
                Step::Copy { file, on } => add(copy(*file), vec![place(*on), context], no_cache),
                Step::CopyFrom { file, on, from } => {
                    add(copy(*file), vec![place(*on), place(*from)], no_cache)
                }
            };
            places.push(vertex);
        }
        (graph, *places.last().expect("there is a first place"))
    }
}

type Memory = BTreeMap<Key, Found<String>>;

/// A worker whose results are texts that say all that they were made from.
struct Bench {
    files: [u8; FILES],
    memory: Mutex<Memory>,
    /// One of each key at a time, as with the locks of a store.
    busy: Mutex<BTreeSet<Key>>,
    /// The keys under which something ran.
    ran: Mutex<BTreeSet<Key>>,
    /// How often a vertex lets others go first.
    delays: Vec<u8>,
}

impl Bench {
    async fn delay(&self, id: VertexId) {
        for _ in 0..self.delays[id.index() % self.delays.len()] {
            tokio::task::yield_now().await;
        }
    }

    /// What a step reads of another: a part of what the other is.
    fn part(&self, input: &str, path: &str) -> String {
        match input {
            "context" => format!("file {}", self.files[path.parse::<usize>().unwrap()]),
            // Steps that differ in one place only have equal parts.
            other => format!("part {}", other.len() % 3),
        }
    }

    fn read(&self, file: &File, inputs: &[Option<String>]) -> String {
        let copies = file.actions.iter().filter_map(|action| match action {
            FileAction::Copy(copy) => Some(copy),
            _ => None,
        });
        copies.map(|copy| self.part(inputs[copy.input].as_ref().unwrap(), &copy.sources[0])).collect()
    }
}

impl Worker for Bench {
    type Output = String;
    type Error = String;

    async fn identify(&self, id: VertexId, vertex: &Vertex) -> Result<Identity<String>, String> {
        self.delay(id).await;
        Ok(match vertex.op {
            Op::Context(_) => Identity { digest: None, output: Some("context".into()) },
            _ => Identity { digest: Some(Digest::of(b"scratch")), output: Some("scratch".into()) },
        })
    }

    async fn fingerprint(
        &self,
        id: VertexId,
        vertex: &Vertex,
        inputs: &[Option<String>],
    ) -> Result<Digest, String> {
        self.delay(id).await;
        let Op::File(file) = &vertex.op else { return Err("only copies read".into()) };
        Ok(Digest::of(self.read(file, inputs).as_bytes()))
    }

    async fn look_up(&self, id: VertexId, key: Key) -> Result<Lookup<String>, String> {
        self.delay(id).await;
        let memory = self.memory.lock().unwrap();
        Ok(memory.get(&key).map_or(Lookup::Missing, |found| Lookup::Found(found.clone())))
    }

    async fn execute(
        &self,
        id: VertexId,
        vertex: &Vertex,
        inputs: &[Input<String>],
        keys: Keys,
    ) -> Result<Finished<String>, String> {
        let key = keys.offered().unwrap();
        while !self.busy.lock().unwrap().insert(key) {
            tokio::task::yield_now().await;
        }
        let known = self.memory.lock().unwrap().get(&key).cloned().filter(|_| !vertex.no_cache);
        if let Some(Found { output, offered }) = known {
            self.busy.lock().unwrap().remove(&key);
            return Ok(Finished { output, offered: Some(offered), reused: true });
        }
        self.delay(id).await;
        self.ran.lock().unwrap().insert(key);
        let (output, offered) = match &vertex.op {
            Op::Run(run) if run.argv.len() == 2 => {
                let output = format!("fixed {}", run.argv[1]);
                let state = Key(Hasher::new("state").field("output", &output).finish());
                (output, Some(state))
            }
            Op::Run(run) => (format!("({} on {})", run.argv[0], inputs[0].output), None),
            Op::File(file) => {
                let outputs: Vec<_> = inputs.iter().map(|input| Some(input.output.clone())).collect();
                (format!("[{} over {}]", self.read(file, &outputs), inputs[0].output), None)
            }
            _ => return Err("sources do not run".into()),
        };
        let found = Found { output: output.clone(), offered: offered.unwrap_or(key) };
        for key in [keys.definition, keys.content].into_iter().flatten() {
            self.memory.lock().unwrap().insert(key, found.clone());
        }
        self.busy.lock().unwrap().remove(&key);
        Ok(Finished { output, offered, reused: false })
    }

    async fn remember(&self, _: VertexId, keys: Keys, found: &Found<String>) -> Result<(), String> {
        for key in [keys.definition, keys.content].into_iter().flatten() {
            self.memory.lock().unwrap().insert(key, found.clone());
        }
        Ok(())
    }
}

/// What a build came to, under which keys something ran, and what is remembered now.
#[derive(Debug, PartialEq)]
struct Built {
    output: String,
    offered: Option<Key>,
    ran: BTreeSet<Key>,
}

fn solved(build: &Build, memory: &mut Memory, delays: &[u8]) -> Built {
    let (graph, target) = build.graph();
    let bench = Bench {
        files: build.files,
        memory: Mutex::new(std::mem::take(memory)),
        busy: Mutex::default(),
        ran: Mutex::default(),
        delays: delays.to_vec(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let solved = runtime.block_on(solve(&graph, &[target], &bench, &|_| ())).expect("nothing fails");
    *memory = bench.memory.into_inner().unwrap();
    let [settled] = <[_; 1]>::try_from(solved.targets).expect("one target was asked for");
    Built { output: settled.output, offered: settled.offered, ran: bench.ran.into_inner().unwrap() }
}

fn delays() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..6_u8, 1..10)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Equal keys imply equal results: whatever was built before, a build comes to what it comes to alone.
    #[test]
    fn a_cache_changes_no_result(history in prop::collection::vec(build(), 0..4), wanted in build()) {
        let mut memory = Memory::new();
        for earlier in &history {
            solved(earlier, &mut memory, &[0]);
        }
        let cached = solved(&wanted, &mut memory, &[0]);
        let alone = solved(&wanted, &mut Memory::new(), &[0]);
        prop_assert_eq!(cached.output, alone.output);
    }

    /// A second build of the same runs only what has to run.
    #[test]
    fn a_second_build_runs_nothing(wanted in build()) {
        let wanted = Build { no_cache: BTreeSet::new(), ..wanted };
        let mut memory = Memory::new();
        let first = solved(&wanted, &mut memory, &[0]);
        let second = solved(&wanted, &mut memory, &[0]);
        prop_assert_eq!(first.output, second.output);
        prop_assert_eq!(second.ran, BTreeSet::new());
    }

    /// What runs, what comes out and which key it has is the same in whatever order vertices finish.
    #[test]
    fn order_does_not_matter(
        earlier in build(),
        wanted in build(),
        (some, other) in (delays(), delays()),
    ) {
        let mut memory = Memory::new();
        solved(&earlier, &mut memory, &[0]);
        let one = solved(&wanted, &mut memory.clone(), &some);
        let two = solved(&wanted, &mut memory, &other);
        prop_assert_eq!(one, two);
    }

    /// Another command, another file or another content is a miss for whatever depends on it.
    #[test]
    fn a_change_is_a_miss(wanted in build(), at in 0..8_usize) {
        let mut memory = Memory::new();
        // Without steps that cut off, a change reaches the target.
        let steps = wanted.steps.iter().filter(|step| !matches!(step, Step::Fixed { .. } | Step::CopyFrom { .. }));
        let mut wanted = Build { steps: steps.cloned().collect(), no_cache: BTreeSet::new(), ..wanted };
        prop_assume!(!wanted.steps.is_empty());
        // A chain: every step is needed.
        let count = wanted.steps.len();
        for (place, step) in wanted.steps.iter_mut().enumerate() {
            let (Step::Run { on, .. } | Step::Copy { on, .. }) = step else { continue };
            *on = place;
        }
        solved(&wanted, &mut memory, &[0]);
        let mut changed = wanted.clone();
        match &mut changed.steps[at % count] {
            Step::Run { command, .. } => *command += COMMANDS,
            Step::Copy { file, .. } => changed.files[*file] += 2,
            Step::Fixed { .. } | Step::CopyFrom { .. } => {}
        }
        let built = solved(&changed, &mut memory, &[0]);
        let missed = built.ran.len();
        prop_assert!(missed >= count - at % count, "{missed} of {count} ran after a change at {}", at % count);
    }
}
