//! `--iidfile` and `--metadata-file`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use engine::BuildOutcome;
use image::Reference;

use super::Args;
use crate::files::{self, Durability};
use crate::report::Report;
use crate::template::Value;

/// Files that tell scripts what was built.
pub(super) struct ResultFiles {
    image_id: Option<PathBuf>,
    metadata: Option<PathBuf>,
}

impl ResultFiles {
    pub(super) fn new(args: &Args) -> Self {
        Self { image_id: args.iidfile.clone(), metadata: args.metadata_file.clone() }
    }

    /// Nobody shall take the result of an earlier build for that of a failed one.
    pub(super) fn remove_old(&self) -> Result<(), Report> {
        let Some(path) = &self.image_id else { return Ok(()) };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Report::file(path, &error)),
            _ => Ok(()),
        }
    }

    pub(super) fn write(&self, outcome: &BuildOutcome) -> Result<(), Report> {
        if let Some(path) = &self.image_id {
            write(path, &outcome.image.to_string())?;
        }
        if let Some(path) = &self.metadata {
            write(path, &metadata(outcome))?;
        }
        Ok(())
    }
}

/// The keys that buildx uses.
fn metadata(outcome: &BuildOutcome) -> String {
    let mut fields =
        vec![("containerimage.config.digest".to_owned(), Value::from(outcome.image.to_string()))];
    if let Some(manifest) = &outcome.manifest {
        let descriptor = vec![
            ("mediaType".to_owned(), Value::from(manifest.media_type.clone())),
            ("digest".to_owned(), Value::from(manifest.digest.to_string())),
            ("size".to_owned(), Value::Int(i64::try_from(manifest.size_bytes).unwrap_or(i64::MAX))),
        ];
        fields.push(("containerimage.descriptor".to_owned(), Value::Record(descriptor)));
        fields.push(("containerimage.digest".to_owned(), Value::from(manifest.digest.to_string())));
    }
    if !outcome.tags.is_empty() {
        let names: Vec<_> = outcome.tags.iter().map(Reference::to_string).collect();
        fields.push(("image.name".to_owned(), Value::from(names.join(","))));
    }
    Value::Record(fields).to_json() + "\n"
}

fn write(path: &Path, text: &str) -> Result<(), Report> {
    files::replace(path, Durability::Fast, |file| {
        file.write_all(text.as_bytes()).map_err(|error| Report::file(path, &error))
    })
}
