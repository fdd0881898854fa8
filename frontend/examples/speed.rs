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

/// What the work makes is dropped after the clock has stopped.
fn median<T>(name: &str, mut work: impl FnMut() -> T) {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = processor_time();
            let made = work();
            let took = processor_time() - start;
            drop(made);
            took
        })
        .collect();
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!("{name:<52} median {:>8.3} ms, best {:>8.3} ms", ms(times[RUNS / 2]), ms(times[0]));
}

/// What real Dockerfiles are made of: continuations, comments, and all common instructions.
const MIXED: &str = "# Install what the build needs.\nRUN apt-get update \\\n && apt-get install -y gcc \\\n && rm -rf \
    /var/lib/apt/lists/*\nENV A=1 B=\"two words\" C=$A\nCOPY --chown=1:1 src/ include/ /app/\nWORKDIR /app\nLABEL \
    name=\"value\"\nEXPOSE 80 443/tcp\nCMD [\"run\", \"--flag\"]\n";

/// Four of five lines are instructions of their own.
const SHORT: &str = "# What comes next.\n\nRUN apt-get install -y --no-install-recommends gcc make\nRUN make -C /src \
    \"CFLAGS=-O2 -g\" && make install\nCOPY --from=build --chown=app:app /src/out/ /usr/local/\nENV PATH=/app/bin:$PATH \
    LANG=C.UTF-8\nARG VERSION=1.2.3\nWORKDIR /app\nLABEL org.opencontainers.image.title=\"an app\"\nENTRYPOINT \
    [\"/bin/app\", \"serve\"]\n";

/// Few instructions, long commands.
const LONG: &str = "RUN set -eux; \\\n    # Signatures first.\n    curl -fsSL https://example.org/a.tar.gz -o a.tar.gz; \
    \\\n    echo \"$SUM  a.tar.gz\" | sha256sum -c -; \\\n    tar -xzf a.tar.gz; \\\n    rm a.tar.gz\n";

/// Here-documents.
const DOCUMENTS: &str = "COPY <<EOF /etc/app.conf\n[server]\nport = 80\nname = $NAME\nEOF\nRUN <<-'END'\n\tset -e\n\
    \techo done\nEND\n";

/// A Dockerfile of about this many lines.
fn dockerfile(block: &str, lines: usize) -> String {
    let block_lines = block.lines().count();
    format!("FROM debian:12 AS build\nFROM debian:12\n{}", block.repeat(lines / block_lines))
}

fn main() {
    let platform: Platform = "linux/amd64".parse().expect("a platform");
    let options = PlanOptions::new(platform.clone());
    let texts = [("mixed", MIXED), ("short", SHORT), ("long", LONG), ("here-documents", DOCUMENTS)];
    for (name, block) in texts {
        let text = dockerfile(block, 10_000);
        let parsed = parse(&text);
        let count: usize = parsed.dockerfile.stages.iter().map(|stage| 1 + stage.instructions.len()).sum();
        median(&format!("parse {name}: 10000 lines, {count} instructions"), || {
            let parsed = parse(&text);
            assert!(!parsed.has_errors());
            parsed
        });
    }
    for lines in [12, 10_000] {
        let parsed = parse(&dockerfile(MIXED, lines));
        median(&format!("plan and lower {lines} lines"), || {
            let plan = plan(&parsed.dockerfile, &options).expect("a plan");
            let images = plan.base_images().iter();
            let bases: BTreeMap<_, _> = images
                .map(|image| {
                    ((image.reference.clone(), image.platform.clone()), ImageConfig::empty(&platform))
                })
                .collect();
            plan.lower(&bases).expect("a graph")
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
