//! `slipway inspect`.

use clap::ValueEnum;
use engine::Engine;
use engine::containers::{ContainerError, ContainerInspection};
use engine::images::Inspection;
use serde::Serialize;

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;
use crate::template::{Functions, Template, Value};

/// Indentation of Docker's JSON.
const INDENT: &[u8] = b"    ";

/// Return low-level information on containers and images
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway inspect [OPTIONS] NAME|ID [NAME|ID...]",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container inspect, slipway image inspect, slipway inspect"
)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "NAME|ID", required = true, hide = true)]
    names: Vec<String>,
    #[arg(short, long, value_name = "FORMAT", help = super::FORMAT_HELP)]
    format: Option<String>,
    /// Only inspect objects of the given type ("container", "image")
    #[arg(long = "type", value_name = "TYPE", value_enum, hide_possible_values = true)]
    kind: Option<Kind>,
}

/// What can be inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
}

/// How things are shown that were asked for by name.
pub(super) enum Layout {
    Indented,
    Compact,
    Template(Template),
}

impl Layout {
    /// Reads a `--format`.
    pub(super) fn parse(format: Option<&str>) -> Result<Self, Report> {
        Ok(match format {
            None | Some("") => Self::Indented,
            Some("json") => Self::Compact,
            Some(source) => Self::Template(Template::parse(source)?),
        })
    }
}

/// Shows everything about containers and images; `only` one kind of them if the command says so.
pub(crate) fn run(args: &Args, only: Option<Kind>, global: &Global) -> Result<Exit, Report> {
    let layout = Layout::parse(args.format.as_deref())?;
    let engine = store::open(global)?;
    show(&args.names, &layout, |name| find(&engine, name, args.kind.or(only)))
}

/// Shows what is found under each name, and says which are not there.
pub(super) fn show<T: Serialize>(
    names: &[String],
    layout: &Layout,
    find: impl Fn(&str) -> Result<T, Report>,
) -> Result<Exit, Report> {
    let mut found = Vec::new();
    let mut exit = Exit::Success;
    for name in names {
        match find(name).and_then(|it| laid_out(&it, layout)) {
            Ok(shown) => found.push(shown),
            Err(report) => exit = report.print(),
        }
    }
    let printed = console::print(&join(&found, layout))?;
    Ok(if printed == Exit::Success { exit } else { printed })
}

/// One thing in the layout: the value itself as JSON, or the text that the template makes of it.
fn laid_out(inspection: &impl Serialize, layout: &Layout) -> Result<Value, Report> {
    let json = serde_json::to_string(inspection).expect("an inspection has only text as keys");
    let value = Value::from_json(&json).expect("JSON that was just written is JSON");
    match layout {
        Layout::Template(template) => Ok(Value::Text(template.render(&typed(value, ""), Functions::Values)?)),
        _ => Ok(value),
    }
}

/// What a name means.
#[derive(Serialize)]
#[serde(untagged)]
enum Inspected {
    Container(Box<ContainerInspection>),
    Image(Box<Inspection>),
}

/// A container before an image, as in Docker.
fn find(engine: &Engine, name: &str, kind: Option<Kind>) -> Result<Inspected, Report> {
    if kind != Some(Kind::Image) {
        match engine.container(name) {
            Ok(container) => {
                return Ok(Inspected::Container(Box::new(engine.inspect_container(&container))));
            }
            Err(ContainerError::NoSuchContainer { .. }) if kind.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Inspected::Image(Box::new(engine.inspect_image(name)?)))
}

fn join(found: &[Value], layout: &Layout) -> String {
    match layout {
        Layout::Template(_) if found.is_empty() => "\n".to_owned(),
        Layout::Template(_) => found.iter().map(|text| format!("{}\n", text.as_text())).collect(),
        Layout::Compact => Value::List(found.to_vec()).to_json() + "\n",
        Layout::Indented => {
            let mut bytes = Vec::new();
            let formatter = serde_json::ser::PrettyFormatter::with_indent(INDENT);
            let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
            found.serialize(&mut serializer).expect("a value has only text as keys");
            bytes.push(b'\n');
            String::from_utf8(bytes).expect("JSON is UTF-8")
        }
    }
}

/// Gives nulls and objects the types that they have in Docker's API: a template shows an absent list as `[]`,
/// and may ask a map for any key.
fn typed(value: Value, name: &str) -> Value {
    let is_map = matches!(
        name,
        "Labels"
            | "ExposedPorts"
            | "Volumes"
            | "Data"
            | "Options"
            | "Containers"
            | "Networks"
            | "Ports"
            | "PortBindings"
    );
    match value {
        Value::Nil if is_map => Value::NilMap,
        Value::Nil => Value::NilList,
        Value::Record(fields) if is_map => Value::Map(fields.into_iter().collect()),
        Value::Record(fields) => {
            let mut fields: Vec<_> =
                fields.into_iter().map(|(name, value)| (name.clone(), typed(value, &name))).collect();
            if name == "Config" {
                add_unset(&mut fields);
            }
            Value::Record(fields)
        }
        other => other,
    }
}

/// Fields of a config that JSON leaves out when they are not set, and templates may ask for all the same.
fn add_unset(fields: &mut Vec<(String, Value)>) {
    let unset = [
        ("ExposedPorts", Value::NilMap),
        ("Healthcheck", Value::Nil),
        ("ArgsEscaped", Value::Bool(false)),
        ("StopSignal", Value::from("")),
        ("Shell", Value::NilList),
    ];
    for (name, value) in unset {
        if !fields.iter().any(|(known, _)| known == name) {
            fields.push((name.to_owned(), value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(template: &str) -> String {
        let json = r#"{"Id":"sha256:1","RepoTags":["a:1"],"Config":{"Cmd":null,"Env":["A=1"],"Labels":null,"Volumes":{"/v":{}}}}"#;
        let value = typed(Value::from_json(json).unwrap(), "");
        let template = Template::parse(template).unwrap();
        template.render(&value, Functions::Values).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn templates_see_dockers_types() {
        assert_eq!(show("{{.Config.Cmd}} {{.Config.Env}} {{.Config.Labels}}"), "[] [A=1] map[]");
        assert_eq!(show("{{index .Config.Labels \"x\"}}|{{.Config.Labels.x}}"), "|<no value>");
        assert_eq!(show("{{.Config.Volumes}} {{.Config.Healthcheck}}"), "map[/v:{}] <nil>");
        assert_eq!(show("{{json .Config.Cmd}}"), "null");
        assert!(show("{{.Config.Nope}}").contains("map has no entry for key \"Nope\""));
    }
}
