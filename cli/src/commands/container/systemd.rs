//! `slipway generate systemd`.

use std::env;
use std::path::{Path, PathBuf};

use engine::containers::{Config, Restart};

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Seconds that systemd gives a container beyond its own time to stop.
const STOP_MARGIN_S: i64 = 5;

/// Write a systemd unit that runs a container
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway generate systemd CONTAINER", help_template = super::super::HELP)]
pub(crate) struct Args {
    /// Name or ID
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    container: String,
}

/// Prints a unit for a container that is there.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let root = store::root(global)?;
    let container = store::open(global)?.container(&args.container)?;
    let binary = env::current_exe().unwrap_or_else(|_| PathBuf::from("/usr/bin/slipway"));
    console::print(&unit(&container.config, &binary, &root))
}

fn unit(config: &Config, binary: &Path, root: &Path) -> String {
    let restart = match config.settings.restart {
        Restart::No => "no",
        Restart::OnFailure(_) => "on-failure",
        Restart::Always | Restart::UnlessStopped => "always",
    };
    let timeout = match config.stop_timeout_s() {
        seconds if seconds < 0 => "infinity".to_owned(),
        seconds => (seconds + STOP_MARGIN_S).to_string(),
    };
    let call =
        format!("{} --root {}", quoted(&binary.display().to_string()), quoted(&root.display().to_string()));
    let name = &config.name;
    format!(
        "[Unit]\n\
         Description=Slipway container {name}\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         RequiresMountsFor={root}\n\
         \n\
         [Service]\n\
         ExecStart={call} start --attach {name}\n\
         ExecStop={call} stop {name}\n\
         Restart={restart}\n\
         TimeoutStopSec={timeout}\n\
         KillMode=mixed\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        root = quoted(&root.display().to_string()),
    )
}

/// A word as systemd reads it, see systemd.syntax(7): `%` begins a specifier there.
fn quoted(text: &str) -> String {
    let text = text.replace('%', "%%");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if text.chars().all(is_plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_what_systemd_reads() {
        let config = Config { name: "web".into(), ..Config::default() };
        insta::assert_snapshot!(unit(&config, Path::new("/usr/bin/slipway"), Path::new("/var/lib/my slipway")), @r#"
        [Unit]
        Description=Slipway container web
        Wants=network-online.target
        After=network-online.target
        RequiresMountsFor="/var/lib/my slipway"

        [Service]
        ExecStart=/usr/bin/slipway --root "/var/lib/my slipway" start --attach web
        ExecStop=/usr/bin/slipway --root "/var/lib/my slipway" stop web
        Restart=no
        TimeoutStopSec=15
        KillMode=mixed

        [Install]
        WantedBy=default.target
        "#);
    }
}
