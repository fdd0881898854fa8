//! `--secret` in the syntax of buildx.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use engine::{SECRET_BYTES_MAX, Secret, Secrets};

use crate::commands::csv::{CsvError, fields};
use crate::report::Report;

/// One `--secret`: what it is called, and where it is. Not what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretSpec {
    id: String,
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Variable(OsString),
    /// The variable of this name if there is one, else the file.
    Named,
}

/// Why a text is no `--secret`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpecError {
    #[error(transparent)]
    Csv(#[from] CsvError),
    #[error("invalid field `{field}`, expected NAME=VALUE")]
    NotPair { field: String },
    #[error("unsupported secret type `{kind}`, expected file or env")]
    UnknownType { kind: String },
    #[error("unexpected key `{name}`, expected id, src, env or type")]
    UnknownKey { name: String },
    #[error("secret missing ID: add `id=NAME`")]
    NoId,
    #[error("a secret is either in a file (`src`) or in a variable (`env`)")]
    TwoSources,
}

impl FromStr for SecretSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (mut id, mut path, mut variable, mut kind) = (None, None, None, None);
        for field in fields(text)? {
            let (name, value) =
                field.split_once('=').ok_or_else(|| SpecError::NotPair { field: field.clone() })?;
            let place = match name.to_ascii_lowercase().as_str() {
                "id" => &mut id,
                "src" | "source" => &mut path,
                "env" => &mut variable,
                "type" if !matches!(value, "file" | "env") => {
                    return Err(SpecError::UnknownType { kind: value.to_owned() });
                }
                "type" => &mut kind,
                name => return Err(SpecError::UnknownKey { name: name.to_owned() }),
            };
            *place = Some(value.to_owned()).filter(|value| !value.is_empty());
        }
        if kind.as_deref() == Some("env") && variable.is_none() {
            variable = path.take();
        }
        let source = match (path, variable) {
            (Some(_), Some(_)) => return Err(SpecError::TwoSources),
            (Some(path), None) => Source::File(path.into()),
            (None, Some(name)) => Source::Variable(name.into()),
            (None, None) => Source::Named,
        };
        Ok(Self { id: id.ok_or(SpecError::NoId)?, source })
    }
}

/// Reads the secrets. Of two with one id the last one counts.
pub(crate) fn read(specs: Vec<SecretSpec>) -> Result<Secrets, Report> {
    let mut secrets = Secrets::new();
    for SecretSpec { id, source } in specs {
        let bytes = match source {
            Source::File(path) => read_file(&id, &path)?,
            // As in Docker, a variable that is not set is an empty secret.
            Source::Variable(name) => env::var_os(name).unwrap_or_default().into_vec(),
            Source::Named => match env::var_os(&id) {
                Some(value) => value.into_vec(),
                None => read_file(&id, Path::new(&id))?,
            },
        };
        let secret =
            Secret::new(bytes).map_err(|error| Report::mistake(format!("secret `{id}` too big: {error}")))?;
        secrets.insert(id, secret);
    }
    Ok(secrets)
}

fn read_file(id: &str, path: &Path) -> Result<Vec<u8>, Report> {
    let cannot = |error: &std::io::Error| {
        Report::mistake(format!("secret `{id}`: cannot read `{}`: {error}", path.display()))
    };
    let file = File::open(path).map_err(|error| cannot(&error))?;
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        match text.parse::<SecretSpec>() {
            Ok(SecretSpec { id, source }) => format!("{id} {source:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn secrets_are_written_as_in_buildx() {
        let texts = [
            "id=a",
            "id=a,src=b",
            "ID=a,Source=b,type=file",
            "id=a,env=B",
            "type=env,id=a",
            "type=env,id=a,src=B",
            "\"id=a,b\",src=c",
            "src=b",
            "id=,src=b",
            "id=a,src=b,env=C",
            "id=a,file=b",
            "type=vault,id=a",
            "a",
            "",
            "\"id=a",
        ];
        let shown: Vec<_> = texts.iter().map(|text| format!("{text:26} {}", parse(text))).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        id=a                       a Named
        id=a,src=b                 a File("b")
        ID=a,Source=b,type=file    a File("b")
        id=a,env=B                 a Variable("B")
        type=env,id=a              a Named
        type=env,id=a,src=B        a Variable("B")
        "id=a,b",src=c             a,b File("c")
        src=b                      secret missing ID: add `id=NAME`
        id=,src=b                  secret missing ID: add `id=NAME`
        id=a,src=b,env=C           a secret is either in a file (`src`) or in a variable (`env`)
        id=a,file=b                unexpected key `file`, expected id, src, env or type
        type=vault,id=a            unsupported secret type `vault`, expected file or env
        a                          invalid field `a`, expected NAME=VALUE
                                   invalid field ``, expected NAME=VALUE
        "id=a                      a quote is not closed
        "#);
    }
}
