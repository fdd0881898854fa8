//! `ARG`s in front of the first `FROM`, and those that are always there.

use std::collections::BTreeMap;

use image::Platform;

use super::PlanOptions;
use super::epoch::{EPOCH, Epoch};
use crate::ast::{Arg, Dockerfile, Instruction, Kind};
use crate::diagnostic::Diagnostics;
use crate::environment::{Environment, Variables};
use crate::expand::Expander;

/// The global arguments: platforms first, then what the Dockerfile says, `--build-arg` over both.
pub(super) fn global(
    dockerfile: &Dockerfile,
    options: &PlanOptions,
    diagnostics: &mut Diagnostics,
) -> Environment {
    let mut global = predefined(dockerfile, options);
    declare_all(dockerfile, &options.build_args, &mut global, diagnostics);
    if let Epoch::Known(time) = options.source_date_epoch
        && global.get(EPOCH).is_some()
    {
        global.set(EPOCH, &time.map(|time| time.to_string()).unwrap_or_default());
    }
    global
}

/// The global arguments as they are when the user sets none of those that the Dockerfile declares; none when
/// that is a mistake.
pub(super) fn global_defaults(dockerfile: &Dockerfile, options: &PlanOptions) -> Option<Environment> {
    let mut global = predefined(dockerfile, options);
    let mut diagnostics = Diagnostics::default();
    declare_all(dockerfile, &BTreeMap::new(), &mut global, &mut diagnostics);
    (!diagnostics.has_errors()).then_some(global)
}

/// The arguments that are always there.
fn predefined(dockerfile: &Dockerfile, options: &PlanOptions) -> Environment {
    let mut global = Environment::default();
    platform(&mut global, "BUILD", &options.build_platform);
    platform(&mut global, "TARGET", &options.target_platform);
    let last = dockerfile.stages.last().and_then(|stage| stage.from.name.as_ref());
    let target_stage = options.target.as_deref().or(last.map(|name| name.value.as_str()));
    global.set("TARGETSTAGE", target_stage.unwrap_or("default"));
    let predefined: Vec<String> = global.names().map(str::to_owned).collect();
    for name in predefined {
        if let Some(value) = options.build_args.get(&name) {
            global.set(&name, value);
        }
    }
    global
}

fn declare_all(
    dockerfile: &Dockerfile,
    given: &BTreeMap<String, String>,
    global: &mut Environment,
    diagnostics: &mut Diagnostics,
) {
    let expander = Expander::new(dockerfile.escape);
    for instruction in &dockerfile.global_args {
        let Instruction { kind: Kind::Arg(args), .. } = instruction else { continue };
        for arg in args {
            declare(arg, given, &expander, global, diagnostics);
        }
    }
}

fn platform(global: &mut Environment, prefix: &str, platform: &Platform) {
    global.set(&format!("{prefix}PLATFORM"), &platform.to_string());
    global.set(&format!("{prefix}OS"), &platform.os);
    global.set(&format!("{prefix}OSVERSION"), "");
    global.set(&format!("{prefix}ARCH"), &platform.architecture);
    global.set(&format!("{prefix}VARIANT"), platform.variant.as_deref().unwrap_or_default());
}

fn declare(
    arg: &Arg,
    given: &BTreeMap<String, String>,
    expander: &Expander,
    global: &mut Environment,
    diagnostics: &mut Diagnostics,
) {
    if let Some(value) = given.get(&arg.name.value) {
        global.set(&arg.name.value, value);
        return;
    }
    let Some(default) = &arg.value else { return };
    match expander.expand(&default.value, global) {
        Ok(expansion) => global.set(&arg.name.value, &expansion.text),
        Err(error) => diagnostics.push(error.diagnostic(&default.value, &default.span)),
    }
}
