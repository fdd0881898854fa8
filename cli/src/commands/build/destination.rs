//! `--output` in the syntax of buildx.

use std::path::PathBuf;
use std::str::FromStr;

use engine::{Destination, Output};

use super::csv::{CsvError, fields};

/// One `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OutputSpec {
    /// Into the store, where every image goes anyway: `type=docker` without a destination.
    Store,
    /// To somewhere else.
    Export(Output),
}

/// Why a text is no `--output`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutputError {
    #[error(transparent)]
    Csv(#[from] CsvError),
    #[error("invalid value `{field}`, expected NAME=VALUE")]
    NotPair { field: String },
    #[error("type is required for output")]
    NoType,
    #[error("unknown type `{kind}`, expected one of docker, local, oci, tar")]
    UnknownType { kind: String },
    #[error("unknown option `{name}`, expected type and dest")]
    UnknownOption { name: String },
    #[error("dest is required for `type={kind}`")]
    NoDestination { kind: String },
}

impl FromStr for OutputSpec {
    type Err = OutputError;

    fn from_str(text: &str) -> Result<Self, OutputError> {
        let fields = fields(text)?;
        if let [only] = fields.as_slice()
            && !only.is_empty()
            && !only.starts_with("type=")
        {
            return Ok(Self::Export(match only.as_str() {
                "-" => Output::Tar(Destination::Stdout),
                directory => Output::Local(PathBuf::from(directory)),
            }));
        }
        let (mut kind, mut dest) = (None, None);
        for field in fields {
            let (name, value) =
                field.split_once('=').ok_or_else(|| OutputError::NotPair { field: field.clone() })?;
            match name.trim().to_ascii_lowercase().as_str() {
                "type" => kind = Some(value.to_owned()),
                "dest" => dest = Some(value.to_owned()),
                name => return Err(OutputError::UnknownOption { name: name.to_owned() }),
            }
        }
        Self::new(kind.ok_or(OutputError::NoType)?, dest)
    }
}

impl OutputSpec {
    fn new(kind: String, dest: Option<String>) -> Result<Self, OutputError> {
        let destination = match dest.as_deref() {
            None | Some("-") => Destination::Stdout,
            Some(path) => Destination::File(PathBuf::from(path)),
        };
        Ok(match kind.as_str() {
            "docker" if dest.is_none() => Self::Store,
            "docker" => Self::Export(Output::Docker(destination)),
            "oci" => Self::Export(Output::Oci(destination)),
            "tar" => Self::Export(Output::Tar(destination)),
            "local" => match dest {
                Some(directory) => Self::Export(Output::Local(PathBuf::from(directory))),
                None => return Err(OutputError::NoDestination { kind }),
            },
            _ => return Err(OutputError::UnknownType { kind }),
        })
    }
}

/// Whether an output is written to standard output.
pub(super) fn goes_to_stdout(output: &Output) -> bool {
    let (Output::Oci(to) | Output::Docker(to) | Output::Tar(to)) = output else { return false };
    *to == Destination::Stdout
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        match text.parse::<OutputSpec>() {
            Ok(spec) => format!("{spec:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn outputs_are_written_as_in_buildx() {
        let texts = [
            "out",
            "-",
            "type=local,dest=out",
            "type=oci,dest=a.tar",
            "type=oci",
            "type=docker",
            "type=docker,dest=-",
            "\"dest=a,b.tar\",type=tar",
            "type=tar,dest=\"x\"",
            "",
            "dest=x,y=z",
            "dest=x,x",
            "type=image",
            "type=local",
            "type=tar,push=true",
            "\"type=tar",
        ];
        let shown: Vec<_> = texts.iter().map(|text| format!("{text:26} {}", parse(text))).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        out                        Export(Local("out"))
        -                          Export(Tar(Stdout))
        type=local,dest=out        Export(Local("out"))
        type=oci,dest=a.tar        Export(Oci(File("a.tar")))
        type=oci                   Export(Oci(Stdout))
        type=docker                Store
        type=docker,dest=-         Export(Docker(Stdout))
        "dest=a,b.tar",type=tar    Export(Tar(File("a,b.tar")))
        type=tar,dest="x"          a quote stands in the middle of `type=tar,dest="x"`; quotes go around NAME=VALUE
                                   invalid value ``, expected NAME=VALUE
        dest=x,y=z                 unknown option `y`, expected type and dest
        dest=x,x                   invalid value `x`, expected NAME=VALUE
        type=image                 unknown type `image`, expected one of docker, local, oci, tar
        type=local                 dest is required for `type=local`
        type=tar,push=true         unknown option `push`, expected type and dest
        "type=tar                  a quote is not closed
        "#);
    }
}
