//! Reads what a build tells of itself.

use std::collections::BTreeSet;

/// How many steps of a build came from the cache, and how many ran.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) cached: usize,
    pub(crate) executed: usize,
}

impl Steps {
    /// Reads plain progress: `#4 [build 2/3] RUN make` names a step, `#4 CACHED (2 hours old)` is its end.
    ///
    /// A base image is not a step: it is looked up, not executed.
    pub(crate) fn count(progress: &str) -> Self {
        let lines = || progress.lines().filter_map(|line| line.strip_prefix('#')?.split_once(' '));
        let is_step = |text: &str| {
            let named = text.strip_prefix('[').and_then(|text| text.split_once("] "));
            named.is_some_and(|(place, what)| place != "internal" && !what.starts_with("FROM "))
        };
        let with = |wanted: &dyn Fn(&str) -> bool| -> BTreeSet<&str> {
            lines().filter(|(_, text)| wanted(text)).map(|(number, _)| number).collect()
        };
        let steps = with(&is_step);
        let cached = steps.intersection(&with(&|text| text.starts_with("CACHED"))).count();
        Self { cached, executed: steps.len() - cached }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_cached_only_when_its_number_says_so() {
        let progress = "\
#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s
#2 [toolchain 1/2] FROM debian:12
#2 CACHED (2 hours old)
#3 [toolchain 2/2] RUN apt-get install gcc
#3 CACHED
#4 [build 1/1] RUN make
#4 0.120 #3 CACHED
#4 DONE 0.3s
";
        assert_eq!(Steps::count(progress), Steps { cached: 1, executed: 1 });
    }
}
