//! What a layer that is larger than memory takes of it: every way of moving it streams.

use std::fs;
use std::process::Command;

use super::{Amount, Finding};
use crate::builder::Setup;
use crate::error::Error;
use crate::transfer::Registry;
use crate::{peak, process};

const MOST: Amount = Amount::Bytes(64 << 20);

/// The only file of the layer is a hole, which every one of these commands reads as the zeros that it stands for.
pub(super) fn measure(setup: &Setup, layer_bytes: u64) -> Result<Vec<Finding>, Error> {
    let directory = &setup.directory;
    let (context, saved) = (directory.join("context"), directory.join("saved.tar"));
    fs::create_dir_all(&context).map_err(Error::at(&context))?;
    let path = context.join("large");
    let file = fs::File::create(&path).map_err(Error::at(&path))?;
    file.set_len(layer_bytes).map_err(Error::at(&path))?;
    let path = context.join("Dockerfile");
    fs::write(&path, "FROM scratch\nCOPY large /large\n").map_err(Error::at(path))?;

    let registry = Registry::start(directory)?;
    let name = registry.name("large");
    let slipway = |store: &str| {
        let mut command = Command::new(&setup.slipway);
        command.arg("--root").arg(directory.join(store));
        // However full this disk is: the layer is not to be collected.
        command.envs([("SLIPWAY_MIN_FREE_SPACE", "0"), ("SLIPWAY_MAX_USED_SPACE", "0")]);
        command
    };
    let mut findings = Vec::new();
    let mut measure = |what: &str, command: &mut Command| -> Result<(), Error> {
        eprintln!("P11: {what}");
        findings.push(
            Finding::bytes(format!("{what} of {} GB, peak memory", layer_bytes >> 30), peak::bytes(command)?)
                .at_most(MOST),
        );
        Ok(())
    };
    measure("build", slipway("built").args(["build", "--quiet", "--tag", &name]).arg(&context))?;
    measure("push", slipway("built").args(["push", "--quiet", &name]))?;
    measure("save", slipway("built").args(["save", "--output"]).arg(&saved).arg(&name))?;
    // What is not needed any more makes room for what comes.
    remove(setup, "built")?;
    measure("load", slipway("loaded").args(["load", "--quiet", "--input"]).arg(&saved))?;
    remove(setup, "loaded")?;
    fs::remove_file(&saved).map_err(Error::at(&saved))?;
    measure("pull", slipway("pulled").args(["pull", "--quiet", &name]))?;
    let size = process::run(slipway("pulled").args(["image", "inspect", "--format", "{{.Size}}", &name]))?;
    if size.parse::<u64>().is_ok_and(|size| size >= layer_bytes) {
        return Ok(findings);
    }
    Err(Error::Output { command: "slipway image inspect", problem: format!("a size of {size}") })
}

fn remove(setup: &Setup, store: &str) -> Result<(), Error> {
    let path = setup.directory.join(store);
    fs::remove_dir_all(&path).map_err(Error::at(&path))
}
