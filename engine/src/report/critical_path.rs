//! Who waited for whom.

use super::{BuildReport, ReportedStep};

impl BuildReport {
    /// Says of each step for which of its inputs it waited longest, and finds the steps that decided how long the build
    /// took.
    pub(super) fn find_critical_path(&mut self) {
        let waited: Vec<_> = self.steps.iter().map(|step| self.last_input(step)).collect();
        for (step, waited_for) in self.steps.iter_mut().zip(waited) {
            step.waited_for = waited_for;
        }
        let last = self.steps.iter().filter(|step| !step.inputs.is_empty()).max_by_key(|step| step.ended_us);
        let mut path = Vec::new();
        let mut next = last.filter(|step| step.ended_us.is_some());
        while let Some(step) = next {
            path.push(step.number);
            next = step.waited_for.and_then(|number| self.step(number));
        }
        path.reverse();
        self.critical_path = path;
    }

    /// The input that was there last. A step names only steps before it, so following inputs ends.
    fn last_input(&self, step: &ReportedStep) -> Option<u32> {
        let began = step.began_us?;
        let inputs = step.inputs.iter().filter(|number| **number < step.number);
        let ended = inputs.filter_map(|number| Some((self.step(*number)?.ended_us?, *number)));
        ended.filter(|(ended, _)| *ended <= began).max().map(|(_, number)| number)
    }
}
