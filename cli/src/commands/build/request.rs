//! From arguments and environment to what the engine is asked to do.

use std::collections::BTreeMap;
use std::env;
use std::num::NonZeroUsize;

use engine::Explaining;
use engine::images::PushAs;
use engine::remote_cache::{CacheExport, InlineCache, KeptLayers, RemoteCaches};
use engine::report::Reporting;
use engine::{
    Agents, BuildRequest, Context, Entitlement, ImageOutput, LocalMode, LocalOutput, NamedContext, Network,
    NoCache, Output, Provenance,
};

use image::Platform;

use super::super::EPOCH_NAME;
use super::annotation::AnnotationSpec;
use super::attest::AttestSpec;
use super::cache_auto::Auto;
use super::caches::ToSpec;
use super::destination::{OutputSpec, goes_to_stdout};
use super::environment::Environment;
use super::named_context::named_contexts;
use super::secret;
use super::sources::sources;
use super::squash::SquashArg;
use super::ssh::{self, SshSpec};
use super::{Args, CacheArg};
use crate::console;
use crate::report::Report;

/// Names of variables that say which proxy to use; each also in lower case.
const PROXY_NAMES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// What the arguments ask for.
pub(super) fn from(args: Args) -> Result<BuildRequest, Report> {
    let build_args = build_args(&args.build_arg)?;
    let (context, dockerfile) = sources(&args.path, args.file)?;
    let auto = match args.cache {
        CacheArg::Auto => Auto::of(&Environment::of_process()),
        CacheArg::None => Auto::default(),
    };
    if let Some(remark) = &auto.remark {
        console::print_error(remark);
    }
    let (cache_from, cache_to) = ([args.cache_from, auto.from].concat(), [args.cache_to, auto.to].concat());
    let is_cache_only = args.output.contains(&OutputSpec::CacheOnly);
    let outputs = annotated(outputs(args.output, args.push)?, args.annotation)?;
    let tags = tags(args.tag)?;
    let shorthands = args.provenance.map(|it| it.0).into_iter().chain(args.sbom.map(|it| it.0));
    let (provenance, sbom) = attested(args.attest.into_iter().chain(shorthands), &outputs)?;
    check_pushes(&outputs, &tags)?;
    let named_contexts = named_contexts(&args.build_context)?;
    check_deletions(&outputs, &context, &named_contexts)?;
    // Nothing but the cache shall remember it: neither a name nor what a name promises.
    let tags = if is_cache_only && !args.load { Vec::new() } else { tags };
    Ok(BuildRequest {
        agents: agents(args.ssh, &context)?,
        context,
        dockerfile,
        named_contexts,
        target: args.target,
        // Who asks for the host's network for all steps has allowed it.
        entitlements: args
            .allow
            .into_iter()
            .chain((args.network == Network::Host).then_some(Entitlement::NetworkHost))
            .collect(),
        secrets: secret::read(args.secret)?,
        build_args,
        labels: labels(&args.label)?,
        tags,
        cache_ttl: args.cache_ttl,
        context_mode: args.context_mode.into(),
        reporting: Reporting::Off,
        explaining: Explaining::First,
        no_cache: no_cache(args.no_cache, args.no_cache_filter),
        platforms: distinct(args.platform),
        pull: args.pull.into(),
        proxy_env: proxy_env(),
        network: args.network,
        surroundings: args.surroundings.into(),
        resources: args.limits.into(),
        squash: args.squash.map(|SquashArg(squash)| squash),
        max_layers: args.max_layers.map(NonZeroUsize::get),
        provenance,
        sbom,
        caches: RemoteCaches {
            imports: cache_from.into_iter().flat_map(|spec| spec.0).collect(),
            inline: if cache_to.contains(&ToSpec::Inline) {
                InlineCache::Present
            } else {
                InlineCache::Absent
            },
            exports: exports(cache_to),
            layers: if is_cache_only { KeptLayers::Needed } else { KeptLayers::All },
            mounts: args.cache_mounts.into(),
            wait: args.cache_wait.into(),
        },
        outputs,
    })
}

/// A context behind ssh needs the user's agent, whether or not that was said, as in buildx.
fn agents(specs: Vec<SshSpec>, context: &Context) -> Result<Agents, Report> {
    let needs_one = matches!(context, Context::Remote(remote) if remote.needs_agent());
    match specs.is_empty() && needs_one {
        true => Ok(ssh::of_user()),
        false => ssh::read(specs),
    }
}

/// The caches that are not the image itself.
fn exports(specs: Vec<ToSpec>) -> Vec<CacheExport> {
    let export = |spec| match spec {
        ToSpec::Inline => None,
        ToSpec::Export(export) => Some(export),
    };
    specs.into_iter().filter_map(export).collect()
}

/// The build arguments. The environment also says the time of the result, as with buildx.
pub(in crate::commands) fn build_args(texts: &[String]) -> Result<BTreeMap<String, String>, Report> {
    let mut build_args = given_args(texts)?;
    if let Some(time) = variable(EPOCH_NAME)? {
        build_args.entry(EPOCH_NAME.to_owned()).or_insert(time);
    }
    Ok(build_args)
}

/// `NAME=VALUE`, or `NAME` for the value of the environment; a name without a value anywhere is not set.
fn given_args(texts: &[String]) -> Result<BTreeMap<String, String>, Report> {
    let mut build_args = BTreeMap::new();
    for text in texts {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text.as_str(), variable(text)?),
        };
        if name.is_empty() {
            return Err(Report::mistake(format!(
                "invalid build argument `{text}`, expected NAME=VALUE or NAME"
            )));
        }
        match value {
            Some(value) => drop(build_args.insert(name.to_owned(), value)),
            None => drop(build_args.remove(name)),
        }
    }
    Ok(build_args)
}

/// `--no-cache` covers every stage, so a filter beside it changes nothing.
fn no_cache(everything: bool, stages: Vec<String>) -> NoCache {
    match everything {
        true => NoCache::Everything,
        false if stages.is_empty() => NoCache::Nothing,
        false => NoCache::Stages(stages),
    }
}

fn variable(name: &str) -> Result<Option<String>, Report> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(Report::mistake(format!("the value of `{name}` in the environment is not UTF-8")))
        }
    }
}

fn labels(texts: &[String]) -> Result<Vec<(String, String)>, Report> {
    let label = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.trim().is_empty() {
            return Err(Report::mistake(format!("invalid label `{text}`, expected NAME=VALUE")));
        }
        Ok((name.to_owned(), value.to_owned()))
    };
    texts.iter().map(label).collect()
}

fn tags(tags: Vec<image::Reference>) -> Result<Vec<image::Reference>, Report> {
    match tags.iter().find(|tag| tag.digest().is_some()) {
        Some(tag) => Err(Report::mistake(format!("invalid tag `{}`: it has a digest", tag.familiar()))),
        None => Ok(tags),
    }
}

pub(in crate::commands) fn proxy_env() -> Vec<(String, String)> {
    let names = PROXY_NAMES.iter().flat_map(|name| [(*name).to_owned(), name.to_lowercase()]);
    names.filter_map(|name| Some((name.clone(), env::var(name).ok()?))).collect()
}

/// A directory whose other files are deleted may not have what is built from.
fn check_deletions(
    outputs: &[Output],
    context: &Context,
    named: &BTreeMap<String, NamedContext>,
) -> Result<(), Report> {
    let of_named = named.values().filter_map(|context| match context {
        NamedContext::Directory(path) | NamedContext::Layout { path, .. } => Some(path),
        _ => None,
    });
    let of_context = match context {
        Context::Directory(path) => Some(path),
        _ => None,
    };
    let sources: Vec<_> =
        of_context.into_iter().chain(of_named).filter_map(|it| it.canonicalize().ok()).collect();
    for output in outputs {
        let Output::Local(LocalOutput { directory, mode: LocalMode::Delete, .. }) = output else { continue };
        // One that is not there yet has nothing to lose.
        let Ok(whole) = directory.canonicalize() else { continue };
        if let Some(source) = sources.iter().find(|source| source.starts_with(&whole)) {
            let (whole, source) = (directory.display(), source.display());
            return Err(Report::mistake(format!(
                "`mode=delete` in `{whole}` would delete the context `{source}`"
            ))
            .hint("name a directory of its own with `dest=DIRECTORY`"));
        }
    }
    Ok(())
}

/// What the outputs come to, with `--push` and `--load`.
fn outputs(specs: Vec<OutputSpec>, push: bool) -> Result<Vec<Output>, Report> {
    let export = |spec| match spec {
        OutputSpec::Export(output) => Some(output),
        OutputSpec::Store | OutputSpec::CacheOnly => None,
    };
    let mut outputs: Vec<_> = specs.into_iter().filter_map(export).collect();
    if push {
        let images = outputs.iter_mut().filter_map(|output| match output {
            Output::Image(image) => Some(image),
            _ => None,
        });
        let mut count = 0;
        for image in images {
            count += 1;
            image.push = image.push.or(Some(PushAs::Tag));
        }
        if count == 0 {
            outputs.push(Output::Image(ImageOutput { push: Some(PushAs::Tag), ..ImageOutput::default() }));
        }
    }
    match outputs.iter().filter(|output| goes_to_stdout(output)).count() {
        0 => Ok(outputs),
        1 if console::stdout_is_terminal() => {
            Err(Report::mistake("refusing to write an archive to a terminal")
                .hint("name a file with `dest=FILE`, or redirect standard output"))
        }
        1 => Ok(outputs),
        _ => Err(Report::mistake("more than one output goes to standard output")),
    }
}

/// Annotations are in documents that images have when they leave.
fn annotated(mut outputs: Vec<Output>, specs: Vec<AnnotationSpec>) -> Result<Vec<Output>, Report> {
    let annotations: Vec<_> = specs.into_iter().flat_map(|AnnotationSpec(annotations)| annotations).collect();
    if annotations.is_empty() {
        return Ok(outputs);
    }
    let mut forms = outputs.iter_mut().filter_map(Output::form_mut).peekable();
    if forms.peek().is_none() {
        return Err(Report::mistake(
            "annotations are in an image's manifest, which it has where it leaves the store",
        )
        .hint("add `--push`, or `--output type=oci,dest=FILE`"));
    }
    for form in forms {
        // What an output says itself comes last, and so wins.
        let own = std::mem::take(&mut form.annotations.0);
        form.annotations.0 = [annotations.clone(), own].concat();
    }
    Ok(outputs)
}

/// What is attested; of each kind the last wins.
fn attested(
    specs: impl Iterator<Item = AttestSpec>,
    outputs: &[Output],
) -> Result<(Option<Provenance>, bool), Report> {
    let (mut provenance, mut sbom) = (None, false);
    for spec in specs {
        match spec {
            AttestSpec::Provenance(wanted) => provenance = wanted,
            AttestSpec::Sbom(wanted) => sbom = wanted,
        }
    }
    if (provenance.is_some() || sbom) && !outputs.iter().any(Output::is_described) {
        let message = "attestations are beside an image's manifest, which it has where it leaves the store";
        return Err(Report::mistake(message).hint("add `--push`, or `--output type=oci,dest=FILE`"));
    }
    Ok((provenance, sbom))
}

/// Each platform once, in the order of the user.
fn distinct(platforms: Vec<Platform>) -> Vec<Platform> {
    let mut distinct = Vec::new();
    for platform in platforms {
        if !distinct.contains(&platform) {
            distinct.push(platform);
        }
    }
    distinct
}

/// What is pushed needs a name.
fn check_pushes(outputs: &[Output], tags: &[image::Reference]) -> Result<(), Report> {
    let is_nameless = |output: &Output| match output {
        Output::Image(image) => image.push.is_some() && image.names.is_empty() && tags.is_empty(),
        _ => false,
    };
    match outputs.iter().any(is_nameless) {
        true => Err(Report::mistake("tag is needed when pushing to registry")
            .hint("name the image with `--tag NAME`")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_arguments_need_a_name() {
        let texts = ["A=1", "B=", "A=2", "SLIPWAY_SURELY_NOT_SET"].map(str::to_owned);
        let expected = [("A", "2"), ("B", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(given_args(&texts), Ok(BTreeMap::from(expected)));
        assert!(given_args(&["=x".to_owned()]).is_err());
    }

    #[test]
    fn labels_may_be_empty() {
        let texts = ["a=b=c", "d"].map(str::to_owned);
        let expected = [("a", "b=c"), ("d", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(labels(&texts), Ok(expected.to_vec()));
        assert!(labels(&["=v".to_owned()]).is_err());
    }
}
