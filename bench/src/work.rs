//! The pieces of work that are measured: a Dockerfile and a context for every round.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::base;
use crate::builder::{Builder, Network};
use crate::error::Error;
use crate::random::Random;

/// A row of the table of results.
///
/// Round 0 is built before anything is measured. What is equal in all rounds is therefore cached when it is
/// measured; what names its round is not.
pub(crate) struct Work {
    /// Its name in the project's targets.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// What Slipway shall reach on a machine of two cores.
    pub(crate) target: Target,
    verb: Verb,
    dockerfile: fn(round: u64) -> String,
    files: Files,
}

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    Milliseconds(u32),
    /// At most so many bytes written for each of so many bytes of new content.
    WrittenPerByte {
        most: f64,
        content_bytes: u64,
    },
}

/// What a builder is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    /// To build the Dockerfile, and to give the image a name. That promises that it lasts, which costs a sync where it is new.
    Build,
    /// To build the Dockerfile.
    BuildUnnamed,
    /// To run the base image.
    Run(Network),
}

impl Work {
    /// The command for a builder; `None` if it can do nothing of the kind.
    pub(crate) fn command(&self, builder: &dyn Builder, files: &Path) -> Option<Command> {
        match self.verb {
            Verb::Build => Some(builder.build(files, Some(NAME))),
            Verb::BuildUnnamed => Some(builder.build(files, None)),
            Verb::Run(network) => builder.run(network),
        }
    }
}

/// The files beside the Dockerfile.
enum Files {
    None,
    /// Written once: a rebuild finds them as they were.
    Kept(fn(&Path) -> Result<(), Error>),
    /// Written once; then some change in every round.
    Changed {
        write: fn(&Path) -> Result<(), Error>,
        change: fn(&Path, round: u64) -> Result<(), Error>,
    },
    /// Written anew, with other bytes, for every round.
    Fresh(fn(&Path, round: u64) -> Result<(), Error>),
}

/// Everything that can be measured.
pub(crate) const WORK: [Work; 14] = [
    Work {
        id: "P1",
        title: "fully cached rebuild, 12 steps, small context",
        target: Target::Milliseconds(8),
        verb: Verb::Build,
        dockerfile: |_| cached_steps(),
        files: Files::Kept(small_files),
    },
    Work {
        id: "P2",
        title: "fully cached rebuild, context of 10k files",
        target: Target::Milliseconds(15),
        verb: Verb::Build,
        dockerfile: |_| copied_context(),
        files: Files::Kept(|directory| many_files(directory, MANY_DIRECTORIES)),
    },
    Work {
        id: "P2b",
        title: "fully cached rebuild, context of 100k files",
        target: Target::Milliseconds(100),
        verb: Verb::Build,
        dockerfile: |_| copied_context(),
        files: Files::Kept(|directory| many_files(directory, 10 * MANY_DIRECTORIES)),
    },
    Work {
        id: "P3",
        title: "one file of 10k changed, `COPY . .`",
        target: Target::Milliseconds(80),
        verb: Verb::Build,
        dockerfile: |_| copied_context(),
        files: Files::Changed {
            write: |directory| many_files(directory, MANY_DIRECTORIES),
            change: change_one,
        },
    },
    Work {
        id: "P4",
        title: "one more `RUN true` on a cached build",
        target: Target::Milliseconds(5),
        verb: Verb::BuildUnnamed,
        dockerfile: |round| format!("{}RUN true {round}\n", cached_steps()),
        files: Files::Kept(small_files),
    },
    Work {
        id: "P4b",
        title: "the same, and the image gets a name",
        target: Target::Milliseconds(5),
        verb: Verb::Build,
        dockerfile: |round| format!("{}RUN true named {round}\n", cached_steps()),
        files: Files::Kept(small_files),
    },
    Work {
        id: "P5",
        title: "50 x `RUN`, cold",
        target: Target::Milliseconds(350),
        verb: Verb::Build,
        dockerfile: many_runs,
        files: Files::None,
    },
    Work {
        id: "P6",
        title: "cold `COPY` of 20k files / 135 MB and a `RUN` on them",
        target: Target::Milliseconds(1200),
        verb: Verb::Build,
        dockerfile: |_| copied_tree(),
        files: Files::Fresh(large_tree),
    },
    Work {
        id: "P7",
        title: "16 stages of `RUN sleep 1`, then 16 `COPY --from`",
        target: Target::Milliseconds(1150),
        verb: Verb::Build,
        dockerfile: parallel_stages,
        files: Files::None,
    },
    Work {
        id: "P10",
        title: "bytes written for a `COPY` of 100 MB in files of 1 MB",
        target: Target::WrittenPerByte { most: 1.05, content_bytes: (BLOBS * BLOB_BYTES) as u64 },
        verb: Verb::Build,
        dockerfile: |_| format!("{}COPY blobs /blobs\n", from_base()),
        files: Files::Fresh(blobs),
    },
    Work {
        id: "S27",
        title: "fully cached rebuild, a Dockerfile of 10 000 lines",
        target: Target::Milliseconds(10),
        verb: Verb::Build,
        dockerfile: |_| many_lines(),
        files: Files::None,
    },
    Work {
        id: "S27b",
        title: "the same with 8 000 instructions",
        target: Target::Milliseconds(10),
        verb: Verb::Build,
        dockerfile: |_| many_instructions(),
        files: Files::None,
    },
    Work {
        id: "P12",
        title: "a container that runs `true`",
        target: Target::Milliseconds(15),
        verb: Verb::Run(Network::Host),
        dockerfile: |_| from_base(),
        files: Files::None,
    },
    Work {
        id: "P12n",
        title: "the same in a network of its own",
        target: Target::Milliseconds(15),
        verb: Verb::Run(Network::Own),
        dockerfile: |_| from_base(),
        files: Files::None,
    },
];

/// The name of what is built.
pub(crate) const NAME: &str = "bench";

const STEPS: usize = 12;
const SMALL_FILES: usize = 20;
const SMALL_FILE_SIZE_BYTES: usize = 1000;
const RUNS: usize = 50;
const STAGES: usize = 16;
const LINES: usize = 10_000;
/// Lines of which one is a comment and the others are instructions.
const INSTRUCTION_BLOCK: usize = 5;

/// Directories of 100 files: 10k files.
const MANY_DIRECTORIES: usize = 100;
const MANY_FILES_IN_DIRECTORY: usize = 100;
const BLOBS: usize = 100;
const BLOB_BYTES: usize = 1_000_000;

/// 200 directories of 100 files; with sizes of 500, 1000, ... and 13 000 bytes they hold 135 MB.
const LARGE_DIRECTORIES: usize = 200;
const LARGE_FILES_IN_DIRECTORY: usize = 100;
const LARGE_SIZE_STEP_BYTES: usize = 500;
const LARGE_SIZES: usize = 26;

/// The directory that holds the Dockerfile and the files of one piece of work. Removed when dropped.
pub(crate) struct Context<'a> {
    work: &'a Work,
    directory: PathBuf,
}

impl<'a> Context<'a> {
    /// Makes the directory, with the files that all rounds share.
    pub(crate) fn new(work: &'a Work, parent: &Path) -> Result<Self, Error> {
        let directory = parent.join(work.id);
        fs::create_dir_all(&directory).map_err(Error::at(&directory))?;
        if let Files::Kept(write) | Files::Changed { write, .. } = work.files {
            write(&directory)?;
        }
        Ok(Self { work, directory })
    }

    /// What it is for.
    pub(crate) fn work(&self) -> &'a Work {
        self.work
    }

    /// Writes what is different in this round.
    pub(crate) fn enter(&self, round: u64) -> Result<&Path, Error> {
        if let Files::Fresh(write) | Files::Changed { change: write, .. } = self.work.files {
            write(&self.directory, round)?;
        }
        let path = self.directory.join("Dockerfile");
        let text = (self.work.dockerfile)(round);
        if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            fs::write(&path, text).map_err(Error::at(path))?;
        }
        Ok(&self.directory)
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // Best effort: it goes with the directory of the whole run.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn from_base() -> String {
    format!("FROM {}\n", base::NAME)
}

fn cached_steps() -> String {
    let mut text = from_base();
    for step in 0..STEPS / 2 {
        writeln!(text, "COPY file{step} /copied/file{step}\nRUN echo {step} > /step{step}").expect(IN_MEMORY);
    }
    text
}

fn many_runs(round: u64) -> String {
    let mut text = from_base();
    for run in 0..RUNS {
        writeln!(text, "RUN echo {round} > /run{run}").expect(IN_MEMORY);
    }
    text
}

fn copied_context() -> String {
    format!("{}COPY . /app\n", from_base())
}

/// The `RUN` fails when a file is missing, so that nobody wins by leaving files out.
fn copied_tree() -> String {
    let files = LARGE_DIRECTORIES * LARGE_FILES_IN_DIRECTORY;
    let count = "$(find /tree -type f | wc -l)";
    format!("{}COPY tree /tree\nRUN test {count} -eq {files}\n", from_base())
}

fn parallel_stages(round: u64) -> String {
    let mut text = String::new();
    for stage in 0..STAGES {
        writeln!(text, "FROM {} AS stage{stage}\nRUN sleep 1 && echo {round} {stage} > /out", base::NAME)
            .expect(IN_MEMORY);
    }
    text.push_str(&from_base());
    for stage in 0..STAGES {
        writeln!(text, "COPY --from=stage{stage} /out /out{stage}").expect(IN_MEMORY);
    }
    text
}

/// One instruction on all lines but the first: half of them comments, and the command no longer than the kernel takes.
fn many_lines() -> String {
    let pairs = "  # and nothing else\n  && true \\\n".repeat((LINES - 4) / 2);
    format!("{}RUN true \\\n{pairs}  # at last\n  && true\n", from_base())
}

/// Arguments in front of the first stage: no builder makes a layer of them.
fn many_instructions() -> String {
    let mut text = String::new();
    for line in 0..LINES - 2 {
        match line % INSTRUCTION_BLOCK {
            0 => writeln!(text, "# What comes next"),
            _ => writeln!(text, "ARG ARGUMENT_{line}=\"the value\""),
        }
        .expect(IN_MEMORY);
    }
    format!("{text}{}RUN true\n", from_base())
}

const IN_MEMORY: &str = "writing to a string cannot fail";

fn small_files(directory: &Path) -> Result<(), Error> {
    let mut random = Random::from_seed(1);
    for file in 0..SMALL_FILES {
        let path = directory.join(format!("file{file}"));
        fs::write(&path, random.bytes(SMALL_FILE_SIZE_BYTES)).map_err(Error::at(path))?;
    }
    Ok(())
}

fn many_files(directory: &Path, directories: usize) -> Result<(), Error> {
    let mut random = Random::from_seed(1);
    for at in 0..directories {
        let directory = directory.join(format!("directory{at}"));
        fs::create_dir_all(&directory).map_err(Error::at(&directory))?;
        for file in 0..MANY_FILES_IN_DIRECTORY {
            let path = directory.join(format!("file{file}"));
            fs::write(&path, random.bytes(SMALL_FILE_SIZE_BYTES)).map_err(Error::at(path))?;
        }
    }
    Ok(())
}

fn change_one(directory: &Path, round: u64) -> Result<(), Error> {
    let path = directory.join("directory1/file1");
    fs::write(&path, Random::from_seed(100 + round).bytes(SMALL_FILE_SIZE_BYTES)).map_err(Error::at(path))
}

fn blobs(directory: &Path, round: u64) -> Result<(), Error> {
    let directory = directory.join("blobs");
    remove(&directory)?;
    fs::create_dir_all(&directory).map_err(Error::at(&directory))?;
    let mut random = Random::from_seed(round);
    for blob in 0..BLOBS {
        let path = directory.join(format!("blob{blob}"));
        fs::write(&path, random.bytes(BLOB_BYTES)).map_err(Error::at(path))?;
    }
    Ok(())
}

/// Files of the same names and sizes in every round.
fn large_tree(directory: &Path, round: u64) -> Result<(), Error> {
    let mut random = Random::from_seed(round);
    for at in 0..LARGE_DIRECTORIES {
        let directory = directory.join(format!("tree/directory{at}"));
        remove(&directory)?;
        fs::create_dir_all(&directory).map_err(Error::at(&directory))?;
        for file in 0..LARGE_FILES_IN_DIRECTORY {
            let path = directory.join(format!("file{file}"));
            fs::write(&path, random.bytes(large_size_bytes(at, file))).map_err(Error::at(path))?;
        }
    }
    Ok(())
}

/// New files, not old ones with new bytes: as after a fresh checkout.
fn remove(directory: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.map_err(Error::at(directory)),
    }
}

fn large_size_bytes(directory: usize, file: usize) -> usize {
    let index = directory * LARGE_FILES_IN_DIRECTORY + file;
    LARGE_SIZE_STEP_BYTES * (1 + index % LARGE_SIZES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dockerfile(id: &str, round: u64) -> String {
        let work = WORK.iter().find(|work| work.id == id).expect("the row exists");
        (work.dockerfile)(round)
    }

    #[test]
    fn the_work_is_as_large_as_its_title_says() {
        let steps = |id| dockerfile(id, 1).lines().filter(|line| !line.starts_with("FROM")).count();
        assert_eq!([steps("P1"), steps("P4"), steps("P5"), steps("P7")], [12, 13, 50, 32]);
        assert_eq!(dockerfile("S27", 1).lines().count(), LINES);
        let instructions = dockerfile("S27b", 1);
        assert_eq!(instructions.lines().count(), LINES);
        assert!(instructions.lines().filter(|line| line.starts_with("ARG")).count() >= 7_998);
        let sizes = (0..LARGE_DIRECTORIES).flat_map(|directory| {
            (0..LARGE_FILES_IN_DIRECTORY).map(move |file| large_size_bytes(directory, file))
        });
        assert_eq!(sizes.clone().count(), 20_000);
        assert_eq!(sizes.sum::<usize>() / 1_000_000, 134);
    }

    #[test]
    fn a_round_changes_what_is_cold_and_nothing_else() {
        assert_eq!(dockerfile("P1", 1), dockerfile("P1", 2));
        assert_ne!(dockerfile("P4", 1), dockerfile("P4", 2));
        assert!(dockerfile("P4", 1).starts_with(&dockerfile("P1", 1)));
        // Or the one would find what the other has built.
        assert_ne!(dockerfile("P4", 1), dockerfile("P4b", 1));
        assert_ne!(dockerfile("P5", 1).lines().nth(1), dockerfile("P5", 2).lines().nth(1));
        assert_ne!(dockerfile("P7", 1), dockerfile("P7", 2));
    }
}
