//! What there can be more of.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base;
use crate::error::Error;
use crate::random::Random;

const STEPS_IN_STAGE: u64 = 100;
const FILES_IN_DIRECTORY: u64 = 100;
const FILE_SIZE_BYTES: usize = 100;
/// Digits of a key.
const KEY_BYTES: usize = 32;

/// Something that there can be more of.
pub(crate) struct Series {
    /// `records in the store`
    pub(crate) what: &'static str,
    pub(crate) counts: &'static [u64],
    /// What the target says of its growth.
    pub(crate) expected: Expected,
    kind: Kind,
}

/// How the time of a warm build may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Not at all.
    Constant,
    /// By the same for each one more.
    Linear,
}

#[derive(Clone, Copy)]
enum Kind {
    Records,
    Files,
    Stages,
    Steps,
    Layers,
}

/// All of them.
pub(crate) const SERIES: [Series; 5] = [
    Series {
        what: "records in the store",
        counts: &[100, 1_000, 10_000, 100_000, 1_000_000],
        expected: Expected::Constant,
        kind: Kind::Records,
    },
    Series {
        what: "stages",
        counts: &[1, 3, 10, 30, 100, 300],
        expected: Expected::Linear,
        kind: Kind::Stages,
    },
    Series {
        what: "steps",
        counts: &[1, 3, 10, 30, 100, 300, 1_000],
        expected: Expected::Linear,
        kind: Kind::Steps,
    },
    Series {
        what: "layers of one image",
        counts: &[1, 3, 10, 30, 120, 400],
        expected: Expected::Linear,
        kind: Kind::Layers,
    },
    Series {
        what: "files in the context",
        counts: &[100, 1_000, 10_000, 100_000, 1_000_000],
        expected: Expected::Linear,
        kind: Kind::Files,
    },
];

impl Series {
    /// Writes a Dockerfile and its context.
    pub(super) fn write(&self, context: &Path, count: u64) -> Result<(), Error> {
        fs::create_dir_all(context).map_err(Error::at(context))?;
        let from = format!("FROM {}\n", base::NAME);
        let text = match self.kind {
            Kind::Records => format!("{from}COPY a /a\nRUN true\n"),
            Kind::Files => format!("{from}COPY . /files\n"),
            Kind::Stages => stages(count),
            Kind::Steps => steps(count),
            Kind::Layers => layers(count),
        };
        let files = if let Kind::Files = self.kind { count } else { 0 };
        write_files(context, files)?;
        let write = |name: &str, text: &str| {
            let path = context.join(name);
            fs::write(&path, text).map_err(Error::at(path))
        };
        write("a", "a")?;
        write("Dockerfile", &text)
    }

    /// Puts into the store what there is to be more of.
    ///
    /// Records are copies of one of the store's own under other names: no key finds them, as no key of this build finds
    /// those of others.
    pub(super) fn fill(&self, store: &Path, count: u64) -> Result<(), Error> {
        if !matches!(self.kind, Kind::Records) {
            return Ok(());
        }
        let records = store.join("records");
        let bytes = any_file(&records)?;
        let mut random = Random::from_seed(count);
        for _ in 0..count {
            let name: String = random.bytes(KEY_BYTES).iter().map(|byte| format!("{byte:02x}")).collect();
            let directory = records.join(&name[..2]);
            let path = directory.join(&name);
            if fs::write(&path, &bytes).is_err() {
                fs::create_dir_all(&directory).map_err(Error::at(&directory))?;
                fs::write(&path, &bytes).map_err(Error::at(path))?;
            }
        }
        Ok(())
    }
}

/// Stages that the last one copies from, each of which stands on the base image.
fn stages(count: u64) -> String {
    let mut text = String::new();
    for stage in 1..count {
        let _ = writeln!(text, "FROM {} AS stage{stage}\nWORKDIR /stage{stage}", base::NAME);
    }
    let _ = writeln!(text, "FROM {}", base::NAME);
    for stage in 1..count {
        let _ = writeln!(text, "COPY --from=stage{stage} /stage{stage} /stage{stage}");
    }
    text
}

/// Steps in a row, in stages, since overlayfs stacks 500 layers and no more. Each stage reads the one before it.
fn steps(count: u64) -> String {
    let mut text = String::new();
    for step in 0..count {
        let stage = step / STEPS_IN_STAGE;
        if step % STEPS_IN_STAGE > 0 {
            let _ = writeln!(text, "WORKDIR /step{step}");
            continue;
        }
        let _ = writeln!(text, "FROM {} AS stage{stage}", base::NAME);
        let _ = match stage.checked_sub(1) {
            Some(above) => writeln!(text, "COPY --from=stage{above} /step{} /step{step}", step - 1),
            None => writeln!(text, "WORKDIR /step{step}"),
        };
    }
    text
}

/// Steps in a row, each with a layer, in the only stage.
fn layers(count: u64) -> String {
    let mut text = format!("FROM {}\n", base::NAME);
    for layer in 0..count {
        let _ = writeln!(text, "WORKDIR /layer{layer}");
    }
    text
}

fn write_files(context: &Path, count: u64) -> Result<(), Error> {
    for file in 0..count {
        let directory = context.join(format!("directory{}", file / FILES_IN_DIRECTORY));
        if file % FILES_IN_DIRECTORY == 0 {
            fs::create_dir_all(&directory).map_err(Error::at(&directory))?;
        }
        let path = directory.join(format!("file{file}"));
        fs::write(&path, Random::from_seed(file).bytes(FILE_SIZE_BYTES)).map_err(Error::at(path))?;
    }
    Ok(())
}

/// The content of some file two levels below a directory.
fn any_file(directory: &Path) -> Result<Vec<u8>, Error> {
    let entries = |path: PathBuf| -> Result<Vec<PathBuf>, Error> {
        let entries = fs::read_dir(&path).map_err(Error::at(&path))?;
        entries.map(|entry| Ok(entry.map_err(Error::at(&path))?.path())).collect()
    };
    for below in entries(directory.to_owned())? {
        if let Some(file) = entries(below)?.first() {
            return fs::read(file).map_err(Error::at(file));
        }
    }
    Err(Error::Output { command: "slipway build", problem: "a store without records".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dockerfile_has_what_the_series_counts() {
        let directory = std::env::temp_dir().join(format!("slipway-bench-series-{}", std::process::id()));
        let series = |what: &str| SERIES.iter().find(|series| series.what == what).expect("it is there");
        for (what, count) in [("stages", 7), ("steps", 7), ("steps", 250)] {
            series(what).write(&directory, count).expect("it is written");
            let text = fs::read_to_string(directory.join("Dockerfile")).expect("it is there");
            let is_stage = what == "stages";
            let counted = text.lines().filter(|line| line.starts_with("FROM ") == is_stage).count();
            assert_eq!(counted as u64, count, "{what}");
        }
        series("files in the context").write(&directory, 250).expect("it is written");
        let entries = fs::read_dir(directory.join("directory2")).expect("it is there");
        assert_eq!(entries.count(), 50);
        fs::remove_dir_all(&directory).expect("it goes");
    }
}
