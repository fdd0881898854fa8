//! The commands for containers, one file for each, and what they have in common.

pub(crate) mod attach;
pub(crate) mod commit;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod diff;
mod environment;
pub(crate) mod exec;
pub(crate) mod export;
mod health;
pub(crate) mod kill;
pub(crate) mod logs;
mod mounts;
mod networks;
mod obtain;
pub(crate) mod pause;
pub(crate) mod port;
mod privileges;
pub(crate) mod prune;
pub(crate) mod ps;
pub(crate) mod rename;
pub(crate) mod restart;
pub(crate) mod rm;
mod row;
mod settings;
mod sharing;
pub(crate) mod start;
pub(crate) mod stats;
mod stdio;
pub(crate) mod stop;
pub(crate) mod systemd;
pub(crate) mod top;
pub(crate) mod unpause;
pub(crate) mod update;
pub(crate) mod wait;

pub(crate) use obtain::{Obtaining, Says, obtain};
pub(crate) use settings::SettingsArgs;
pub(crate) use stdio::{Attaching, End, Keyboard};

use crate::console;
use crate::report::{Exit, Report};

/// Does something with each name and prints it; what fails for one is told, and does not keep the others from it.
fn each<E: Into<Report>>(
    names: &[String],
    mut does: impl FnMut(&str) -> Result<(), E>,
) -> Result<Exit, Report> {
    let mut exit = Exit::Success;
    for name in names {
        match does(name) {
            Ok(()) => {
                console::print(&format!("{name}\n"))?;
            }
            Err(error) => exit = error.into().print(),
        }
    }
    Ok(exit)
}

/// The keys that detach, unless others are chosen.
const DETACH_KEYS: &str = "ctrl-p,ctrl-q";
