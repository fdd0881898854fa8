//! The files of `slipway ci init`, read by somebody else, and their commands run as the systems run them.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::object_server::servers;
use crate::server::{Access, Registry};
use crate::support::{Home, check};

/// A home in whose directory `slipway` is a command, with a Dockerfile.
fn project() -> Home {
    let home = Home::new();
    fs::create_dir(home.path("bin")).unwrap();
    let binary = home.command(&[]).get_program().to_owned();
    std::os::unix::fs::symlink(binary, home.path("bin/slipway")).unwrap();
    fs::write(home.path("Dockerfile"), "FROM base\nRUN echo 1 > /f\n").unwrap();
    home
}

/// What a YAML file says.
fn yaml(home: &Home, path: &str) -> Value {
    let program = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1])), default=str))";
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", servers().unwrap().join("python")).args(["-c", program]);
    serde_json::from_str(&check(command.arg(home.path(path)))).unwrap()
}

/// Runs the commands of a job; what it says.
fn sh(home: &Home, script: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script]).current_dir(home.path(".")).stdin(Stdio::null()).env_clear();
    command.env("PATH", format!("{}:/usr/bin:/bin", home.path("bin").display()));
    command.env("HOME", home.path("user")).env("SLIPWAY_ROOT", home.store());
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{text}");
    text
}

/// The manifest of a name, as the owner of the registry sees it.
fn is_there(registry: &Registry, name: &str) -> bool {
    let mut command = Command::new("skopeo");
    command.args(["inspect", "--raw", "--tls-verify=false", "--creds=user:secret"]);
    command.arg(format!("docker://{}", registry.name(name))).output().unwrap().status.success()
}

#[test]
fn a_file_that_is_there_stays() {
    let home = project();
    for (system, path) in [
        ("github", ".github/workflows/slipway.yml"),
        ("gitlab", ".gitlab-ci.yml"),
        ("jenkins", "Jenkinsfile"),
        ("tekton", ".tekton/slipway.yaml"),
    ] {
        assert_eq!(home.ok(&["ci", "init", system]), format!("{path}\n"));
        fs::write(home.path(path), "mine").unwrap();
        let (code, error) = home.fails(&["ci", "init", system]);
        assert!(code == 1 && error.contains(&format!("`{path}` is there already")), "{code} {error}");
        assert_eq!(fs::read_to_string(home.path(path)).unwrap(), "mine");
    }
}

#[test]
fn a_pipeline_of_gitlab_pushes_the_default_branch() {
    if servers().is_none() {
        return;
    }
    let (home, registry) = (project(), Registry::with(Access::Password));
    home.ok(&["ci", "init", "gitlab"]);
    let lines = yaml(&home, ".gitlab-ci.yml")["image"]["script"].clone();
    let lines: Vec<_> =
        lines.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect();
    let image = registry.name("group/app");
    let mut variables = vec![
        ("GITLAB_CI", "true"),
        ("CI_REGISTRY", registry.authority.as_str()),
        ("CI_REGISTRY_IMAGE", &image),
        ("CI_REGISTRY_USER", "user"),
        ("CI_REGISTRY_PASSWORD", "secret"),
        ("CI_COMMIT_SHA", "abc"),
        ("CI_DEFAULT_BRANCH", "main"),
        ("CI_COMMIT_REF_NAME", "main"),
    ];
    let request = [&variables[..], &[("CI_MERGE_REQUEST_IID", "7")]].concat();
    sh(&home, &lines.join("\n"), &request);
    assert!(is_there(&registry, "group/app/cache:merge-request-7") && !is_there(&registry, "group/app:abc"));
    variables.push(("CI_COMMIT_BRANCH", "main"));
    sh(&home, &lines.join("\n"), &variables);
    assert!(is_there(&registry, "group/app/cache:main") && is_there(&registry, "group/app:abc"));
    assert!(fs::read_to_string(home.path("slipway.md")).unwrap().contains("steps were cached"));
}

#[test]
fn a_workflow_of_github_pushes_the_main_branch() {
    if servers().is_none() {
        return;
    }
    let (home, registry) = (project(), Registry::with(Access::Password));
    home.ok(&["ci", "init", "github"]);
    let job = yaml(&home, ".github/workflows/slipway.yml")["jobs"]["image"].clone();
    let steps = job["steps"].as_array().unwrap();
    let script = steps.iter().filter_map(|step| step["run"].as_str()).collect::<Vec<_>>().join("\n");
    let image = registry.name("Group/App");
    let variables = [
        ("IMAGE", image.as_str()),
        ("TOKEN", "secret"),
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_ACTOR", "user"),
        ("GITHUB_SHA", "abc"),
        ("GITHUB_EVENT_NAME", "push"),
    ];
    let shown = sh(&home, &script, &variables);
    assert!(shown.contains("no cache outside the store: ACTIONS_RESULTS_URL"), "{shown}");
    assert!(is_there(&registry, "group/app:abc"));
}

#[test]
fn a_task_of_tekton_and_a_pipeline_of_jenkins_push() {
    if servers().is_none() {
        return;
    }
    let (home, registry) = (project(), Registry::start());
    home.ok(&["ci", "init", "tekton"]);
    let task = yaml(&home, ".tekton/slipway.yaml");
    let (image, cache, id) = (registry.name("app:1"), registry.name("cache"), home.path("id"));
    let script = task["spec"]["steps"][0]["script"].as_str().unwrap();
    let script = script.replace("$(results.image-id.path)", id.to_str().unwrap());
    let variables = [("IMAGE", &*image), ("SLIPWAY_CACHE", &cache), ("SLIPWAY_CACHE_BRANCH", "main")];
    sh(&home, &script, &variables);
    assert!(is_there(&registry, "app:1") && is_there(&registry, "cache:main"));
    assert!(fs::read_to_string(id).unwrap().starts_with("sha256:"));
    let registry = Registry::with(Access::Password);
    home.ok(&["ci", "init", "jenkins"]);
    let text = fs::read_to_string(home.path("Jenkinsfile")).unwrap();
    let script = text.split("'''").nth(1).unwrap();
    let (image, cache) = (registry.name("app"), registry.name("app/cache"));
    let variables = [
        ("JENKINS_URL", "http://jenkins"),
        ("IMAGE", image.as_str()),
        ("SLIPWAY_CACHE", &cache),
        ("REGISTRY_USR", "user"),
        ("REGISTRY_PSW", "secret"),
        ("GIT_COMMIT", "abc"),
    ];
    sh(&home, script, &variables);
    assert!(is_there(&registry, "app:abc") && is_there(&registry, "app/cache:main"));
}
