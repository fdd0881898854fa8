//! Prints how long reading, planning and lowering take: `cargo run --release -p slipway-frontend --example
//! speed`.

use std::collections::BTreeMap;
use std::time::Duration;

use frontend::ignore::Patterns;
use frontend::{PlanOptions, parse, plan};
use image::{ImageConfig, Platform};
use rustix::time::{ClockId, clock_gettime};

/// How often each thing is done.
const RUNS: usize = 51;

/// Processor time of this thread: other work on the machine does not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("processor time is not negative");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("nanoseconds are below a second"))
}

fn median(name: &str, mut work: impl FnMut()) {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = processor_time();
            work();
            processor_time() - start
        })
        .collect();
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!("{name:<32} median {:>8.3} ms, best {:>8.3} ms", ms(times[RUNS / 2]), ms(times[0]));
}

/// A Dockerfile of this many lines, with continuations, comments and all common instructions.
fn dockerfile(lines: usize) -> String {
    const BLOCK: &str = "# Install what the build needs.\nRUN apt-get update \\\n && apt-get install -y gcc \\\n && \
        rm -rf /var/lib/apt/lists/*\nENV A=1 B=\"two words\" C=$A\nCOPY --chown=1:1 src/ include/ /app/\nWORKDIR \
        /app\nLABEL name=\"value\"\nEXPOSE 80 443/tcp\nCMD [\"run\", \"--flag\"]\n";
    let block_lines = BLOCK.lines().count();
    format!("FROM debian:12\n{}", BLOCK.repeat(lines / block_lines))
}

fn main() {
    let platform: Platform = "linux/amd64".parse().expect("a platform");
    let options = PlanOptions::new(platform.clone());
    for lines in [12, 10_000] {
        let text = dockerfile(lines);
        median(&format!("parse {lines} lines"), || {
            assert!(!parse(&text).has_errors());
        });
        let parsed = parse(&text);
        median(&format!("plan and lower {lines} lines"), || {
            let plan = plan(&parsed.dockerfile, &options).expect("a plan");
            let images = plan.base_images().iter();
            let bases: BTreeMap<_, _> = images
                .map(|image| {
                    ((image.reference.clone(), image.platform.clone()), ImageConfig::empty(&platform))
                })
                .collect();
            plan.lower(&bases).expect("a graph");
        });
    }
    let patterns = Patterns::new(["**/node_modules", "*.md", "!README.md", "target/**", "**/*.log", ".git"]);
    let patterns = patterns.expect("patterns");
    let paths: Vec<String> = (0..100_000).map(|n| format!("src/module{}/file{n}.rs", n / 100)).collect();
    median("match 100000 paths", || {
        let (_, src) = patterns.descend(&Default::default(), "src");
        let (_, module) = patterns.descend(&src, "src/module0");
        assert!(paths.iter().all(|path| !patterns.matches_in(&module, path).is_excluded()));
    });
}
