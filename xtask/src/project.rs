//! One project of the corpus: its directory, what it needs, and how to see that its image is right.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// What follows is what the image prints.
const PRINTS: &str = "--- prints\n";

/// The word that stands for the project's image.
const IMAGE: &str = "IMAGE";

/// A project, as its text beside its directory describes it:
///
/// ```text
/// # comments
/// quick
/// base python:3.11-slim python
/// build --build-arg VERSION=1
/// run -e A=b IMAGE command
/// --- prints
/// what the command writes to standard output
/// ```
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Project {
    /// The name of the directory.
    pub(crate) name: String,
    /// Small enough for every run of CI.
    pub(crate) is_quick: bool,
    /// Names of images in the Dockerfile, and the bases that stand for them.
    pub(crate) bases: Vec<(String, String)>,
    /// Arguments of `slipway build`.
    pub(crate) build: Vec<String>,
    /// Arguments of `slipway run`, the image among them.
    pub(crate) run: Vec<String>,
    /// What that prints.
    pub(crate) prints: String,
}

impl Project {
    /// All projects of a directory, by name.
    pub(crate) fn all(directory: &Path) -> Result<Vec<Self>, Error> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::File { path, source }
        };
        let entries = fs::read_dir(directory).map_err(unreadable(directory))?;
        let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut paths = paths.map_err(unreadable(directory))?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
        paths.sort();
        let read = |path: &PathBuf| {
            let text = fs::read_to_string(path).map_err(unreadable(path))?;
            Self::parse(path, &text)
        };
        paths.iter().map(read).collect()
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let wrong = |line: usize, problem: &str| Error::Project {
            path: path.to_owned(),
            line: line + 1,
            problem: problem.to_owned(),
        };
        let (head, prints) =
            text.split_once(PRINTS).ok_or_else(|| wrong(0, "says nothing of what the image prints"))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut project = Self {
            name,
            is_quick: false,
            bases: Vec::new(),
            build: Vec::new(),
            run: Vec::new(),
            prints: prints.to_owned(),
        };
        for (number, line) in head.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let words = words(line).ok_or_else(|| wrong(number, "a quote is not closed"))?;
            match words.split_first() {
                None => {}
                Some((first, [])) if first == "quick" => project.is_quick = true,
                Some((first, [image, base])) if first == "base" => {
                    project.bases.push((image.clone(), base.clone()));
                }
                Some((first, flags)) if first == "build" => project.build = flags.to_vec(),
                Some((first, rest)) if first == "run" && rest.iter().any(|word| word == IMAGE) => {
                    project.run = rest.to_vec();
                }
                Some(_) => return Err(wrong(number, "not understood")),
            }
        }
        if project.run.is_empty() { Err(wrong(0, "says nothing of how to run")) } else { Ok(project) }
    }

    /// The name of the project's image.
    pub(crate) fn image(&self) -> String {
        format!("corpus/{}", self.name)
    }

    /// The arguments of `slipway run` with the image in its place.
    pub(crate) fn run_arguments(&self) -> Vec<String> {
        let image = self.image();
        self.run.iter().map(|word| if word == IMAGE { image.clone() } else { word.clone() }).collect()
    }
}

/// The words of a line; in double quotes blanks are part of a word, and `\"` is a quote. Nothing is expanded.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if is_quoted && chars.peek() == Some(&'"') => {
                word.get_or_insert_default().extend(chars.next());
            }
            c if c.is_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (!is_quoted).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read() {
        let text = "# why\nquick\nbase a:1 b\nbuild --x y\nrun -e A=b IMAGE sh -c \"echo \\\"$A\\\" c\"\n--- prints\nb c\n";
        let project = Project::parse(Path::new("x/name.txt"), text).expect("a description");
        assert_eq!(project.image(), "corpus/name");
        assert!(project.is_quick);
        assert_eq!(project.bases, [("a:1".to_owned(), "b".to_owned())]);
        assert_eq!(project.build, ["--x", "y"]);
        assert_eq!(project.run_arguments(), ["-e", "A=b", "corpus/name", "sh", "-c", "echo \"$A\" c"]);
        assert_eq!(project.prints, "b c\n");
    }

    #[test]
    fn mistakes_are_found() {
        for (text, problem) in [
            ("run IMAGE\n", "x.txt:1: says nothing of what the image prints"),
            ("base a\nrun IMAGE\n--- prints\n", "x.txt:1: not understood"),
            ("\nrun IMAGE \"a\n--- prints\n", "x.txt:2: a quote is not closed"),
            ("quick\n--- prints\n", "x.txt:1: says nothing of how to run"),
        ] {
            let error = Project::parse(Path::new("x.txt"), text).expect_err(text);
            assert_eq!(error.to_string(), problem);
        }
    }
}
