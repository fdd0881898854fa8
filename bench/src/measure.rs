//! Takes turns: every builder does the same work in every round.

use std::path::Path;
use std::time::Duration;

use crate::builder::Builder;
use crate::error::Error;
use crate::process;
use crate::work::{Context, Work};

/// What a builder needed for one row, a time for each round.
pub(crate) struct Sample {
    pub(crate) builder: String,
    times: Vec<Duration>,
}

impl Sample {
    pub(crate) fn new(builder: &str, times: Vec<Duration>) -> Self {
        Self { builder: builder.to_owned(), times }
    }

    /// Whether the builder can do this at all.
    pub(crate) fn is_measured(&self) -> bool {
        !self.times.is_empty()
    }

    /// The time in the middle.
    ///
    /// # Panics
    ///
    /// When nothing was measured.
    pub(crate) fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort();
        let middle = times.len() / 2;
        if times.len() % 2 == 1 { times[middle] } else { (times[middle - 1] + times[middle]) / 2 }
    }

    pub(crate) fn fastest(&self) -> Duration {
        self.times.iter().min().copied().unwrap_or_default()
    }

    pub(crate) fn slowest(&self) -> Duration {
        self.times.iter().max().copied().unwrap_or_default()
    }
}

/// Measures `rounds` rounds of `work`, after one that is not measured.
///
/// The order of the builders rotates, so that none always follows the same one.
pub(crate) fn measure(
    work: &Work,
    builders: &[Box<dyn Builder>],
    rounds: u64,
    directory: &Path,
) -> Result<Vec<Sample>, Error> {
    let mut samples: Vec<_> =
        builders.iter().map(|builder| Sample::new(builder.title(), Vec::new())).collect();
    let context = Context::new(work, directory)?;
    for round in 0..=rounds {
        let files = context.enter(round)?;
        let first = usize::try_from(round).unwrap_or_default() % builders.len();
        for at in (first..builders.len()).chain(0..first) {
            // What the others left to write is not this one's to wait for.
            rustix::fs::sync();
            let Some(mut command) = work.command(builders[at].as_ref(), files) else { continue };
            let took = process::time(&mut command)?;
            if round > 0 {
                samples[at].times.push(took);
            }
        }
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middle_ones() {
        let sample =
            |times: &[u64]| Sample::new("", times.iter().copied().map(Duration::from_millis).collect());
        assert_eq!(sample(&[9, 1, 2]).median(), Duration::from_millis(2));
        assert_eq!(sample(&[9, 1, 2, 4]).median(), Duration::from_millis(3));
    }
}
