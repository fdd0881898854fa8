//! A build with more of everything than anybody's.

use std::fmt::Write as _;

use crate::support::Home;

const STAGES: usize = 300;
const STEPS: usize = 1_000;
/// Runs a command and writes the peak memory of its processes, in the kernel's unit, see getrusage(2).
const PEAK: &str = "import resource, subprocess, sys\n\
    status = subprocess.call(sys.argv[1:], stdout=sys.stderr)\n\
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n\
    sys.exit(status)";
const UNIT_BYTES: u64 = 1024;
/// What a release build may take is 64 MB; one for development is larger itself.
const PEAK_BYTES_MAX: u64 = 96 << 20;

/// Each stage has two steps, and gives the last one a layer; what is left of the steps is there as well.
fn dockerfile() -> String {
    let mut text = String::new();
    let others = STAGES - 1;
    for stage in 0..others {
        writeln!(text, "FROM base AS s{stage}\nWORKDIR /s{stage}\nWORKDIR /s{stage}/deep").unwrap();
    }
    text += "FROM base\n";
    for stage in 0..others {
        writeln!(text, "COPY --from=s{stage} /s{stage} /s{stage}").unwrap();
    }
    for step in 3 * others..STEPS {
        writeln!(text, "WORKDIR /step{step}").unwrap();
    }
    text
}

/// Peak memory of a command that succeeds, in bytes, and what it said.
fn peak_bytes(home: &Home, arguments: &[&str]) -> (u64, String) {
    let slipway = home.command(arguments);
    let mut command = std::process::Command::new("python3");
    command.args(["-c", PEAK]).arg(slipway.get_program()).args(slipway.get_args()).env_clear();
    command.envs(slipway.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().expect("Debian's package python3");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text.trim().parse::<u64>().unwrap() * UNIT_BYTES, error)
}

#[test]
fn three_hundred_stages_a_thousand_steps_and_four_hundred_layers() {
    let home = Home::new();
    let text = dockerfile();
    let count = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!((count("FROM"), count("COPY") + count("WORKDIR")), (STAGES, STEPS));
    let context = home.context(&text, &[]);
    let build = ["build", "--progress=plain", "-t", "large", &context];
    let (cold, _) = peak_bytes(&home, &build);
    let (warm, said) = peak_bytes(&home, &build);
    eprintln!("peak memory: {} MB, and {} MB when everything is cached", cold >> 20, warm >> 20);
    assert!(crate::support::log(&said).lines().all(|line| line.starts_with("hit")), "{said}");
    assert!(cold.max(warm) < PEAK_BYTES_MAX, "{cold} and {warm} bytes");
    let seen = home.ok(&["run", "--rm", "large", "sh", "-c", "ls -d /s*/deep /step* | /bin/busybox wc -l"]);
    assert_eq!(seen.trim(), (STAGES - 1 + STEPS - 3 * (STAGES - 1)).to_string());
    let config: serde_json::Value = serde_json::from_str(&home.ok(&["inspect", "large"])).unwrap();
    assert!(config[0]["RootFS"]["Layers"].as_array().unwrap().len() > 400);
}
