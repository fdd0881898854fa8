//! Measures the whole life of a sandbox: `cycle ROOT [RUNS] [LAYERS] [prepare|plain] [host|none|private]` runs `/bin/true` of the tree ROOT again and
//! again, and prints the times; with `prepare` the helper is started in advance, outside of the measured time. Under `strace -f -c` it shows what a run costs in system calls.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use executor::{Exit, Io, Network, Rootfs, Spec, spawn};

fn main() {
    executor::dispatch();
    let arguments: Vec<String> = std::env::args().collect();
    let root = PathBuf::from(arguments.get(1).expect("usage: cycle ROOT [RUNS] [LAYERS]"));
    let number = |index: usize, default: usize| {
        arguments.get(index).map_or(default, |text| text.parse().expect("a number"))
    };
    let (runs, layers) = (number(2, 50), number(3, 1));
    let prepares = arguments.get(4).is_some_and(|word| word == "prepare");
    executor::become_root().expect("user namespaces are allowed");
    let network = match arguments.get(5).map(String::as_str) {
        Some("private") => Network::Private,
        Some("none") => Network::None,
        _ => Network::Host,
    };
    let begin = Instant::now();
    if network == Network::Private {
        println!("{:?} after {:?}", executor::private_network(), begin.elapsed());
    }
    let scratch = PathBuf::from(format!("/tmp/slipway-cycle-{}", std::process::id()));
    let lowers = make_layers(&root, &scratch, layers);
    let mut times: Vec<(Duration, Duration)> =
        (0..runs).map(|index| cycle(&lowers, &scratch.join(index.to_string()), prepares, network)).collect();
    std::fs::remove_dir_all(&scratch).expect("the scratch directory is ours");
    times.sort();
    let mean =
        times.iter().map(|(_, whole)| *whole).sum::<Duration>() / u32::try_from(runs).expect("few runs");
    let (ready, whole) = times[runs / 2];
    println!(
        "{runs} runs on {layers} layers: median {whole:?} (ready after {ready:?}), mean {mean:?}, least {:?}",
        times[0].1
    );
}

/// The tree below `layers - 1` empty layers.
fn make_layers(root: &Path, scratch: &Path, layers: usize) -> Vec<PathBuf> {
    let mut lowers: Vec<PathBuf> = (1..layers).map(|index| scratch.join(format!("layer-{index}"))).collect();
    for lower in &lowers {
        std::fs::create_dir_all(lower).expect("the scratch directory is ours");
    }
    lowers.push(root.to_path_buf());
    lowers
}

/// Time until the command starts, and until it is gone.
fn cycle(lowers: &[PathBuf], scratch: &Path, prepares: bool, network: Network) -> (Duration, Duration) {
    let (upper, work) = (scratch.join("upper"), scratch.join("work"));
    for directory in [&upper, &work] {
        std::fs::create_dir_all(directory).expect("the scratch directory is ours");
    }
    let rootfs = Rootfs::Overlay { lowers: lowers.to_vec(), upper, work, volatile: true };
    let spec = Spec {
        hosts: String::from("127.0.0.1 localhost\n"),
        resolv_conf: String::from("nameserver 192.0.2.1\n"),
        hostname: String::from("cycle"),
        network,
        ..Spec::new(rootfs, vec![String::from("/bin/true")])
    };
    if prepares {
        executor::prepare().expect("a process can be started");
        // The engine is busy meanwhile; an idle processor would have to be woken.
        let until = Instant::now() + Duration::from_millis(2);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
    let begin = Instant::now();
    let child = spawn(&spec, Io::Pipes { stdin: None, output: Box::new(|_, _| ()) }).expect("it starts");
    let ready = begin.elapsed();
    assert_eq!(child.wait().expect("it ends").exit, Exit::Code(0));
    (ready, begin.elapsed())
}
