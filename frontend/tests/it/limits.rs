//! Questions about input that means to harm, and its formatting: they end soon. For builds see `bombs.rs`.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::support::Case;

/// Target S27, with room for a build without optimisation.
const TIME_MAX: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });

/// Processor time of this thread: other work on the machine does not count.
pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("processor time is not negative");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("nanoseconds are below a second"))
}

/// Fails when the work takes too long.
fn soon(work: impl FnOnce()) {
    let start = processor_time();
    work();
    let took = processor_time() - start;
    println!("{took:?}");
    assert!(took < TIME_MAX, "took {took:?}");
}

#[test]
fn questions_and_formatting_end_soon() {
    let words = format!("FROM a\nENV {}c=d\n", "a=b \\\n# c\n".repeat(45_000));
    soon(|| assert!(frontend::format(&words).is_ok()));
    let command = format!("FROM a\nRUN {}c\n", "a \\\n# c\n".repeat(200_000));
    soon(|| assert!(frontend::format(&command).is_ok()));
    let stages: String =
        (0..19_000).map(|n| format!("# s{n} {}\nFROM scratch AS s{n}\n", "x".repeat(60))).collect();
    let case = Case::new(&stages);
    soon(|| assert!(case.inquiry().targets().is_ok_and(|targets| targets.json().len() > stages.len())));
    soon(|| assert!(case.inquiry().outline(&case.bases).is_ok()));
    let findings = format!("FROM scratch\n{}", "ENV A=$B y=z\n".repeat(19_000));
    let case = Case::new(&findings);
    soon(|| assert!(case.inquiry().check(&case.bases).text().len() > 10_000));
}
