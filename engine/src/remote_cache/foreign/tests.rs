use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use cache::{Decision, Store};
use frontend::PlanOptions;
use frontend::ignore::Patterns;
use image::{Descriptor, ImageConfig, Index, Manifest};

use super::*;
use crate::context::ContextRoot;
use crate::ops::{BaseImage, ContextSource, Layers, Output};
use crate::remote_cache::Catalogue;

/// What BuildKit has been given, see `testdata/foreign`.
const DOCKERFILE: &str = include_str!("../../../../testdata/foreign/Dockerfile");
/// What the name of its base image stands for.
const NAMED: &str = "sha256:4ae7b2941c111a5369c37486404f7743ca06adfcfec817d07a8c184146a9ca80";
/// The only layer of it.
const BASE: &str = "sha256:3ad4ef776ab89adb8ed0927a22499fdcc93bb41f39f325fe37001a9dc5ebd551";

/// Caches in directories that two generations of it have written, without the layers.
const DOCKER_26: [&str; 2] = [
    include_str!("../../../../testdata/foreign/docker26.config.json"),
    include_str!("../../../../testdata/foreign/docker26.manifest.json"),
];
const DOCKER_28: [&str; 2] = [
    include_str!("../../../../testdata/foreign/docker28.config.json"),
    include_str!("../../../../testdata/foreign/docker28.manifest.json"),
];

/// The files that it was given.
fn write_context(context: &Path) {
    let files = [
        ("a.txt", "hello\n", 0o644),
        ("dir/b.txt", "bye\n", 0o644),
        ("dir/sub/c", "x\n", 0o755),
        ("docs/1.md", "1\n", 0o644),
        ("docs/2.md", "2\n", 0o644),
        ("docs/more/4", "4\n", 0o644),
        ("one/only.x", "z\n", 0o4755),
        ("Dockerfile", DOCKERFILE, 0o644),
    ];
    for (name, content, mode) in files {
        let path = context.join(name);
        let mut directory = path.parent().unwrap();
        fs::create_dir_all(directory).unwrap();
        while directory != context {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
            directory = directory.parent().unwrap();
        }
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    for (name, target) in [("dir/link", "../a.txt"), ("dlink", "dir"), ("alink", "a.txt")] {
        symlink(target, context.join(name)).unwrap();
    }
}

/// The operations of a Dockerfile with these files, and the graph.
fn lowered(store: &Store, context: &Path, dockerfile: &str) -> (BuildGraph, Foreign) {
    let platform = Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None };
    let parsed = frontend::parse(dockerfile);
    let plan = frontend::plan(&parsed.dockerfile, &PlanOptions::new(platform)).unwrap();
    let mut bases = BaseImages::default();
    for wanted in plan.missing_images(&bases.configs()).unwrap() {
        let mut config = ImageConfig::empty(&wanted.platform);
        config.rootfs.diff_ids = vec![BASE.parse().unwrap()];
        let output = Output::Layers(Layers { ids: Arc::from([]), created_unix_ns: 0 });
        bases.0.insert(
            (wanted.reference, wanted.platform),
            BaseImage { config, output, digest: None, named: NAMED.parse().ok() },
        );
    }
    let graph = plan.lower(&bases.configs()).unwrap().graph;
    let foreign = Foreign::new(&graph, &bases);
    let tree = store.context_index(context).unwrap().scan(&|_, _| Decision::Include).unwrap();
    let source = ContextSource {
        root: ContextRoot::own(context.to_owned()),
        ignore: Arc::new(Patterns::default()),
        ignore_file: None,
        mode: ContextMode::default(),
    };
    let files = Arc::new(ContextFiles { source, tree });
    for (id, vertex) in graph.vertices() {
        if matches!(vertex.op, Op::Context(_)) {
            foreign.opened(id, &files);
        }
    }
    (graph, foreign)
}

fn read([config, manifest]: [&str; 2]) -> Catalogue {
    let of_manifest = Manifest::parse(manifest.as_bytes()).map(|manifest| manifest.layers);
    let blobs: Vec<Descriptor> =
        of_manifest.unwrap_or_else(|_| Index::parse(manifest.as_bytes()).unwrap().manifests);
    Catalogue::parse(config.as_bytes(), &blobs).unwrap()
}

/// The steps of the graph by whether the cache has their results.
fn steps(graph: &BuildGraph, foreign: &Foreign, cache: [&str; 2]) -> BTreeMap<String, bool> {
    let catalogue = read(cache);
    let lookup = Lookup::new(&catalogue.foreign);
    let steps = graph.vertices().filter(|(_, vertex)| !vertex.op.is_source());
    let steps = steps.filter(|(_, vertex)| !vertex.label.name.starts_with("[internal] "));
    steps
        .map(|(id, vertex)| {
            let found = lookup.find(&catalogue.foreign, foreign, id);
            (vertex.label.name.clone(), found.is_some())
        })
        .collect()
}

fn missed(steps: &BTreeMap<String, bool>) -> Vec<&str> {
    steps.iter().filter(|(_, is_found)| !**is_found).map(|(name, _)| name.as_str()).collect()
}

#[test]
fn whatever_buildkit_has_built_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let (store, context) =
        (Store::open(&directory.path().join("store")).unwrap(), directory.path().join("context"));
    write_context(&context);
    let (graph, foreign) = lowered(&store, &context, DOCKERFILE);
    for cache in [DOCKER_26, DOCKER_28] {
        let steps = steps(&graph, &foreign, cache);
        assert_eq!(missed(&steps), [] as [&str; 0]);
        assert_eq!(steps.len(), 31);
    }
}

#[test]
fn what_we_write_is_found_by_the_same_keys() {
    let directory = tempfile::tempdir().unwrap();
    let (store, context) =
        (Store::open(&directory.path().join("store")).unwrap(), directory.path().join("context"));
    write_context(&context);
    let (graph, foreign) = lowered(&store, &context, DOCKERFILE);
    let results = graph.vertices().map(|(id, _)| (id, (Some(7), 1))).collect();
    let records = foreign.records(&results);
    let steps: Vec<_> = graph.vertices().filter(|(_, vertex)| !vertex.op.is_source()).collect();
    let lookup = Lookup::new(&records);
    for (id, vertex) in &steps {
        assert!(lookup.find(&records, &foreign, *id).is_some(), "{}", vertex.label.name);
    }
    // And under the keys that BuildKit has written, each made from what it was made from there.
    for cache in [DOCKER_26, DOCKER_28] {
        let keys: BTreeSet<Digest> = records.iter().map(|record| record.key).collect();
        let theirs = read(cache).foreign;
        let missing = theirs.iter().filter(|record| record.layer.is_some() && !keys.contains(&record.key));
        assert_eq!(missing.count(), 0);
    }
    // A step that is to run again finds nothing, and neither does what stands on it.
    let first = steps[0].0;
    foreign.is_another(first);
    let lookup = Lookup::new(&records);
    assert!(lookup.find(&records, &foreign, first).is_none());
    assert!(lookup.find(&records, &foreign, graph.vertices().next_back().unwrap().0).is_none());
}

#[test]
fn what_cannot_be_written_down_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let (store, context) =
        (Store::open(&directory.path().join("store")).unwrap(), directory.path().join("context"));
    write_context(&context);
    let dockerfile = "FROM base\nCOPY --exclude=*.md docs /d\nCOPY --chmod=u+x a.txt /x\nRUN id\n";
    let (graph, foreign) = lowered(&store, &context, dockerfile);
    let why: Vec<_> = graph.vertices().map(|(id, _)| foreign.why_unknown(id)).collect();
    let expected = [Some("it copies with `--exclude`"), Some("it copies with a symbolic `--chmod`"), None];
    assert_eq!(why[why.len() - 3..], expected);
    let last = graph.vertices().next_back().unwrap().0;
    let records = foreign.records(&HashMap::from([(last, (Some(1), 1))]));
    assert_eq!(records.iter().filter(|record| record.layer.is_some()).count(), 0, "{records:?}");
}
