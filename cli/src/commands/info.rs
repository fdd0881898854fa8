//! `slipway info`.

use std::fs;

use engine::images::Filters;

use crate::arguments::Global;
use crate::console;
use crate::output::size_binary;
use crate::report::{Exit, Report};
use crate::store;
use crate::template::{Functions, Template, Value};

const LAYOUT: &str = "\
Images: {{.Images}}
Server Version: {{.ServerVersion}}
Storage Driver: {{.Driver}}
Cgroup Version: {{.CgroupVersion}}
Kernel Version: {{.KernelVersion}}
Operating System: {{.OperatingSystem}}
OSType: {{.OSType}}
Architecture: {{.Architecture}}
CPUs: {{.NCPU}}
Total Memory: ";

/// Display system-wide information
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway info [OPTIONS]", help_template = super::HELP)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "FORMAT", help = super::FORMAT_HELP)]
    format: Option<String>,
}

/// Shows what is known of the store and the machine.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let template = match args.format.as_deref() {
        None | Some("") => None,
        Some("json") => Some(Template::parse("{{json .}}")?),
        Some(source) => Some(Template::parse(source)?),
    };
    let engine = store::open(global)?;
    let images = engine.list_images(&Filters::default())?.len();
    let machine = Machine::read();
    let facts = facts(&machine, images, &engine.root().display().to_string());
    let text = match template {
        Some(template) => template.render(&facts, Functions::Values)?,
        None => {
            let text = Template::parse(LAYOUT)?.render(&facts, Functions::Values)?;
            let memory = size_binary(machine.memory_bytes);
            format!("{text}{memory}\nName: {}\nDocker Root Dir: {}", machine.name, engine.root().display())
        }
    };
    console::print(&format!("{text}\n"))
}

fn facts(machine: &Machine, images: usize, root: &str) -> Value {
    let int = |value: usize| Value::Int(i64::try_from(value).unwrap_or(i64::MAX));
    Value::record([
        ("Images", int(images)),
        ("Driver", Value::from("overlay2")),
        ("CgroupVersion", Value::from(machine.cgroup_version)),
        ("KernelVersion", Value::from(machine.kernel.as_str())),
        ("OperatingSystem", Value::from(machine.operating_system.as_str())),
        ("OSType", Value::from("linux")),
        ("Architecture", Value::from(machine.architecture.as_str())),
        ("NCPU", int(machine.cpus)),
        ("MemTotal", Value::Int(i64::try_from(machine.memory_bytes).unwrap_or(i64::MAX))),
        ("DockerRootDir", Value::from(root)),
        ("Name", Value::from(machine.name.as_str())),
        ("ServerVersion", Value::from(env!("CARGO_PKG_VERSION"))),
    ])
}

/// What is known of the machine.
struct Machine {
    kernel: String,
    operating_system: String,
    architecture: String,
    name: String,
    cgroup_version: &'static str,
    cpus: usize,
    memory_bytes: u64,
}

impl Machine {
    /// What cannot be read is left empty: the rest is still of use.
    fn read() -> Self {
        let kernel = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let unified = fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or(false);
        Self {
            kernel: text(kernel.release()),
            operating_system: fs::read_to_string("/etc/os-release")
                .ok()
                .and_then(|text| pretty_name(&text))
                .unwrap_or_default(),
            architecture: text(kernel.machine()),
            name: text(kernel.nodename()),
            cgroup_version: if unified { "2" } else { "1" },
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: fs::read_to_string("/proc/meminfo")
                .ok()
                .and_then(|text| memory_bytes(&text))
                .unwrap_or(0),
        }
    }
}

/// `PRETTY_NAME` of os-release(5).
fn pretty_name(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches('"').to_owned())
}

/// `MemTotal` of proc_meminfo(5), which is in units of 1024 bytes.
fn memory_bytes(text: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel_and_the_distribution_are_understood() {
        assert_eq!(
            pretty_name("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n").as_deref(),
            Some("Debian GNU/Linux 12")
        );
        assert_eq!(memory_bytes("MemTotal:       24000 kB\nMemFree: 1 kB\n"), Some(24_576_000));
        assert_eq!(memory_bytes("MemTotal: many\n"), None);
    }
}
