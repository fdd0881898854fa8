//! `kill -9` at any instant: the next build is right, and nothing is left of the killed one.

use std::time::{Duration, Instant};

use super::Rack;
use super::census::Census;
use super::subject::{Deed, start};
use crate::error::Error;

/// One round in so many begins with a store that has everything.
const WARM_EVERY: u64 = 4;

pub(crate) fn run(rack: &mut Rack<'_>, rounds_max: u64) -> Result<(), Error> {
    let began = Instant::now();
    rack.subject.forget()?;
    super::disk::quietly(&mut rack.subject.deed(Deed::Build))?;
    let usual = began.elapsed().max(Duration::from_millis(50));
    let mut rounds = 0;
    while rack.goes_on(rounds, rounds_max) {
        if !rounds.is_multiple_of(WARM_EVERY) {
            rack.subject.forget()?;
        }
        let deed = *rack.random.one_of(&Deed::ALL);
        let before = Census::take();
        let mut child = start(&mut rack.subject.deed(deed))?;
        std::thread::sleep(rack.random.within(usual));
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        let left = before.wait();
        let examined = rack.subject.examine();
        for problem in [left, examined].into_iter().filter_map(Result::err) {
            rack.report.finding(format!("kill -9 of {deed:?}, round {rounds}: {problem}"));
        }
        rack.report.round(format!("kill -9 of {deed:?}"));
        rounds += 1;
    }
    Ok(())
}
