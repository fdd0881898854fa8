//! Input that means to harm: it ends within a second and 100 MB beyond itself, and with a clear error.
//!
//! Every bomb goes off in a process of its own, whose peak of memory is its own.

use std::fs;
use std::process::Command;
use std::time::Duration;

use frontend::limits::{INSTRUCTIONS_MAX, TEXT_BYTES_MAX};
use frontend::{Diagnostic, parse, plan};

use crate::limits::processor_time;
use crate::support::Case;

/// Target S27: processor time. The crate is optimised in development builds too.
const TIME_MAX: Duration = Duration::from_secs(1);

/// Target S27: memory beyond the input, bytes.
const MEMORY_BYTES_MAX: u64 = 100_000_000;

/// Names the bomb to the process in which it goes off.
const BOMB: &str = "SLIPWAY_BOMB";

/// A name, what makes the case, and the rule that stops it.
type Bomb = (&'static str, fn() -> Case, &'static str);

const BOMBS: [Bomb; 32] = [
    ("a line of a gigabyte", || text("x".repeat(1 << 30)), "TooLong"),
    ("a line as long as can be", || text("x".repeat(TEXT_BYTES_MAX)), "UnknownInstruction"),
    ("a million unknown instructions", || text("X\n".repeat(TEXT_BYTES_MAX / 2)), "UnknownInstruction"),
    ("a million continuations", || run(&"\\\n".repeat(1_000_000)), FINE),
    ("continuations with text", || run(&"a\\\n".repeat(600_000)), FINE),
    ("continuations with comments", || run(&"a\\\n#\n".repeat(300_000)), FINE),
    ("a million comments", || stage(&"#\n".repeat(1_000_000)), FINE),
    ("a million empty lines", || stage(&"\n".repeat(1_000_000)), FINE),
    ("many instructions", || stage(&"RUN x\n".repeat(INSTRUCTIONS_MAX)), "TooMany"),
    ("many here-documents", || run(&"<<E ".repeat(100_000)), "UnterminatedHereDocument"),
    ("many flags", || run(&format!("{}x", "--mount=target=/a ".repeat(110_000))), "TooMany"),
    ("deep JSON", || stage(&format!("CMD {}", "[".repeat(1_000_000))), FINE),
    ("long JSON", || stage(&format!("CMD [{}\"\"]", "\"\",".repeat(400_000))), "TooMany"),
    ("many pairs", || stage(&format!("ENV {}", "a=b ".repeat(500_000))), "TooMany"),
    ("many ports", || stage(&"EXPOSE 1-65535\n".repeat(10_000)), "TooLarge"),
    ("doubling", || stage(&format!("ENV a={}\n{}", "x".repeat(16), "ENV a=$a$a\n".repeat(100))), "Expansion"),
    (
        "doubling in global arguments",
        || text(format!("ARG a=x\n{}FROM b$a", "ARG a=$a$a\n".repeat(100))),
        "Expansion",
    ),
    ("wide values", wide_values, "TooLarge"),
    ("nested defaults", nested_defaults, "Expansion"),
    ("patterns on long values", patterns_on_long_values, "TooLarge"),
    (
        "replacing everything",
        || stage(&format!("ENV b={}\nENV a=${{b//x/{}}}", "x".repeat(9_999), "y".repeat(9_999))),
        "Expansion",
    ),
    ("suggestions for bases", suggestions_for_bases, "EmptyBase"),
    ("suggestions for variables", suggestions_for_variables, FINE),
    ("suggestions for stages", suggestions_for_stages, "UnknownStage"),
    ("a chain of stages", chain_of_stages, "TooLarge"),
    ("stages that start from one another", stages_in_a_circle, "CircularDependency"),
    ("a chain of triggers", chain_of_triggers, "TooMany"),
    ("triggers of a base", triggers_of_a_base, "TooMany"),
    ("triggers that trigger", triggers_that_trigger, "InvalidTrigger"),
    ("triggers with the same base", trigger_with_its_own_base, FINE),
    ("an honest build", || stage(&"RUN make\nCOPY a b\n".repeat(500)), FINE),
    ("honest stages", honest_stages, FINE),
];

/// Nothing stops it.
const FINE: &str = "fine";

fn text(text: impl Into<String>) -> Case {
    Case::new(&text.into())
}

/// A stage with these instructions.
fn stage(instructions: &str) -> Case {
    text(format!("FROM a\n{instructions}"))
}

fn run(command: &str) -> Case {
    stage(&format!("RUN {command}"))
}

fn wide_values() -> Case {
    let wide: String = (0..9_000).map(|n| format!("ENV a{n}=$b$b$b$b\nRUN x\n")).collect();
    stage(&format!("ENV b={}\n{wide}", "x".repeat(10_000)))
}

fn nested_defaults() -> Case {
    stage(&format!("ENV a={}x{}", "${b:-".repeat(100_000), "}".repeat(100_000)))
}

fn patterns_on_long_values() -> Case {
    stage(&format!("ENV b={}\n{}", "x".repeat(100_000), "ENV a=${b##*y*z*}\n".repeat(1_000)))
}

/// A name that takes time to compare.
fn name() -> String {
    "n".repeat(55)
}

fn suggestions_for_bases() -> Case {
    let name = name();
    let globals: String = (0..9_000).map(|n| format!("ARG {name}{n}=x\n")).collect();
    let stages: String = (0..9_000).map(|n| format!("FROM ${name}x{n}\n")).collect();
    text(format!("{globals}{stages}"))
}

fn suggestions_for_variables() -> Case {
    let name = name();
    let variables: String = (0..9_000).map(|n| format!("ENV {name}{n}=x\nLABEL a=${name}x{n}\n")).collect();
    stage(&variables)
}

fn suggestions_for_stages() -> Case {
    let name = name();
    let sources: String = (0..9_000).map(|n| format!("FROM scratch AS {name}{n}\n")).collect();
    let copies: String = (0..9_000).map(|n| format!("COPY --from={name}A{n} a b\n")).collect();
    text(format!("{sources}{copies}"))
}

fn chain_of_stages() -> Case {
    let stages: String =
        (1..INSTRUCTIONS_MAX / 2).map(|n| format!("FROM s{} AS s{n}\nRUN x\n", n - 1)).collect();
    text(format!("FROM a AS s0\n{stages}"))
}

fn stages_in_a_circle() -> Case {
    let stages: String =
        (0..6_000).map(|n| format!("FROM a AS s{n}\nCOPY --from=s{} a b\n", (n + 1) % 6_000)).collect();
    text(stages)
}

fn chain_of_triggers() -> Case {
    let stages: String = (1..6_000).map(|n| format!("FROM s{} AS s{n}\nONBUILD RUN x\n", n - 1)).collect();
    text(format!("FROM a AS s0\nONBUILD RUN x\n{stages}"))
}

fn triggers_of_a_base() -> Case {
    let mut case = stage("RUN x");
    let triggers = vec!["\"RUN x\""; 100_000].join(",");
    case.set(&format!("base a {{\"OnBuild\":[{triggers}]}}"));
    case
}

fn triggers_that_trigger() -> Case {
    let mut case = stage("");
    let nested = "ONBUILD ".repeat(100_000);
    case.set(&format!("base a {{\"OnBuild\":[\"{nested}RUN x\",\"ONBUILD RUN x\",\"FROM a\"]}}"));
    case
}

/// The trigger copies from the image that brings the trigger.
fn trigger_with_its_own_base() -> Case {
    let mut case = stage("RUN x");
    case.set("base a {\"OnBuild\":[\"COPY --from=a /x /y\"]}");
    case
}

fn honest_stages() -> Case {
    let stages: String = (1..300).map(|n| format!("FROM s{} AS s{n}\nRUN x{n}\n", n - 1)).collect();
    text(format!("FROM a AS s0\n{stages}"))
}

/// The rule of the first error.
fn stopped_by(case: &Case) -> &'static str {
    let first = |found: &[Diagnostic]| found.iter().find(|it| it.is_error()).map_or(FINE, |it| it.rule);
    let parsed = parse(&case.dockerfile);
    if parsed.has_errors() {
        return first(&parsed.diagnostics);
    }
    let lowered = plan(&parsed.dockerfile, &case.options).and_then(|plan| case.lower(plan));
    lowered.map_or_else(|found| first(&found), |_| FINE)
}

/// A size in bytes from the kernel's report on this process, see proc_pid_status(5).
fn status_bytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel reports on this process");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("it reports this");
    let kibibytes: u64 = line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().expect("a number");
    kibibytes * 1024
}

/// Goes off when this process was started for that, and does nothing in a run of all tests.
#[test]
fn goes_off() {
    let Some(name) = std::env::var_os(BOMB) else { return };
    let (_, case, _) = BOMBS.iter().find(|(known, ..)| name == *known).expect("a bomb of that name");
    let case = case();
    // From here on the peak is what comes beyond the input, see proc_pid_clear_refs(5).
    fs::write("/proc/self/clear_refs", "5").expect("the kernel forgets the peak");
    let (before_bytes, start) = (status_bytes("VmRSS"), processor_time());
    let rule = stopped_by(&case);
    let took = processor_time() - start;
    let memory_bytes = status_bytes("VmHWM").saturating_sub(before_bytes);
    println!("bomb {rule} {} {memory_bytes}", took.as_nanos());
}

/// Starts this program again for one bomb. Returns the rule, the processor time and the memory.
fn set_off(name: &str) -> (String, Duration, u64) {
    let program = std::env::current_exe().expect("this program has a path");
    let mut child = Command::new(program);
    child.args(["--exact", "bombs::goes_off", "--nocapture"]).env(BOMB, name);
    let output = child.output().expect("this program starts");
    let printed = String::from_utf8_lossy(&output.stdout);
    let line = printed.lines().find_map(|line| Some(line.split_once("bomb ")?.1));
    let line = line.unwrap_or_else(|| panic!("{name}: {printed}{}", String::from_utf8_lossy(&output.stderr)));
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    (words[0].to_owned(), Duration::from_nanos(number(1)), number(2))
}

#[test]
fn all_end_soon_and_stay_small() {
    let mut wrong = Vec::new();
    for (name, _, expected) in BOMBS {
        let (rule, took, memory_bytes) = set_off(name);
        let (ms, mb) = (took.as_secs_f64() * 1e3, memory_bytes as f64 / 1e6);
        let line = format!("{ms:>8.1} ms {mb:>6.1} MB  {rule:24} {name}");
        println!("{line}");
        if rule != expected || took > TIME_MAX || memory_bytes > MEMORY_BYTES_MAX {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
