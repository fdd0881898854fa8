//! Which stages the instructions of a stage read, and whether they read one another in a circle.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::ast::{Kind, Stage};

/// Stages that read one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Circle {
    /// The stage from which it was found: the first of the file that leads into it.
    pub(super) found_from: usize,
    members: BTreeSet<usize>,
}

impl Circle {
    pub(super) fn has(&self, stage: usize) -> bool {
        self.members.contains(&stage)
    }
}

/// How far the search has come with a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    New,
    OnTheWay,
    Done,
}

/// The first circle of `COPY --from` and mounts, if there is one. What a stage starts from does not count: it can only be in
/// front.
pub(super) fn circle(stages: &[Arc<Stage>]) -> Option<Circle> {
    let sources = sources(stages);
    let mut places = vec![Place::New; stages.len()];
    for start in 0..stages.len() {
        if let Some(members) = circle_from(start, &sources, &mut places) {
            return Some(Circle { found_from: start, members });
        }
    }
    None
}

/// Goes depth first, without recursion: a Dockerfile can have any number of stages.
fn circle_from(start: usize, sources: &[Vec<usize>], places: &mut [Place]) -> Option<BTreeSet<usize>> {
    if places[start] == Place::Done {
        return None;
    }
    // The way to where we are, with the number of sources that were followed already.
    let mut way = vec![(start, 0)];
    places[start] = Place::OnTheWay;
    while let Some((stage, followed)) = way.last_mut() {
        let Some(&next) = sources[*stage].get(*followed) else {
            places[*stage] = Place::Done;
            way.pop();
            continue;
        };
        *followed += 1;
        match places[next] {
            Place::OnTheWay => {
                let begin = way.iter().position(|(stage, _)| *stage == next).unwrap_or_default();
                return Some(way[begin..].iter().map(|(stage, _)| *stage).collect());
            }
            Place::New => {
                places[next] = Place::OnTheWay;
                way.push((next, 0));
            }
            Place::Done => {}
        }
    }
    None
}

/// For each stage, those that it reads.
fn sources(stages: &[Arc<Stage>]) -> Vec<Vec<usize>> {
    let mut by_name = HashMap::new();
    for (index, stage) in stages.iter().enumerate() {
        by_name.extend(stage.from.name.iter().map(|name| (name.value.as_str(), index)));
    }
    let place = |from: &str| match from.parse::<usize>() {
        Ok(index) => (index < stages.len()).then_some(index),
        Err(_) => by_name.get(from.to_lowercase().as_str()).copied(),
    };
    let sources = stages.iter().map(|stage| {
        stage.instructions.iter().flat_map(|instruction| names(&instruction.kind)).filter_map(place).collect()
    });
    sources.collect()
}

fn names(kind: &Kind) -> Vec<&str> {
    match kind {
        Kind::Copy(copy) => copy.from.iter().map(|from| from.value.as_str()).collect(),
        Kind::Run(run) => run.mounts.iter().filter_map(|mount| mount.from()).collect(),
        _ => Vec::new(),
    }
}
