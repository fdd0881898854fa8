//! Builds Dockerfiles as popular projects write theirs, and runs what comes out.
//!
//! The images that they start `FROM` cannot be pulled here: bases built from Debian's packages stand for them, as
//! named contexts, so that the Dockerfiles stay as people write them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::packages::{self, Chore};
use crate::progress::Steps;
use crate::project::Project;
use crate::slipway::{self, Slipway};
use crate::table::{Table, seconds};
use crate::{dist, process, workspace};

const PROJECTS: &str = "testdata/projects";
const BASES: &str = "testdata/projects/bases";

/// The certificates that this machine trusts: package registries may be behind a server of its own.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Which projects are built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    All,
    /// The small ones, which need nothing but Debian.
    Quick,
    Named(Vec<String>),
}

impl Selection {
    /// Reads the arguments of the chore.
    pub(crate) fn new(arguments: &[String]) -> Option<Self> {
        match arguments {
            [] => Some(Self::All),
            [flag] if flag == "--quick" => Some(Self::Quick),
            names if names.iter().all(|name| !name.starts_with('-')) => Some(Self::Named(names.to_vec())),
            _ => None,
        }
    }

    fn of(&self, projects: Vec<Project>) -> Result<Vec<Project>, Error> {
        match self {
            Self::All => Ok(projects),
            Self::Quick => Ok(projects.into_iter().filter(|project| project.is_quick).collect()),
            Self::Named(names) => {
                if let Some(name) = names.iter().find(|name| projects.iter().all(|it| it.name != **name)) {
                    return Err(Error::NoProject { name: name.clone() });
                }
                Ok(projects.into_iter().filter(|project| names.contains(&project.name)).collect())
            }
        }
    }
}

/// Builds and runs the projects, and prints their times. All are tried, also after one has failed.
pub(crate) fn run(selection: &Selection) -> Result<(), Error> {
    let projects = selection.of(Project::all(&workspace::root().join(PROJECTS))?)?;
    packages::ensure(Chore::Corpus)?;
    let directory = workspace::target().join("corpus");
    let trust = certificates(&directory)?;

    let mut times = Table::default();
    let binary = times.time("release binary", || Ok::<_, Error>((dist::binary()?, String::new())))?;
    let slipway = Slipway::new(binary, &directory);
    let tar = times.time("Debian base image", || slipway::debian_tar(&directory))?;
    times.time("import", || slipway.import_debian(&tar).map(|how| ((), how)))?;
    for base in projects.iter().flat_map(|it| &it.bases).map(|(_, base)| base).collect::<BTreeSet<_>>() {
        times.time(&format!("base {base}"), || build_base(&slipway, base, &trust))?;
    }
    let mut failed = Vec::new();
    for project in &projects {
        if let Err(error) = times.time(&project.name, || try_out(&slipway, project)) {
            eprintln!("xtask: {}: {error}", project.name);
            failed.push(project.name.clone());
        }
    }
    println!("\n{times}");
    if failed.is_empty() { Ok(()) } else { Err(Error::CorpusFailed { names: failed }) }
}

/// A directory with the certificates, to be a context of the bases.
fn certificates(directory: &Path) -> Result<PathBuf, Error> {
    let trust = directory.join("trust");
    let in_file = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    fs::create_dir_all(&trust).map_err(in_file(&trust))?;
    let certificates = Path::new(CERTIFICATES);
    if let Some(name) = certificates.file_name().filter(|_| certificates.exists()) {
        // An equal file is left alone: it would be a change of the context.
        let (now, copy) = (fs::read(certificates).map_err(in_file(certificates))?, trust.join(name));
        if fs::read(&copy).ok().as_ref() != Some(&now) {
            fs::write(&copy, now).map_err(in_file(&copy))?;
        }
    }
    Ok(trust)
}

fn base_image(base: &str) -> String {
    format!("corpus/base-{base}")
}

fn build_base(slipway: &Slipway, base: &str, trust: &Path) -> Result<((), String), Error> {
    let trust = format!("trust={}", trust.display());
    let (image, context) = (base_image(base), format!("{BASES}/{base}"));
    process::run(&mut slipway.command(&["build", "-t", &image, "--build-context", &trust, &context]))?;
    Ok(((), String::new()))
}

/// Builds a project, runs its image, and builds once more; every step must then come from the cache.
fn try_out(slipway: &Slipway, project: &Project) -> Result<((), String), Error> {
    let (built, _) = build(slipway, project)?;
    let start = Instant::now();
    let arguments = project.run_arguments();
    let mut run = slipway.command(&["run", "--rm"]);
    let printed = process::output(run.args(arguments))?;
    if printed != project.prints {
        return Err(Error::Printed { printed, expected: project.prints.clone() });
    }
    let ran = start.elapsed();
    let (again, steps) = build(slipway, project)?;
    let times = format!("built in {}, ran in {}, again in {}", seconds(built), seconds(ran), seconds(again));
    match steps {
        Steps { executed: 0, .. } => Ok(((), times)),
        Steps { executed, .. } => Err(Error::NotCached { steps: executed, output: String::new() }),
    }
}

fn build(slipway: &Slipway, project: &Project) -> Result<(Duration, Steps), Error> {
    let start = Instant::now();
    let mut build = slipway.command(&["build", "--progress", "plain", "-t", &project.image()]);
    for (image, base) in &project.bases {
        build.args(["--build-context", &format!("{image}=docker-image://{}", base_image(base))]);
    }
    build.args(&project.build).arg(format!("{PROJECTS}/{}", project.name));
    let progress = process::error_output(&mut build)?;
    Ok((start.elapsed(), Steps::count(&progress)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_project_has_what_it_names() {
        let root = workspace::root();
        let projects = Project::all(&root.join(PROJECTS)).expect("the projects can be read");
        assert!(projects.len() >= 20 && projects.iter().any(|project| project.is_quick));
        for project in projects {
            assert!(root.join(PROJECTS).join(&project.name).join("Dockerfile").exists(), "{}", project.name);
            for (_, base) in &project.bases {
                assert!(
                    root.join(BASES).join(base).join("Dockerfile").exists(),
                    "{base} of {}",
                    project.name
                );
            }
            assert!(!project.is_quick || project.bases.is_empty(), "{} is not quick", project.name);
        }
    }

    #[test]
    fn arguments_select() {
        let selection = |arguments: &[&str]| {
            Selection::new(&arguments.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(selection(&[]), Some(Selection::All));
        assert_eq!(selection(&["--quick"]), Some(Selection::Quick));
        assert_eq!(selection(&["a", "b"]), Some(Selection::Named(vec!["a".to_owned(), "b".to_owned()])));
        assert_eq!(selection(&["a", "--fast"]), None);
    }
}
