//! `--cache auto`: which caches a job of a CI system has, by its environment.

use std::path::PathBuf;

use super::caches::{CacheError, FromSpec, ToSpec};
use super::environment::Environment;

/// The repository for caches, of whoever has one for all systems.
const REPOSITORY: &str = "SLIPWAY_CACHE";
/// The branch that all others read, where a system does not say.
const MAIN: &str = "main";
/// Where GitHub shows Markdown of a step.
const GITHUB_SUMMARY: &str = "GITHUB_STEP_SUMMARY";
/// The scope in the cache service of GitHub Actions: BuildKit keeps its own there as well.
const GITHUB_SCOPE: &str = "slipway";
/// As GitLab cuts its own.
const SLUG_CHARS_MAX: usize = 63;

/// What the environment comes to.
#[derive(Debug, Default)]
pub(super) struct Auto {
    pub(super) from: Vec<FromSpec>,
    pub(super) to: Vec<ToSpec>,
    /// Why there are none, as a line for the user.
    pub(super) remark: Option<String>,
}

/// Which branches a job reads, its own first, which is the one that it writes.
struct Branches(Vec<String>);

impl Auto {
    /// The caches of this environment. A build needs none, so that nothing here is an error.
    pub(super) fn of(environment: &Environment) -> Self {
        match specs(environment) {
            Ok((from, to)) => match parse(&from, &to, environment) {
                Ok((from, to)) => Self { from, to, remark: None },
                Err(error) => Self::without(&error.to_string()),
            },
            Err(problem) => Self::without(problem),
        }
    }

    fn without(problem: &str) -> Self {
        Self { remark: Some(format!("no cache outside the store: {problem}\n")), ..Self::default() }
    }
}

/// Where a summary is shown without being asked for.
pub(super) fn summary_file(environment: &Environment) -> Option<PathBuf> {
    environment.get(&[GITHUB_SUMMARY]).map(PathBuf::from)
}

type Specs = (Vec<FromSpec>, Vec<ToSpec>);

fn parse(from: &[String], to: &str, environment: &Environment) -> Result<Specs, CacheError> {
    let from = from.iter().map(|text| FromSpec::parse(text, environment)).collect::<Result<_, _>>()?;
    Ok((from, vec![ToSpec::parse(to, environment)?]))
}

/// The caches to read and the one to write, in the words of the flags.
fn specs(environment: &Environment) -> Result<(Vec<String>, String), &'static str> {
    let is = |name| environment.get(&[name]).is_some();
    let own = environment.get(&[REPOSITORY]).map(str::to_owned);
    let of_gitlab = || environment.get(&["CI_REGISTRY_IMAGE"]).map(|image| format!("{image}/cache"));
    let (repository, branches) = if is("GITHUB_ACTIONS") {
        if own.is_none() {
            return github(environment);
        }
        (own, github_branches(environment))
    } else if is("GITLAB_CI") {
        (own.or_else(of_gitlab), gitlab_branches(environment))
    } else if is("JENKINS_URL") {
        (own, jenkins_branches(environment))
    } else if is("KUBERNETES_SERVICE_HOST") || own.is_some() {
        (own, Branches(vec![environment.get(&["SLIPWAY_CACHE_BRANCH"]).unwrap_or(MAIN).to_owned()]))
    } else {
        return Err("this is no CI system that is known; SLIPWAY_CACHE can name a repository of a registry");
    };
    let repository = repository
        .ok_or("SLIPWAY_CACHE has to name a repository of a registry, like registry.example/cache")?;
    let tags = branches.tags();
    let specs = tags.iter().map(|tag| format!("type=slipway,ref={repository}:{tag}")).collect::<Vec<_>>();
    let to = specs[0].clone();
    Ok((specs, to))
}

/// The service knows the branches itself.
fn github(environment: &Environment) -> Result<(Vec<String>, String), &'static str> {
    if environment.get(&["ACTIONS_RESULTS_URL"]).is_none()
        || environment.get(&["ACTIONS_RUNTIME_TOKEN"]).is_none()
    {
        return Err(
            "ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN are not in the environment of this step; \
                    `slipway ci init github` shows how they come there",
        );
    }
    let place = format!("type=gha,scope={GITHUB_SCOPE}");
    Ok((vec![place.clone()], format!("{place},mode=max")))
}

fn github_branches(environment: &Environment) -> Branches {
    let own = environment.get(&["GITHUB_HEAD_REF", "GITHUB_REF_NAME"]);
    // A branch of a fork can have any name, also that of ours.
    let own = match environment.get(&["GITHUB_BASE_REF"]) {
        Some(_) => environment.get(&["GITHUB_REF_NAME"]).map(|name| format!("pull-{name}")),
        None => own.map(str::to_owned),
    };
    Branches::new([own.as_deref(), environment.get(&["GITHUB_BASE_REF"])])
}

fn gitlab_branches(environment: &Environment) -> Branches {
    let request = environment.get(&["CI_MERGE_REQUEST_IID"]).map(|number| format!("merge-request-{number}"));
    let own = request.as_deref().or_else(|| environment.get(&["CI_COMMIT_REF_NAME"]));
    let target = environment.get(&["CI_MERGE_REQUEST_TARGET_BRANCH_NAME"]);
    Branches::new([own, target, environment.get(&["CI_DEFAULT_BRANCH"])])
}

fn jenkins_branches(environment: &Environment) -> Branches {
    let request = environment.get(&["CHANGE_ID"]).map(|number| format!("change-{number}"));
    let own = request.as_deref().or_else(|| environment.get(&["BRANCH_NAME", "GIT_BRANCH", "JOB_NAME"]));
    Branches::new([own, environment.get(&["CHANGE_TARGET"]), Some(MAIN)])
}

impl Branches {
    fn new<const N: usize>(names: [Option<&str>; N]) -> Self {
        let names: Vec<_> = names.into_iter().flatten().map(str::to_owned).collect();
        Self(if names.is_empty() { vec![MAIN.to_owned()] } else { names })
    }

    /// The tags of their caches, each once.
    fn tags(&self) -> Vec<String> {
        let mut tags = Vec::new();
        for tag in self.0.iter().map(|name| slug(name)) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags
    }
}

/// A name that can be a tag.
fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let slug: String = name.chars().map(plain).take(SLUG_CHARS_MAX).collect();
    match slug.trim_matches('-') {
        "" => MAIN.to_owned(),
        slug => slug.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(environment: &[(&str, &str)]) -> String {
        match specs(&Environment::of(environment)) {
            Ok((from, to)) => format!("{}\n  -> {to}", from.join("\n")),
            Err(problem) => problem.to_owned(),
        }
    }

    #[test]
    fn a_request_reads_what_it_goes_to_and_writes_its_own() {
        let service = [("ACTIONS_RESULTS_URL", "http://a"), ("ACTIONS_RUNTIME_TOKEN", "t")];
        let github = [("GITHUB_ACTIONS", "true")];
        insta::assert_snapshot!(shown(&[&github[..], &service].concat()), @"
        type=gha,scope=slipway
          -> type=gha,scope=slipway,mode=max
        ");
        insta::assert_snapshot!(shown(&github), @"ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN are not in the environment of this step; `slipway ci init github` shows how they come there");
        let pull = [
            ("SLIPWAY_CACHE", "r.example/c"),
            ("GITHUB_BASE_REF", "main"),
            ("GITHUB_HEAD_REF", "main"),
            ("GITHUB_REF_NAME", "7/merge"),
        ];
        insta::assert_snapshot!(shown(&[&github[..], &pull].concat()), @"
        type=slipway,ref=r.example/c:pull-7-merge
        type=slipway,ref=r.example/c:main
          -> type=slipway,ref=r.example/c:pull-7-merge
        ");
        let gitlab = [
            ("GITLAB_CI", "true"),
            ("CI_REGISTRY_IMAGE", "r.example/group/app"),
            ("CI_COMMIT_REF_NAME", "Feature/X"),
            ("CI_DEFAULT_BRANCH", "main"),
        ];
        insta::assert_snapshot!(shown(&gitlab), @"
        type=slipway,ref=r.example/group/app/cache:feature-x
        type=slipway,ref=r.example/group/app/cache:main
          -> type=slipway,ref=r.example/group/app/cache:feature-x
        ");
        let jenkins = [
            ("JENKINS_URL", "http://j"),
            ("SLIPWAY_CACHE", "r.example/c"),
            ("CHANGE_ID", "3"),
            ("CHANGE_TARGET", "release/1"),
            ("BRANCH_NAME", "PR-3"),
        ];
        insta::assert_snapshot!(shown(&jenkins), @"
        type=slipway,ref=r.example/c:change-3
        type=slipway,ref=r.example/c:release-1
        type=slipway,ref=r.example/c:main
          -> type=slipway,ref=r.example/c:change-3
        ");
    }

    #[test]
    fn who_knows_no_place_is_told_how_to_name_one() {
        insta::assert_snapshot!(shown(&[]), @"this is no CI system that is known; SLIPWAY_CACHE can name a repository of a registry");
        insta::assert_snapshot!(shown(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]), @"SLIPWAY_CACHE has to name a repository of a registry, like registry.example/cache");
        insta::assert_snapshot!(shown(&[("SLIPWAY_CACHE", "r.example/c")]), @"
        type=slipway,ref=r.example/c:main
          -> type=slipway,ref=r.example/c:main
        ");
        let auto = Auto::of(&Environment::of(&[("SLIPWAY_CACHE", "No such")]));
        assert!(
            auto.remark.is_some_and(|remark| remark.contains("invalid cache name")) && auto.to.is_empty()
        );
    }
}
