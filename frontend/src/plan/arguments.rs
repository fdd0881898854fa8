//! `ARG`s in front of the first `FROM`, and those that are always there.

use std::collections::BTreeMap;

use image::Platform;

use super::PlanOptions;
use crate::ast::{Arg, Dockerfile, Instruction, Kind};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::{Environment, Variables};
use crate::expand::Expander;

/// The build argument that sets the time of the result, see reproducible-builds.org.
pub(super) const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The global arguments: platforms first, then what the Dockerfile says, `--build-arg` over both.
pub(super) fn global(
    dockerfile: &Dockerfile,
    options: &PlanOptions,
    diagnostics: &mut Diagnostics,
) -> Environment {
    let mut global = predefined(dockerfile, options);
    declare_all(dockerfile, &options.build_args, &mut global, diagnostics);
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

/// The time of the result, seconds since 1970: what the user gives, else what the Dockerfile says.
pub(super) fn epoch(
    dockerfile: &Dockerfile,
    options: &PlanOptions,
    global: &Environment,
) -> Result<Option<i64>, Diagnostic> {
    let given = options.build_args.get(EPOCH).map(String::as_str);
    match given.or_else(|| global.get(EPOCH)).unwrap_or_default() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            let args = dockerfile.global_args.iter().flat_map(|instruction| match &instruction.kind {
                Kind::Arg(args) => args.as_slice(),
                _ => &[],
            });
            let declared = args.rev().find(|arg| given.is_none() && arg.name.value == EPOCH);
            let span = declared.map_or(0..0, |arg| arg.name.span.clone());
            Diagnostic::error("InvalidEpoch", span, format!("`{EPOCH}` is not a time: `{text}`"))
                .with_help("give seconds since 1970, such as `1700000000`".to_owned())
        }),
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
        Err(error) => {
            diagnostics.push(Diagnostic::error("Expansion", default.span.clone(), error.to_string()));
        }
    }
}
