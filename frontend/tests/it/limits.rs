//! Input that means to harm: it ends soon, and with a clear error.

use std::time::Duration;

use frontend::limits::{INSTRUCTIONS_MAX, TEXT_BYTES_MAX};
use rustix::time::{ClockId, clock_gettime};

use crate::support::Case;

/// Target S27, with room for a build without optimisation.
const TIME_MAX: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });

/// Processor time of this thread: other work on the machine does not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("processor time is not negative");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("nanoseconds are below a second"))
}

/// The rule that stops the case, or `fine`.
fn stopped_by(case: &Case) -> String {
    let start = processor_time();
    let shown = case.show();
    let took = processor_time() - start;
    println!("{took:?}");
    assert!(took < TIME_MAX, "took {took:?}");
    let error = shown.lines().find_map(|line| line.strip_prefix("error "));
    error.and_then(|line| line.split(' ').next()).unwrap_or("fine").to_owned()
}

#[test]
fn long_texts() {
    assert_eq!(stopped_by(&Case::new(&"x".repeat(TEXT_BYTES_MAX + 1))), "TooLong");
    assert_eq!(stopped_by(&Case::new(&"x".repeat(TEXT_BYTES_MAX))), "UnknownInstruction");
    assert_eq!(stopped_by(&Case::new(&"X\n".repeat(TEXT_BYTES_MAX / 2))), "UnknownInstruction");
    assert_eq!(
        stopped_by(&Case::new(&format!("FROM a\nRUN {}", "\\\n".repeat(1_000_000)))),
        "MissingArgument"
    );
    assert_eq!(stopped_by(&Case::new(&format!("FROM a\nRUN {}", "a\\\n".repeat(600_000)))), "fine");
    assert_eq!(stopped_by(&Case::new(&format!("FROM a\n{}", "RUN x\n".repeat(INSTRUCTIONS_MAX)))), "TooMany");
    assert_eq!(
        stopped_by(&Case::new(&format!("FROM a\nRUN {}", "<<E ".repeat(100_000)))),
        "UnterminatedHereDocument"
    );
    assert_eq!(stopped_by(&Case::new(&format!("FROM a\nCMD {}", "[".repeat(1_000_000)))), "fine");
    assert_eq!(stopped_by(&Case::new(&format!("FROM a\nENV {}", "a=b ".repeat(500_000)))), "TooMany");
    assert_eq!(stopped_by(&Case::new(&format!("FROM a\n{}", "#\n".repeat(1_000_000)))), "fine");
}

#[test]
fn expansion_bombs() {
    let doubling = format!("FROM a\nENV a=xxxxxxxxxxxxxxxx\n{}", "ENV a=$a$a\n".repeat(100));
    assert_eq!(stopped_by(&Case::new(&doubling)), "Expansion");
    let wide: String = (0..9_000).map(|n| format!("ENV a{n}=$b$b$b$b\nRUN x\n")).collect();
    let wide = format!("FROM a\nENV b={}\n{wide}", "x".repeat(10_000));
    assert_eq!(stopped_by(&Case::new(&wide)), "TooLarge");
    let nested = format!("FROM a\nENV a={}x{}", "${b:-".repeat(10_000), "}".repeat(10_000));
    assert_eq!(stopped_by(&Case::new(&nested)), "Expansion");
    let patterns = format!("FROM a\nENV b={}\n{}", "x".repeat(100_000), "ENV a=${b##*y*z*}\n".repeat(1_000));
    assert_eq!(stopped_by(&Case::new(&patterns)), "TooLarge");
    let ports = format!("FROM a\n{}", "EXPOSE 1-65535\n".repeat(10_000));
    assert_eq!(stopped_by(&Case::new(&ports)), "TooLarge");
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

#[test]
fn suggestions_do_not_take_for_ever() {
    let name = "n".repeat(55);
    let globals: String = (0..9_000).map(|n| format!("ARG {name}{n}=x\n")).collect();
    let stages: String = (0..9_000).map(|n| format!("FROM a${name}x{n}\n")).collect();
    assert_eq!(stopped_by(&Case::new(&format!("{globals}{stages}"))), "fine");
    let stages: String = (0..9_000).map(|n| format!("FROM ${name}x{n}\n")).collect();
    assert_eq!(stopped_by(&Case::new(&format!("{globals}{stages}"))), "EmptyBase");
    let variables: String = (0..9_000).map(|n| format!("ENV {name}{n}=x\nLABEL a=${name}x{n}\n")).collect();
    assert_eq!(stopped_by(&Case::new(&format!("FROM a\n{variables}"))), "fine");
    let sources: String = (0..9_000).map(|n| format!("FROM scratch AS {name}{n}\n")).collect();
    let copies: String = (0..9_000).map(|n| format!("COPY --from={name}A{n} a b\n")).collect();
    assert_eq!(stopped_by(&Case::new(&format!("{sources}{copies}"))), "UnknownStage");
}

#[test]
fn many_stages_and_triggers() {
    let stages: String =
        (1..INSTRUCTIONS_MAX / 2).map(|n| format!("FROM s{} AS s{n}\nRUN x\n", n - 1)).collect();
    assert_eq!(stopped_by(&Case::new(&format!("FROM a AS s0\n{stages}"))), "TooLarge");
    let mut case = Case::new("FROM a\nRUN x");
    let triggers = vec!["\"RUN x\""; 100_000].join(",");
    case.set(&format!("base a {{\"OnBuild\":[{triggers}]}}"));
    assert_eq!(stopped_by(&case), "TooMany");
    let mut case = Case::new("FROM a");
    case.set("base a {\"OnBuild\":[\"ONBUILD ONBUILD RUN x\",\"ONBUILD RUN x\",\"FROM b\"]}");
    assert_eq!(stopped_by(&case), "InvalidTrigger");
}

#[test]
fn large_but_honest_builds_work() {
    let steps = format!("FROM a\n{}", "RUN make\nCOPY a b\n".repeat(500));
    assert_eq!(stopped_by(&Case::new(&steps)), "fine");
    let stages: String = (1..300).map(|n| format!("FROM s{} AS s{n}\nRUN x{n}\n", n - 1)).collect();
    assert_eq!(stopped_by(&Case::new(&format!("FROM a AS s0\n{stages}"))), "fine");
}
