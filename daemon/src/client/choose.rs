//! Which files of a directory a daemon gets: those that it asks for, and no others.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use engine::ignore::Patterns;
use rustix::fs::Stat as FileStat;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::session::send_tree::{Choice, Choose};

/// The kernel gives up after 40 links too, see path_resolution(7).
const LINKS_MAX: usize = 40;
/// Paths that one question names, and that their patterns and links lead to.
const PATHS_MAX: usize = 1 << 16;

/// The answer to a question of a daemon.
#[derive(Debug)]
pub(super) struct Chosen {
    /// Paths that are sent with all that is beneath them; none where everything is.
    followed: Option<BTreeSet<String>>,
    included: Patterns,
    excluded: Patterns,
}

impl Chosen {
    /// Reads what a daemon asks for in the directory at `root`.
    pub(super) fn new(root: &Path, asked: &MetadataMap) -> Result<Self, Status> {
        let patterns = |key: &str| {
            let texts = values(asked, key);
            Patterns::new(texts.iter().map(String::as_str))
                .map_err(|error| Status::invalid_argument(format!("{key}: {error}")))
        };
        let (included, excluded) = (patterns("include-patterns")?, patterns("exclude-patterns")?);
        let paths = values(asked, "followpaths");
        let mut following = Following { root: root.to_owned(), found: BTreeSet::new() };
        for path in &paths {
            let names = path.split('/').map(str::to_owned).rev().collect();
            following
                .follow(Vec::new(), names, LINKS_MAX)
                .map_err(|error| Status::unknown(format!("{path}: {error}")))?;
        }
        let is_all = paths.is_empty() || following.found.contains("");
        Ok(Self { followed: (!is_all).then_some(following.found), included, excluded })
    }

    fn follows(&self, path: &str) -> Choice {
        let Some(followed) = &self.followed else { return Choice::Yes };
        let mut above = Some(path);
        while let Some(it) = above {
            if followed.contains(it) {
                return Choice::Yes;
            }
            above = it.rsplit_once('/').map(|(parent, _)| parent);
        }
        let beneath = format!("{path}/");
        match followed.range(beneath.clone()..).next() {
            Some(next) if next.starts_with(&beneath) => Choice::Below,
            _ => Choice::No,
        }
    }
}

impl Choose for Chosen {
    fn choose(&self, path: &str, is_directory: bool) -> Choice {
        let followed = self.follows(path);
        let below = if is_directory { Choice::Below } else { Choice::No };
        if followed == Choice::No {
            return Choice::No;
        }
        if self.excluded.matches(path).is_excluded() {
            return if self.excluded.can_reinclude_below(path) { below } else { Choice::No };
        }
        // The same patterns, read the other way round.
        if !self.included.is_empty() && !self.included.matches(path).is_excluded() {
            return below;
        }
        followed
    }

    /// Files have no owner on their way, so that everybody builds the same of them.
    fn owner(&self, _: &FileStat) -> (u32, u32) {
        (0, 0)
    }
}

/// Finds out where paths lead inside a directory.
struct Following {
    root: PathBuf,
    found: BTreeSet<String>,
}

impl Following {
    /// Goes on from a place with these names, the next one last.
    fn follow(&mut self, mut place: Vec<String>, mut names: Vec<String>, links: usize) -> io::Result<()> {
        while let Some(name) = names.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    place.pop();
                    continue;
                }
                _ => {}
            }
            if name.contains(['*', '?', '[']) {
                for entry in self.matching(&place, &name)? {
                    let mut rest = names.clone();
                    rest.push(entry);
                    self.follow(place.clone(), rest, links)?;
                }
                return Ok(());
            }
            place.push(name);
            let path = place.join("/");
            // It is no link, or it is not there.
            let Ok(target) = fs::read_link(self.root.join(&path)) else { continue };
            self.add(path)?;
            let links = links.checked_sub(1).ok_or_else(|| io::Error::other("too many links"))?;
            let target = target.to_string_lossy().into_owned();
            place.pop();
            if target.starts_with('/') {
                place.clear();
            }
            names.extend(target.split('/').rev().map(str::to_owned));
            return self.follow(place, names, links);
        }
        self.add(place.join("/"))
    }

    fn add(&mut self, path: String) -> io::Result<()> {
        if self.found.len() >= PATHS_MAX {
            return Err(io::Error::other(format!("more than {PATHS_MAX} paths")));
        }
        self.found.insert(path);
        Ok(())
    }

    /// The names in a directory that match, without characters that could be taken for a pattern again.
    fn matching(&self, place: &[String], pattern: &str) -> io::Result<Vec<String>> {
        let pattern = Patterns::new([pattern]).map_err(io::Error::other)?;
        let Ok(entries) = fs::read_dir(self.root.join(place.join("/"))) else { return Ok(Vec::new()) };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let is_plain = |name: &String| !name.contains(['*', '?', '[']);
        Ok(names.filter(|name| pattern.matches(name).is_excluded()).filter(is_plain).collect())
    }
}

/// The values of a key, which may be escaped as in the query of a URL.
pub(super) fn values(asked: &MetadataMap, key: &str) -> Vec<String> {
    let is_escaped = asked.get(format!("{key}-encoded")).is_some_and(|value| value == "1");
    let texts = asked.get_all(key).iter().filter_map(|value| value.to_str().ok());
    texts.map(|text| if is_escaped { unescape(text) } else { text.to_owned() }).collect()
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (first, escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn chosen(root: &Path, asked: &[(&'static str, &str)]) -> Vec<String> {
        let mut metadata = MetadataMap::new();
        for (key, value) in asked {
            metadata.append(*key, value.parse().unwrap());
        }
        let chosen = Chosen::new(root, &metadata).unwrap();
        let mut found = Vec::new();
        walk(root, "", &chosen, &mut found);
        found.sort_unstable();
        found
    }

    fn walk(root: &Path, at: &str, chosen: &Chosen, found: &mut Vec<String>) {
        for entry in fs::read_dir(root.join(at)).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let path = if at.is_empty() { name } else { format!("{at}/{name}") };
            let is_directory = entry.file_type().unwrap().is_dir();
            match chosen.choose(&path, is_directory) {
                Choice::No => continue,
                Choice::Below => {}
                Choice::Yes => found.push(path.clone()),
            }
            if is_directory {
                walk(root, &path, chosen, found);
            }
        }
    }

    #[test]
    fn what_is_asked_for_is_chosen_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        for path in ["a/b/f", "a/g.o", "h", "a b"] {
            fs::write(root.join(path), path).unwrap();
        }
        symlink("a/link2", root.join("link")).unwrap();
        symlink("/a/b/../b/f", root.join("a/link2")).unwrap();
        let all = ["a", "a b", "a/b", "a/b/f", "a/g.o", "a/link2", "h", "link"];
        assert_eq!(chosen(root, &[]), all);
        assert_eq!(chosen(root, &[("followpaths", "link")]), ["a/b/f", "a/link2", "link"]);
        assert_eq!(chosen(root, &[("followpaths", "missing")]), [""; 0]);
        assert_eq!(chosen(root, &[("followpaths", "."), ("followpaths", "h")]), all);
        // A link that matches could have led to more.
        let patterns = [("followpaths", "*/*.o"), ("followpaths", "h")];
        assert_eq!(chosen(root, &patterns), ["a/g.o", "a/link2", "h", "link"]);
        let excluded =
            [("exclude-patterns", "a"), ("exclude-patterns", "!a/b/f"), ("exclude-patterns", "link")];
        assert_eq!(chosen(root, &excluded), ["a b", "a/b/f", "h"]);
        assert_eq!(chosen(root, &[("include-patterns", "**/*.o")]), ["a/g.o"]);
        let escaped = [("followpaths", "a+%62"), ("followpaths-encoded", "1")];
        assert_eq!(chosen(root, &escaped), ["a b"]);
    }

    #[test]
    fn links_that_go_round_end() {
        let directory = tempfile::tempdir().unwrap();
        symlink("two", directory.path().join("one")).unwrap();
        symlink("one", directory.path().join("two")).unwrap();
        let mut metadata = MetadataMap::new();
        metadata.append("followpaths", "one".parse().unwrap());
        assert!(Chosen::new(directory.path(), &metadata).unwrap_err().message().contains("too many links"));
    }
}
