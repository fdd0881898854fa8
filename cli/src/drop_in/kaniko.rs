//! As kaniko's `executor`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::Translated;
use super::flags::{self, Flag, Given, Kind};
use crate::report::Report;

/// Where kaniko's image has the credentials.
const CREDENTIALS: &str = "/kaniko/.docker/config.json";
/// The context when nobody names one.
const CONTEXT: &str = "/workspace";
/// The tag of a cache in its repository: kaniko has a tag for each layer there.
const CACHE_TAG: &str = "slipway";
/// How long kaniko's caches are good for.
const CACHE_TTL: &str = "336h";

use Kind::{Switch, Value as Text};

/// What has a counterpart.
#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    ("dockerfile", Some('f'), Text), ("context", Some('c'), Text), ("context-sub-path", None, Text),
    ("destination", Some('d'), Text), ("build-arg", None, Text), ("label", None, Text), ("target", None, Text),
    ("custom-platform", None, Text), ("customPlatform", None, Text), ("cache", None, Switch), ("cache-repo", None, Text),
    ("cache-ttl", None, Text), ("no-push", None, Switch), ("no-push-cache", None, Switch), ("tar-path", None, Text),
    ("tarPath", None, Text), ("oci-layout-path", None, Text), ("digest-file", None, Text),
    ("image-name-with-digest-file", None, Text), ("image-name-tag-with-digest-file", None, Text),
    ("single-snapshot", None, Switch), ("reproducible", None, Switch), ("insecure", None, Switch),
    ("insecure-pull", None, Switch), ("insecure-registry", None, Text), ("skip-tls-verify", None, Switch),
    ("skip-tls-verify-pull", None, Switch), ("skip-tls-verify-registry", None, Text), ("skip-unused-stages", None, Switch),
];
/// What has none: Slipway takes no snapshots of a file system, and reads `registries.toml` for mirrors and certificates.
#[rustfmt::skip]
const IGNORED: &[Flag] = &[
    ("bucket", Some('b'), Text), ("snapshot-mode", None, Text), ("snapshotMode", None, Text), ("push-retry", None, Text),
    ("image-fs-extract-retry", None, Text), ("image-download-retry", None, Text), ("kaniko-dir", None, Text),
    ("cache-dir", None, Text), ("compressed-caching", None, Switch), ("compression", None, Text),
    ("compression-level", None, Text), ("cleanup", None, Switch), ("registry-certificate", None, Text),
    ("registry-client-cert", None, Text), ("registry-mirror", None, Text), ("registry-map", None, Text),
    ("skip-default-registry-fallback", None, Switch), ("ignore-var-run", None, Switch), ("ignore-path", None, Text),
    ("use-new-run", None, Switch), ("git", None, Text), ("cache-copy-layers", None, Switch),
    ("cache-run-layers", None, Switch), ("force-build-metadata", None, Switch), ("force", None, Switch),
    ("log-format", None, Text), ("log-timestamp", None, Switch), ("verbosity", Some('v'), Text),
    ("skip-push-permission-check", None, Switch), ("push-ignore-immutable-tag-errors", None, Switch),
];

/// Files that kaniko writes after a push.
#[derive(Debug)]
pub(super) struct DigestFiles {
    /// Ours alone, for what the build tells.
    directory: TempDir,
    destinations: Vec<String>,
    digest: Option<String>,
    names: Option<String>,
    tagged_names: Option<String>,
}

/// The flags that were given, by their names.
struct Flags(Vec<Given>);

impl Flags {
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |given| given.name == name).map(|given| given.value.as_str())
    }

    fn last(&self, name: &str) -> Option<&str> {
        self.all(name).last().filter(|value| !value.is_empty())
    }

    fn is_on(&self, name: &str) -> bool {
        self.0.iter().rev().find(|given| given.name == name).is_some_and(Given::is_on)
    }
}

/// Kaniko's arguments as ours.
pub(super) fn translate(words: &[String]) -> Result<Translated, Report> {
    let (given, others) = flags::parse(words, &[FLAGS, IGNORED].concat())?;
    if let Some(other) = others.first() {
        return Err(Report::mistake(format!("unexpected argument `{other}`")));
    }
    let is_ignored = |given: &Given| IGNORED.iter().any(|(name, ..)| *name == given.name);
    let mut ignored: Vec<_> =
        given.iter().filter(|given| is_ignored(given)).map(|given| format!("--{}", given.name)).collect();
    ignored.dedup();
    let flags = Flags(given);
    let destinations: Vec<String> = flags.all("destination").map(str::to_owned).collect();
    let pushes = !flags.is_on("no-push");
    if pushes && destinations.is_empty() {
        return Err(Report::mistake("no destination").hint("give `--destination NAME`, or `--no-push`"));
    }
    let context = context(&flags)?;
    let mut own = Own(vec!["build".to_owned(), "--progress=plain".to_owned()]);
    own.each("--tag", flags.all("destination"));
    own.each("--build-arg", flags.all("build-arg"));
    own.each("--label", flags.all("label"));
    own.each("--target", flags.last("target"));
    own.each("--platform", flags.last("custom-platform").or_else(|| flags.last("customPlatform")));
    own.each("--file", flags.last("dockerfile").map(|file| dockerfile(&context, file)).as_deref());
    outputs(&mut own, &flags, pushes);
    if flags.is_on("cache") {
        cache(&mut own, &flags, &destinations)?;
    }
    own.switch("--squash", flags.is_on("single-snapshot"));
    own.each("--build-arg", flags.is_on("reproducible").then_some("SOURCE_DATE_EPOCH=0"));
    own.switch("--tls-verify=false", is_insecure(&flags));
    let has_own_credentials = std::env::var_os("DOCKER_CONFIG").is_none() && Path::new(CREDENTIALS).exists();
    own.each("--authfile", has_own_credentials.then_some(CREDENTIALS));
    let digests = digest_files(&flags, destinations, pushes)?;
    let metadata = digests.as_ref().map(|files| files.metadata().display().to_string());
    own.each("--metadata-file", metadata.as_deref());
    own.0.push(context);
    Ok(Translated { words: own.0, ignored, digests })
}

/// Our words.
struct Own(Vec<String>);

impl Own {
    fn each<'a>(&mut self, flag: &str, values: impl IntoIterator<Item = &'a str>) {
        for value in values {
            self.0.extend([flag.to_owned(), value.to_owned()]);
        }
    }

    fn switch(&mut self, flag: &str, is_on: bool) {
        self.0.extend(is_on.then(|| flag.to_owned()));
    }
}

fn outputs(own: &mut Own, flags: &Flags, pushes: bool) {
    let tar = flags.last("tar-path").or_else(|| flags.last("tarPath"));
    let tar = tar.map(|path| format!("type=docker,dest={path}"));
    let layout = flags.last("oci-layout-path").map(|path| format!("type=oci,tar=false,dest={path}"));
    own.switch("--push", pushes);
    own.each("--output", tar.iter().chain(&layout).map(String::as_str));
}

/// kaniko's repository for caches is that of the first destination, unless one is named.
fn cache(own: &mut Own, flags: &Flags, destinations: &[String]) -> Result<(), Report> {
    let of_destination = || destinations.first().map(|name| format!("{}/cache", without_tag(name)));
    let repository = flags.last("cache-repo").map(str::to_owned).or_else(of_destination);
    let Some(repository) = repository else {
        return Err(Report::mistake("no place for the cache").hint("give `--cache-repo NAME`"));
    };
    let (from, to) = match repository.strip_prefix("oci:") {
        Some(path) => (format!("type=slipway,src={path}"), format!("type=slipway,dest={path}")),
        None => {
            let place = format!("type=slipway,ref={repository}:{CACHE_TAG}");
            (place.clone(), place)
        }
    };
    own.each("--cache-from", [from.as_str()]);
    own.each("--cache-to", (!flags.is_on("no-push-cache")).then_some(to.as_str()));
    own.each("--cache-ttl", [flags.last("cache-ttl").unwrap_or(CACHE_TTL)]);
    Ok(())
}

fn is_insecure(flags: &Flags) -> bool {
    let switches = ["insecure", "insecure-pull", "skip-tls-verify", "skip-tls-verify-pull"];
    let named = ["insecure-registry", "skip-tls-verify-registry"];
    switches.iter().any(|name| flags.is_on(name)) || named.iter().any(|name| flags.last(name).is_some())
}

/// The context as we name it.
fn context(flags: &Flags) -> Result<String, Report> {
    let (given, sub) = (flags.last("context").unwrap_or(CONTEXT), flags.last("context-sub-path"));
    let below = |directory: &str| match sub {
        Some(sub) => Path::new(directory).join(sub).display().to_string(),
        None => directory.to_owned(),
    };
    match given.split_once("://") {
        None => Ok(below(given)),
        Some(("dir", path)) => Ok(below(path)),
        Some(("tar", "stdin")) => Ok("-".to_owned()),
        Some(("git", rest)) => {
            let mut parts = rest.split('#');
            let repository = parts.next().unwrap_or_default();
            let repository = repository.strip_suffix(".git").unwrap_or(repository);
            let reference = parts.next_back().map(|text| text.strip_prefix("refs/heads/").unwrap_or(text));
            let fragment = match (reference, sub) {
                (None, None) => String::new(),
                (reference, None) => format!("#{}", reference.unwrap_or_default()),
                (reference, Some(sub)) => format!("#{}:{sub}", reference.unwrap_or_default()),
            };
            Ok(format!("https://{repository}.git{fragment}"))
        }
        Some(("http" | "https", _)) => Ok(given.to_owned()),
        Some((scheme, _)) => {
            let message =
                format!("context `{given}` is not supported: `{scheme}` is no scheme that slipway reads");
            Err(Report::mistake(message).hint("bring the files first, and pass `dir://PATH`"))
        }
    }
}

/// As it is, or in the context.
fn dockerfile(context: &str, file: &str) -> String {
    let in_context = Path::new(context).join(file);
    match Path::new(file).exists() || !in_context.exists() {
        true => file.to_owned(),
        false => in_context.display().to_string(),
    }
}

/// A name without its tag and digest.
fn without_tag(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

fn digest_files(
    flags: &Flags,
    destinations: Vec<String>,
    pushes: bool,
) -> Result<Option<DigestFiles>, Report> {
    let file = |name: &str| flags.last(name).map(str::to_owned);
    let digest = file("digest-file");
    let (names, tagged_names) =
        (file("image-name-with-digest-file"), file("image-name-tag-with-digest-file"));
    if digest.is_none() && names.is_none() && tagged_names.is_none() {
        return Ok(None);
    }
    if !pushes {
        let message = "there is no digest of an image that is not pushed";
        return Err(Report::mistake(message).hint("leave `--no-push` or the file out"));
    }
    let directory = TempDir::new().map_err(|error| Report::file(&std::env::temp_dir(), &error))?;
    Ok(Some(DigestFiles { directory, destinations, digest, names, tagged_names }))
}

impl DigestFiles {
    fn metadata(&self) -> PathBuf {
        self.directory.path().join("metadata.json")
    }

    /// Writes them, after the push.
    pub(super) fn write(&self) -> Result<(), Report> {
        let failed = |path: &Path, error: &std::io::Error| Report::file(path, error);
        let path = self.metadata();
        let text = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        let metadata: Value = serde_json::from_str(&text).unwrap_or_default();
        let Some(digest) = metadata["containerimage.digest"].as_str() else {
            return Err(Report::mistake("the push has told no digest"));
        };
        let lines = |named: &dyn Fn(&str) -> String| {
            self.destinations.iter().map(|name| named(name) + "\n").collect::<String>()
        };
        let names = lines(&|name| format!("{}@{digest}", without_tag(name)));
        let tagged = lines(&|name| format!("{name}@{digest}"));
        for (path, text) in
            [(&self.digest, digest.to_owned()), (&self.names, names), (&self.tagged_names, tagged)]
        {
            let Some(path) = path else { continue };
            fs::write(path, text).map_err(|error| failed(Path::new(path), &error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        match translate(&words) {
            Ok(Translated { words, ignored, .. }) => {
                format!("{} | {}", words.join(" "), ignored.join(" ")).trim_end().to_owned()
            }
            Err(report) => report.text().trim_end().to_owned(),
        }
    }

    #[test]
    fn arguments_have_counterparts() {
        let texts = [
            "--context dir:///src --destination r/a:1 -d r/b --build-arg A=1 --snapshot-mode=redo -v info",
            "-c /src -f D --no-push --tar-path=o.tar --target t --single-snapshot --reproducible",
            "-c /src -d r.example:5000/a:1 --cache --cache-ttl 24h --skip-tls-verify --cleanup=true",
            "-c /src -d r/a --cache=true --cache-repo oci:/c --no-push-cache --insecure-registry r",
            "-c /src -d r/a --cache=false --custom-platform linux/arm64",
            "-c git://host/me/app.git#refs/heads/main#abc --context-sub-path d --no-push",
            "-c s3://bucket/x --no-push",
            "-c /src",
            "--nothing",
            "-c",
            "x --no-push",
            "--no-push --digest-file d",
        ];
        let lines: Vec<_> = texts.iter().map(|text| format!("{text}\n  {}", shown(text))).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        --context dir:///src --destination r/a:1 -d r/b --build-arg A=1 --snapshot-mode=redo -v info
          build --progress=plain --tag r/a:1 --tag r/b --build-arg A=1 --push /src | --snapshot-mode --verbosity
        -c /src -f D --no-push --tar-path=o.tar --target t --single-snapshot --reproducible
          build --progress=plain --target t --file D --output type=docker,dest=o.tar --squash --build-arg SOURCE_DATE_EPOCH=0 /src |
        -c /src -d r.example:5000/a:1 --cache --cache-ttl 24h --skip-tls-verify --cleanup=true
          build --progress=plain --tag r.example:5000/a:1 --push --cache-from type=slipway,ref=r.example:5000/a/cache:slipway --cache-to type=slipway,ref=r.example:5000/a/cache:slipway --cache-ttl 24h --tls-verify=false /src | --cleanup
        -c /src -d r/a --cache=true --cache-repo oci:/c --no-push-cache --insecure-registry r
          build --progress=plain --tag r/a --push --cache-from type=slipway,src=/c --cache-ttl 336h --tls-verify=false /src |
        -c /src -d r/a --cache=false --custom-platform linux/arm64
          build --progress=plain --tag r/a --platform linux/arm64 --push /src |
        -c git://host/me/app.git#refs/heads/main#abc --context-sub-path d --no-push
          build --progress=plain https://host/me/app.git#abc:d |
        -c s3://bucket/x --no-push
          ERROR: context `s3://bucket/x` is not supported: `s3` is no scheme that slipway reads
        hint: bring the files first, and pass `dir://PATH`
        -c /src
          ERROR: no destination
        hint: give `--destination NAME`, or `--no-push`
        --nothing
          ERROR: unknown flag `--nothing`
        -c
          ERROR: flag `-c` needs a value
        x --no-push
          ERROR: unexpected argument `x`
        --no-push --digest-file d
          ERROR: there is no digest of an image that is not pushed
        hint: leave `--no-push` or the file out
        ");
    }
}
