//! `build --check-reproducible`: the same build twice, without the cache.

use engine::images::{Difference, Times};
use engine::report::Reporting;
use engine::{BuildOutcome, BuildRequest, Engine, Explaining, NoCache};

use super::failed;
use crate::arguments::Global;
use crate::commands::EPOCH_NAME;
use crate::console;
use crate::progress::{Mode, Ui};
use crate::report::Report;
use crate::runtime::{Interrupted, interruptible};

/// Builds twice, and compares. What the builds leave has no name and goes nowhere.
pub(super) fn check(
    engine: &Engine,
    request: &BuildRequest,
    mode: Mode,
    global: &Global,
) -> Result<Result<(), Interrupted>, Report> {
    let request = BuildRequest {
        no_cache: NoCache::Everything,
        caches: Default::default(),
        tags: Vec::new(),
        outputs: Vec::new(),
        reporting: Reporting::Off,
        explaining: Explaining::Nothing,
        ..request.clone()
    };
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let ui = Ui::start(mode)?;
        let result = interruptible(engine.build(request.clone(), ui.progress()));
        let warnings = ui.finish();
        match result? {
            Ok(outcome) => outcomes.push(outcome.map_err(|error| failed(error, &warnings, global))?),
            Err(Interrupted) => return Ok(Err(Interrupted)),
        }
    }
    let times = if request.build_args.contains_key(EPOCH_NAME) { Times::Compared } else { Times::Ignored };
    let found = compare(engine, &outcomes, times);
    engine.forget_images(&outcomes)?;
    found?;
    if mode != Mode::Quiet && mode != Mode::Rawjson {
        let told = match times {
            Times::Compared => "Both builds gave the same images.\n".to_owned(),
            Times::Ignored => {
                format!("Both builds gave the same files; for the same images, set {EPOCH_NAME} as well.\n")
            }
        };
        console::print_error(&told);
    }
    Ok(Ok(()))
}

fn compare(engine: &Engine, outcomes: &[BuildOutcome], times: Times) -> Result<(), Report> {
    let [first, second] = outcomes else { unreachable!("there were two builds") };
    for ((platform, one), (_, other)) in first.images.iter().zip(&second.images) {
        if let Some(found) = engine.image_difference(one, other, times)? {
            let platform = if first.images.len() > 1 { format!(" for {platform}") } else { String::new() };
            return Err(Report::mistake(format!(
                "two builds gave different images{platform}: {}",
                shown(&found)
            )));
        }
    }
    Ok(())
}

fn shown(difference: &Difference) -> String {
    match difference {
        Difference::Layers { first, second } => format!("{first} layers, then {second}"),
        Difference::File { step, path, how } if step.is_empty() => format!("`{path}` {how}"),
        Difference::File { step, path, how } => format!("`{path}` of `{step}` {how}"),
        Difference::Config { field, first, second } => {
            format!("`{field}` of the config is {first}, then {second}")
        }
    }
}
