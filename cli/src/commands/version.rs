//! `slipway version`.

use crate::console;
use crate::report::{Exit, Report};
use crate::template::{Functions, Template, Value};

const LAYOUT: &str = "\
Client:
 Version:           {{.Client.Version}}
 OS/Arch:           {{.Client.Os}}/{{.Client.Arch}}

Server: none, every slipway process is its own
 Version:           {{.Server.Version}}
 OS/Arch:           {{.Server.Os}}/{{.Server.Arch}}";

/// Show the Slipway version information
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway version [OPTIONS]", help_template = super::HELP)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "FORMAT", help = super::FORMAT_HELP)]
    format: Option<String>,
}

/// Shows the version.
pub(crate) fn run(args: &Args) -> Result<Exit, Report> {
    let source = match args.format.as_deref() {
        None | Some("") => LAYOUT,
        Some("json") => "{{json .}}",
        Some(source) => source,
    };
    let template = Template::parse(source)?;
    let text = template.render(&versions(), Functions::Values)?;
    console::print(&format!("{text}\n"))
}

/// Scripts ask for the client's version or the server's; here both are the same program.
fn versions() -> Value {
    let platform = image::Platform::host();
    let version = Value::record([
        ("Version", Value::from(env!("CARGO_PKG_VERSION"))),
        ("Os", Value::Text(platform.os)),
        ("Arch", Value::Text(platform.architecture)),
    ]);
    Value::record([("Client", version.clone()), ("Server", version)])
}
