//! The inputs with which fuzz targets begin.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{definition, tar};
use crate::error::Error;
use crate::workspace;

/// Writes the inputs that a target begins with, each in a file of its own.
pub(super) fn write(target: &str, directory: &Path) -> Result<(), Error> {
    let seeds = match target {
        "definition" => definition::seeds(),
        "copy_archive" | "layer_apply" => tar::seeds(),
        target => of_test_data(target)?,
    };
    for (number, seed) in seeds.iter().enumerate() {
        let path = directory.join(number.to_string());
        fs::write(&path, seed).map_err(|source| Error::File { path: path.clone(), source })?;
    }
    Ok(())
}

/// What the test data has for a target.
fn of_test_data(target: &str) -> Result<Vec<Vec<u8>>, Error> {
    let testdata = workspace::root().join("testdata");
    let mut texts = Vec::new();
    collect(&testdata, &mut texts)?;
    let seeds: BTreeSet<&str> = match target {
        "dockerfile" => texts.iter().flat_map(|text| dockerfiles(text)).collect(),
        "expand" => texts.iter().flat_map(|text| text.lines()).filter(|line| line.contains('$')).collect(),
        "ignore" => texts.iter().flat_map(|text| text.lines()).filter(|line| line.contains('*')).collect(),
        "remote" => {
            texts.iter().flat_map(|text| text.split_whitespace()).filter(|word| is_remote(word)).collect()
        }
        _ => BTreeSet::new(),
    };
    Ok(seeds.into_iter().map(|seed| seed.as_bytes().to_vec()).collect())
}

/// Whether a word looks like something from elsewhere.
fn is_remote(word: &str) -> bool {
    word.contains("://") || word.contains("git@")
}

/// The Dockerfiles of a fixture, or the whole of a Dockerfile.
fn dockerfiles(text: &str) -> Vec<&str> {
    let mut parts = text.split("--- Dockerfile\n");
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.map(|part| part.split("\n--- ").next().unwrap_or_default()).collect();
    match rest.as_slice() {
        [] if first.contains("FROM ") => vec![first],
        _ => rest,
    }
}

/// The texts of all files beneath a directory; what is no text is left out.
fn collect(directory: &Path, texts: &mut Vec<String>) -> Result<(), Error> {
    let unreadable = |source| Error::File { path: directory.to_owned(), source };
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_dir() {
            collect(&entry.path(), texts)?;
        } else if kind.is_file() {
            texts.extend(fs::read(entry.path()).ok().and_then(|bytes| String::from_utf8(bytes).ok()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_the_dockerfiles_of_fixtures() {
        let fixture =
            "=== a\n--- Dockerfile\nFROM a\n--- finds\nx\n=== b\n--- Dockerfile\nFROM b\n--- finds\n";
        assert_eq!(dockerfiles(fixture), ["FROM a", "FROM b"]);
        assert_eq!(dockerfiles("FROM c\nRUN d\n"), ["FROM c\nRUN d\n"]);
        assert_eq!(dockerfiles("hello"), [""; 0]);
    }

    #[test]
    fn targets_that_need_more_than_chance_have_seeds() {
        let directory = std::env::temp_dir().join(format!("slipway-seeds-{}", std::process::id()));
        for target in
            ["dockerfile", "expand", "ignore", "remote", "definition", "copy_archive", "layer_apply"]
        {
            let own = directory.join(target);
            fs::create_dir_all(&own).expect("a new directory");
            write(target, &own).unwrap_or_else(|error| panic!("{target}: {error}"));
            let seeds = fs::read_dir(&own).expect("the directory").map(|it| it.expect("an entry"));
            let count = seeds.filter(|seed| seed.metadata().is_ok_and(|it| it.len() > 0)).count();
            assert!(count >= 8, "{target} has {count} seeds");
        }
        fs::remove_dir_all(directory).expect("it can be removed");
    }
}
