//! How the time of a warm build grows with what there is.
//!
//! Slipway alone, on five kinds of "more": records in the store, files in the context, stages, steps and layers of the
//! Dockerfile. Every point is a build in which everything is cached.

mod picture;
mod series;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::builder::{self, Setup};
use crate::error::Error;
use crate::measure::Sample;
use crate::work::NAME;
use crate::{peak, process};
pub(crate) use series::{SERIES, Series};

/// Builds of one point that are not measured: the first makes, the second finds a cold page cache or an index that has
/// just been written.
const UNMEASURED: u64 = 2;

/// How much of the disk Slipway leaves free.
const MIN_FREE_SPACE: &str = "SLIPWAY_MIN_FREE_SPACE";

/// What was measured of one series.
pub(crate) struct Growth {
    pub(crate) series: &'static Series,
    pub(crate) points: Vec<Point>,
}

/// How long a warm build took with so many of something.
pub(crate) struct Point {
    pub(crate) count: u64,
    pub(crate) median: Duration,
    pub(crate) fastest: Duration,
    pub(crate) slowest: Duration,
    pub(crate) memory: Memory,
}

/// The most that a build takes, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// One that makes everything.
    pub(crate) cold_bytes: u64,
    pub(crate) warm_bytes: u64,
}

/// Measures all series, with points up to `count_max`. `done` gets what there is after each of them.
pub(crate) fn measure(
    setup: &Setup,
    rounds: u64,
    count_max: u64,
    done: impl Fn(&[Growth]) -> Result<(), Error>,
) -> Result<Vec<Growth>, Error> {
    let mut all = Vec::new();
    for series in &SERIES {
        all.push(measure_series(series, setup, rounds, count_max)?);
        done(&all)?;
    }
    Ok(all)
}

fn measure_series(
    series: &'static Series,
    setup: &Setup,
    rounds: u64,
    count_max: u64,
) -> Result<Growth, Error> {
    let directory = setup.directory.join("growth");
    let mut points = Vec::new();
    for count in series.counts.iter().copied().filter(|count| *count <= count_max) {
        eprintln!("growth: {count} {}", series.what);
        let setup = Setup {
            slipway: setup.slipway.clone(),
            base_tar: setup.base_tar.clone(),
            directory: directory.clone(),
        };
        points.push(measure_point(series, &setup, count, rounds)?);
        std::fs::remove_dir_all(&directory).map_err(Error::at(&directory))?;
    }
    Ok(Growth { series, points })
}

fn measure_point(series: &Series, setup: &Setup, count: u64, rounds: u64) -> Result<Point, Error> {
    let builder = builder::ours(setup)?;
    let context = setup.directory.join("context");
    series.write(&context, count)?;
    let build = || {
        let mut build = builder.build(&context, Some(NAME));
        // However full this disk is: what is collected is not warm.
        build.env(MIN_FREE_SPACE, "0");
        build
    };
    let cold_bytes = peak::bytes(&build())?;
    series.fill(&setup.directory.join("slipway"), count)?;
    let mut times = Vec::new();
    for round in 0..UNMEASURED + rounds {
        let took = process::time(&mut build())?;
        if round >= UNMEASURED {
            times.push(took);
        }
    }
    let memory = Memory { cold_bytes, warm_bytes: peak::bytes(&build())? };
    let sample = Sample::new(builder.title(), times);
    Ok(Point { count, median: sample.median(), fastest: sample.fastest(), slowest: sample.slowest(), memory })
}

/// A table for each series.
pub(crate) fn markdown(all: &[Growth], rounds: u64) -> String {
    let mut text = String::new();
    for Growth { series, points } in all {
        let cells = |cell: &dyn Fn(&Point) -> String| points.iter().map(cell).collect::<Vec<_>>().join(" | ");
        let rule = vec!["---"; points.len() + 1].join(" | ");
        let _ =
            writeln!(text, "| {} | {} |\n| {rule} |", series.what, cells(&|point| point.count.to_string()));
        let _ = writeln!(text, "| warm build, ms | {} |", cells(&|point| format!("{:.1}", ms(point.median))));
        let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        let _ = writeln!(text, "| its peak memory, MB | {} |", cells(&|point| mb(point.memory.warm_bytes)));
        let _ = writeln!(
            text,
            "| that of the first build, MB | {} |\n",
            cells(&|point| mb(point.memory.cold_bytes))
        );
    }
    let _ = writeln!(text, "Median of {rounds} builds in which everything is cached.");
    text
}

/// All numbers, times in milliseconds.
pub(crate) fn json(all: &[Growth]) -> Value {
    let point = |point: &Point| {
        json!({
            "count": point.count,
            "median_ms": ms(point.median),
            "fastest_ms": ms(point.fastest),
            "slowest_ms": ms(point.slowest),
            "warm_peak_bytes": point.memory.warm_bytes,
            "cold_peak_bytes": point.memory.cold_bytes,
        })
    };
    let series = all.iter().map(|growth| {
        json!({"what": growth.series.what, "points": growth.points.iter().map(point).collect::<Vec<_>>()})
    });
    Value::Array(series.collect())
}

/// Draws the picture into a file.
pub(crate) fn draw(all: &[Growth], path: &Path) -> Result<(), Error> {
    std::fs::write(path, picture::picture(all)).map_err(Error::at(path))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
