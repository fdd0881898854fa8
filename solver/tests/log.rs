//! What ran and what hit, read as a log.
#![allow(clippy::unwrap_used, reason = "a poisoned lock ends the test as it should")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use graph::{BuildGraph, ContextSource, Copy, File, FileAction, GitSource, Label, Op, Run, Vertex, VertexId};
use image::{Digest, Hasher};
use solver::{Event, Finished, Found, Identity, Input, Key, Keys, Lookup, SolveError, Worker, solve};

/// A worker whose files are a name and a content, and whose memory lasts from build to build.
#[derive(Default)]
struct Bench {
    memory: Mutex<BTreeMap<Key, Found<String>>>,
    context: Mutex<BTreeMap<String, String>>,
    failing: BTreeSet<String>,
    /// Results that are too old.
    old: Mutex<BTreeSet<String>>,
    log: Mutex<Vec<String>>,
}

impl Bench {
    fn say(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    fn write(&self, path: &str, content: &str) {
        self.context.lock().unwrap().insert(path.into(), content.into());
    }

    fn forget(&self, output: &str) {
        self.memory.lock().unwrap().retain(|_, found| found.output != output);
    }
}

impl Worker for Bench {
    type Output = String;
    type Error = String;

    async fn identify(&self, _: VertexId, vertex: &Vertex) -> Result<Identity<String>, String> {
        let digest = (!matches!(vertex.op, Op::Context(_))).then(|| Digest::of(vertex.label.name.as_bytes()));
        let output = (!matches!(vertex.op, Op::Git(_))).then(|| vertex.label.name.clone());
        Ok(Identity { digest, output })
    }

    async fn fingerprint(
        &self,
        _: VertexId,
        vertex: &Vertex,
        inputs: &[Option<String>],
    ) -> Result<Digest, String> {
        let Op::File(file) = &vertex.op else { return Err("only copies read".into()) };
        let mut hasher = Hasher::new("read");
        for action in &file.actions {
            let FileAction::Copy(copy) = action else { continue };
            let input = inputs[copy.input].as_ref().expect("what is read is there");
            for path in &copy.sources {
                let content = match self.context.lock().unwrap().get(path) {
                    Some(content) if input == "context" => content.clone(),
                    _ => format!("{path} of {input}"),
                };
                hasher = hasher.field(path, content);
            }
        }
        Ok(hasher.finish())
    }

    async fn look_up(&self, _: VertexId, key: Key) -> Result<Lookup<String>, String> {
        Ok(match self.memory.lock().unwrap().get(&key) {
            Some(found) if self.old.lock().unwrap().contains(&found.output) => Lookup::Expired,
            Some(found) => Lookup::Found(found.clone()),
            None => Lookup::Missing,
        })
    }

    async fn execute(
        &self,
        _: VertexId,
        vertex: &Vertex,
        _: &[Input<String>],
        keys: Keys,
    ) -> Result<Finished<String>, String> {
        let name = &vertex.label.name;
        tokio::task::yield_now().await;
        if self.failing.contains(name) {
            return Err(format!("{name} exited with 1"));
        }
        self.old.lock().unwrap().remove(name);
        // The part before `=` is what comes out, the part behind it is how: for early cut-off.
        let output = name.split('=').next().unwrap_or_default().to_owned();
        let offered = name.contains('=').then(|| Key(Digest::of(output.as_bytes())));
        let found =
            Found { output: output.clone(), offered: offered.or(keys.offered()).expect("there is a key") };
        for key in [keys.definition, keys.content].into_iter().flatten() {
            self.memory.lock().unwrap().insert(key, found.clone());
        }
        Ok(Finished { output, offered, reused: false })
    }

    async fn remember(&self, _: VertexId, keys: Keys, found: &Found<String>) -> Result<(), String> {
        for key in [keys.definition, keys.content].into_iter().flatten() {
            self.memory.lock().unwrap().insert(key, found.clone());
        }
        Ok(())
    }
}

/// A graph written down quickly; `base` is vertex 0.
struct Sketch(BuildGraph);

impl Sketch {
    fn new() -> Self {
        let mut sketch = Self(BuildGraph::new());
        sketch.add(Op::Scratch, "base", &[]);
        sketch
    }

    fn add(&mut self, op: Op, name: &str, inputs: &[VertexId]) -> VertexId {
        let label = Label { name: name.into(), ..Label::default() };
        self.0.add(Vertex { op, inputs: inputs.to_vec(), label, no_cache: false })
    }

    fn base(&self) -> VertexId {
        self.0.vertices().next().expect("base is there").0
    }

    fn run(&mut self, name: &str, on: VertexId) -> VertexId {
        self.add(Op::Run(Run { argv: vec![name.into()], ..Run::default() }), name, &[on])
    }

    fn copy(&mut self, name: &str, path: &str, on: VertexId, from: VertexId) -> VertexId {
        let copy = Copy { input: 1, sources: vec![path.into()], destination: "/".into(), ..Copy::default() };
        self.add(Op::File(File { actions: vec![FileAction::Copy(copy)] }), name, &[on, from])
    }

    fn repository(&mut self) -> VertexId {
        self.add(Op::Git(GitSource::new("https://host/repository.git")), "repository", &[])
    }

    fn context(&mut self) -> VertexId {
        self.add(Op::Context(ContextSource { name: ContextSource::MAIN.into() }), "context", &[])
    }
}

/// Builds, and says what ran and what hit.
fn build(bench: &Bench, graph: &BuildGraph, target: VertexId) -> String {
    build_all(bench, graph, &[target])
}

fn build_all(bench: &Bench, graph: &BuildGraph, targets: &[VertexId]) -> String {
    bench.log.lock().unwrap().clear();
    let observe = |event| {
        let name = |id: VertexId| graph.vertex(id).label.name.clone();
        match event {
            Event::Cached(id) => bench.say(format!("hit  {}", name(id))),
            Event::Started(id) => bench.say(format!("run  {}", name(id))),
            Event::Failed(id) => bench.say(format!("fail {}", name(id))),
            Event::Completed(_) => {}
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let result = runtime.block_on(solve(graph, targets, bench, &observe));
    if let Err(SolveError { source, .. }) = result {
        bench.say(source);
    }
    bench.log.lock().unwrap().join("\n")
}

#[test]
fn several_targets_share_what_they_need() {
    let bench = Bench::default();
    let mut sketch = Sketch::new();
    let deps = sketch.run("deps", sketch.base());
    let unneeded = sketch.run("unneeded", deps);
    let (one, two) = (sketch.run("one", deps), sketch.run("two", deps));
    // A target may be what another one is built on.
    let three = sketch.run("three", one);
    assert_eq!(build_all(&bench, &sketch.0, &[one]), "run  deps\nrun  one");
    insta::assert_snapshot!(build_all(&bench, &sketch.0, &[three, two, one]), @r"
    hit  deps
    hit  one
    run  two
    run  three
    ");
    assert_ne!(unneeded, deps);
}

#[test]
fn second_build_hits_and_a_change_runs_what_follows() {
    let bench = Bench::default();
    let mut sketch = Sketch::new();
    let deps = sketch.run("deps", sketch.base());
    let app = sketch.run("app", deps);
    insta::assert_snapshot!(build(&bench, &sketch.0, app), @r"
    run  deps
    run  app
    ");
    insta::assert_snapshot!(build(&bench, &sketch.0, app), @r"
    hit  deps
    hit  app
    ");
    let changed = sketch.run("app --fast", deps);
    insta::assert_snapshot!(build(&bench, &sketch.0, changed), @r"
    hit  deps
    run  app --fast
    ");
}

#[test]
fn only_what_the_target_needs_runs() {
    let bench = Bench::default();
    let mut sketch = Sketch::new();
    let wanted = sketch.run("wanted", sketch.base());
    sketch.run("unwanted", sketch.base());
    insta::assert_snapshot!(build(&bench, &sketch.0, wanted), @"run  wanted");
}

#[test]
fn a_copy_depends_on_just_what_it_reads() {
    let bench = Bench::default();
    bench.write("main.c", "1");
    bench.write("readme", "1");
    let mut sketch = Sketch::new();
    let context = sketch.context();
    let copy = sketch.copy("copy main.c", "main.c", sketch.base(), context);
    let make = sketch.run("make", copy);
    insta::assert_snapshot!(build(&bench, &sketch.0, make), @r"
    run  copy main.c
    run  make
    ");
    bench.write("readme", "2");
    insta::assert_snapshot!(build(&bench, &sketch.0, make), @r"
    hit  copy main.c
    hit  make
    ");
    bench.write("main.c", "2");
    insta::assert_snapshot!(build(&bench, &sketch.0, make), @r"
    run  copy main.c
    run  make
    ");
    bench.write("main.c", "1");
    insta::assert_snapshot!(build(&bench, &sketch.0, make), @r"
    hit  copy main.c
    hit  make
    ");
}

#[test]
fn a_stage_that_nobody_needs_again_is_not_made_again() {
    let bench = Bench::default();
    let mut sketch = Sketch::new();
    let tools = sketch.run("tools", sketch.base());
    let binary = sketch.copy("copy binary", "/binary", sketch.base(), tools);
    build(&bench, &sketch.0, binary);
    bench.forget("tools");
    insta::assert_snapshot!(build(&bench, &sketch.0, binary), @"hit  copy binary");
}

#[test]
fn a_source_from_afar_is_fetched_when_something_needs_it() {
    let bench = Bench::default();
    let mut sketch = Sketch::new();
    let repository = sketch.repository();
    let copy = sketch.copy("copy code", "/code", sketch.base(), repository);
    insta::assert_snapshot!(build(&bench, &sketch.0, copy), @r"
    run  repository
    run  copy code
    ");
    insta::assert_snapshot!(build(&bench, &sketch.0, copy), @r"
    hit  repository
    hit  copy code
    ");
    bench.forget("repository");
    insta::assert_snapshot!(build(&bench, &sketch.0, copy), @"hit  copy code");
    let docs = sketch.copy("copy docs", "/docs", sketch.base(), repository);
    insta::assert_snapshot!(build(&bench, &sketch.0, docs), @r"
    run  repository
    run  copy docs
    ");
}

#[test]
fn another_stage_with_the_same_file_hits_by_content() {
    let bench = Bench::default();
    let mut sketch = Sketch::new();
    // Both stages come to the output `tools`; what is read from it is the same.
    let tools = sketch.run("tools=gcc", sketch.base());
    let binary = sketch.copy("copy binary", "/binary", sketch.base(), tools);
    build(&bench, &sketch.0, binary);
    let mut sketch = Sketch::new();
    let setup = sketch.run("setup", sketch.base());
    let tools = sketch.run("tools", setup);
    let binary = sketch.copy("copy binary", "/binary", sketch.base(), tools);
    insta::assert_snapshot!(build(&bench, &sketch.0, binary), @r"
    run  setup
    run  tools
    hit  copy binary
    ");
    insta::assert_snapshot!(build(&bench, &sketch.0, binary), @r"
    hit  setup
    hit  tools
    hit  copy binary
    ");
}

#[test]
fn a_step_that_comes_to_the_same_leaves_its_dependents_cached() {
    let bench = Bench::default();
    let mut sketch = Sketch::new();
    let generated = sketch.run("generated=by hand", sketch.base());
    let app = sketch.run("app", generated);
    build(&bench, &sketch.0, app);
    let mut sketch = Sketch::new();
    let generated = sketch.run("generated=by tool", sketch.base());
    let app = sketch.run("app", generated);
    insta::assert_snapshot!(build(&bench, &sketch.0, app), @r"
    run  generated=by tool
    hit  app
    ");
}

#[test]
fn independent_stages_run_at_the_same_time() {
    let bench = Bench::default();
    let mut sketch = Sketch::new();
    let (left, right) = (sketch.run("left", sketch.base()), sketch.run("right", sketch.base()));
    let both = sketch.copy("both", "/x", left, right);
    let log = build(&bench, &sketch.0, both);
    // Both have started before either has finished: the worker yields once in between.
    assert!(log.starts_with("run  left\nrun  right") || log.starts_with("run  right\nrun  left"), "{log}");
}

#[test]
fn a_failure_ends_the_build_and_keeps_what_was_done() {
    let mut bench = Bench::default();
    bench.failing.insert("tests".into());
    let mut sketch = Sketch::new();
    let compile = sketch.run("compile", sketch.base());
    let tests = sketch.run("tests", compile);
    let release = sketch.run("release", tests);
    insta::assert_snapshot!(build(&bench, &sketch.0, release), @r"
    run  compile
    run  tests
    fail tests
    tests exited with 1
    ");
    bench.failing.clear();
    insta::assert_snapshot!(build(&bench, &sketch.0, release), @r"
    hit  compile
    run  tests
    run  release
    ");
}

#[test]
fn no_cache_runs_again() {
    let bench = Bench::default();
    let mut sketch = Sketch::new();
    let deps = sketch.run("deps", sketch.base());
    build(&bench, &sketch.0, deps);
    let mut again = BuildGraph::new();
    for (_, vertex) in sketch.0.vertices() {
        again.add(Vertex { no_cache: true, ..vertex.clone() });
    }
    insta::assert_snapshot!(build(&bench, &again, deps), @"run  deps");
}

#[test]
fn what_is_too_old_runs_again_and_what_follows_waits_for_its_result() {
    let bench = Bench::default();
    let mut sketch = Sketch::new();
    let update = sketch.run("update", sketch.base());
    let install = sketch.run("install", update);
    let app = sketch.run("app", install);
    build(&bench, &sketch.0, app);
    bench.old.lock().unwrap().insert("install".into());
    // It came to what it was, so the rest is still right.
    insta::assert_snapshot!(build(&bench, &sketch.0, app), @"
    hit  update
    run  install
    hit  app
    ");
    // Each is looked at by its own age.
    bench.old.lock().unwrap().extend(["update".into(), "app".into()]);
    insta::assert_snapshot!(build(&bench, &sketch.0, app), @"
    run  update
    hit  install
    run  app
    ");
}

#[test]
fn a_thousand_steps_need_no_deep_stack() {
    let bench = Bench::default();
    let mut sketch = Sketch::new();
    let mut last = sketch.base();
    for step in 0..1000 {
        last = sketch.run(&format!("step {step}"), last);
    }
    assert_eq!(build(&bench, &sketch.0, last).lines().count(), 1000);
    assert!(build(&bench, &sketch.0, last).lines().all(|line| line.starts_with("hit")));
}
