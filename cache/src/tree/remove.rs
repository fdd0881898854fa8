//! Removes files: from the layer that is made, and with whiteouts from what lies below.

use super::TreeError;
use super::glob::{Pattern, is_pattern};
use crate::layer::assembly::{Assembly, Existing, NodeId, ROOT};
use crate::layer::read::text;

/// Removes what `path` leads to, or all that it matches. Symlinks on the way are followed inside the tree.
pub(super) fn remove(
    path: &str,
    has_patterns: bool,
    may_be_missing: bool,
    assembly: &mut Assembly<'_, '_>,
) -> Result<(), TreeError> {
    let (parents, name) = split(path);
    let missing = || TreeError::NotFound { path: path.to_owned() };
    let Some(name) = name else { return Err(TreeError::Root { path: path.to_owned() }) };
    let is_component_pattern = |component: &&[u8]| has_patterns && is_pattern(component);
    let first = parents.iter().position(|component| is_component_pattern(&component.as_slice()));
    let fixed = &parents[..first.unwrap_or(parents.len())];
    let mut directories = match assembly.find(ROOT, &fixed.join(&b'/'))? {
        Some(Existing::Directory(directory)) => vec![directory],
        _ => Vec::new(),
    };
    for component in &parents[fixed.len()..] {
        let mut next = Vec::new();
        for directory in directories {
            for name in matching(directory, component, has_patterns, assembly)? {
                if let Some(Existing::Directory(below)) = assembly.existing(directory, &name)? {
                    next.push(below);
                }
            }
        }
        directories = next;
    }
    let mut is_found = false;
    for directory in directories {
        for name in matching(directory, &name, has_patterns, assembly)? {
            assembly.remove_name(directory, &name)?;
            is_found = true;
        }
    }
    match is_found || may_be_missing || has_patterns {
        true => Ok(()),
        false => Err(missing()),
    }
}

/// The components of a path, `.` and `..` worked out by text alone, and the last one.
fn split(path: &str) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
    let mut components: Vec<Vec<u8>> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name.as_bytes().to_vec()),
        }
    }
    let last = components.pop();
    (components, last)
}

/// The names in a directory that a component of the path means.
fn matching(
    directory: NodeId,
    component: &[u8],
    has_patterns: bool,
    assembly: &mut Assembly<'_, '_>,
) -> Result<Vec<Vec<u8>>, TreeError> {
    if !has_patterns || !is_pattern(component) {
        let is_there = assembly.existing(directory, component)?.is_some();
        return Ok(is_there.then(|| component.to_vec()).into_iter().collect());
    }
    let pattern = Pattern::new(component).map_err(|_| TreeError::BadPattern { pattern: text(component) })?;
    let names = assembly.names(directory)?;
    Ok(names.into_iter().filter(|name| pattern.matches(name)).collect())
}
