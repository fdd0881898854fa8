//! `slipway images`.

use std::time::{Duration, SystemTime};

use engine::images::{Filters, ImageSummary};
use image::Reference;

use crate::arguments::Global;
use crate::console;
use crate::output::{Format, Headers, NONE, age, local, size, truncate_id};
use crate::report::{Exit, Report};
use crate::store;
use crate::template::Value;

const TABLE: &str = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const TABLE_WITH_DIGESTS: &str =
    "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const QUIET: &str = "{{.ID}}";
const HEADERS: &Headers = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];
/// What is not counted: images here know neither containers nor what they share.
const NOT_KNOWN: &str = "N/A";
/// Significant digits of a size, and of the one that Docker calls virtual.
const SIZE_DIGITS: usize = 3;
const VIRTUAL_SIZE_DIGITS: usize = 4;

/// List images
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway images [OPTIONS] [REPOSITORY[:TAG]]",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway image ls, slipway image list, slipway images"
)]
pub(crate) struct Args {
    /// Only images whose name matches
    #[arg(value_name = "REPOSITORY[:TAG]", hide = true)]
    name: Option<String>,
    /// Show all images (here there are no intermediate ones to hide)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided (before, dangling, label, reference, since, until)
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    #[arg(long, value_name = "FORMAT", help = super::LIST_FORMAT_HELP)]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
}

/// Lists images.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let source = args.format.as_deref().unwrap_or("table");
    let format = Format::parse(source, default_table(args))?;
    let pattern = args.name.as_ref().map(|name| format!("reference={name}"));
    let filters = Filters::parse(args.filter.iter().chain(&pattern).map(String::as_str))?;
    let images = store::open(global)?.list_images(&filters)?;
    let with_digests = args.digests || source.contains("{{.Digest}}");
    let rows = rows(&images, args, with_digests, SystemTime::now());
    console::print(&format.render(&rows, HEADERS)?)
}

fn default_table(args: &Args) -> &'static str {
    match (args.quiet, args.digests) {
        (true, _) => QUIET,
        (false, true) => TABLE_WITH_DIGESTS,
        (false, false) => TABLE,
    }
}

/// A row for each name, or one for an image without any.
fn rows(images: &[ImageSummary], args: &Args, with_digests: bool, now: SystemTime) -> Vec<Value> {
    let mut rows = Vec::new();
    for image in images {
        for name in names(&image.references, with_digests) {
            rows.push(row(image, &name, args.no_trunc, now));
        }
    }
    if args.quiet {
        rows.dedup();
    }
    rows
}

struct Name {
    repository: String,
    tag: String,
    digest: String,
}

/// The names that rows show: each tag, with the digests of its repository if they are asked for; digests of a
/// repository without tags.
fn names(references: &[Reference], with_digests: bool) -> Vec<Name> {
    let none = || NONE.to_owned();
    let mut names = Vec::new();
    for reference in references.iter().filter(|reference| reference.digest().is_none()) {
        let (repository, tag) = (reference.familiar_name(), reference.tag().unwrap_or(NONE).to_owned());
        let digests = digests_of(references, &repository);
        if !with_digests || digests.is_empty() {
            names.push(Name { repository, tag, digest: none() });
            continue;
        }
        for digest in digests {
            names.push(Name { repository: repository.clone(), tag: tag.clone(), digest });
        }
    }
    for reference in references {
        let repository = reference.familiar_name();
        if let Some(digest) = reference.digest()
            && !names.iter().any(|name| name.repository == repository && name.tag != NONE)
        {
            names.push(Name { repository, tag: none(), digest: digest.to_string() });
        }
    }
    if names.is_empty() {
        names.push(Name { repository: none(), tag: none(), digest: none() });
    }
    names
}

fn digests_of(references: &[Reference], repository: &str) -> Vec<String> {
    let same = references.iter().filter(|reference| reference.familiar_name() == repository);
    same.filter_map(|reference| reference.digest()).map(ToString::to_string).collect()
}

fn row(image: &ImageSummary, name: &Name, no_trunc: bool, now: SystemTime) -> Value {
    let id = image.id.to_string();
    let id = if no_trunc { id } else { truncate_id(&id) };
    Value::record([
        ("Containers", Value::from(NOT_KNOWN)),
        ("CreatedAt", Value::from(local(image.created_unix_s))),
        ("CreatedSince", Value::from(created_since(image.created_unix_s, now))),
        ("Digest", Value::from(name.digest.as_str())),
        ("ID", Value::from(id)),
        ("Repository", Value::from(name.repository.as_str())),
        ("SharedSize", Value::from(NOT_KNOWN)),
        ("Size", Value::from(size(image.size_bytes, SIZE_DIGITS))),
        ("Tag", Value::from(name.tag.as_str())),
        ("UniqueSize", Value::from(NOT_KNOWN)),
        ("VirtualSize", Value::from(size(image.size_bytes, VIRTUAL_SIZE_DIGITS))),
    ])
}

/// `3 weeks ago`
pub(crate) fn created_since(created_unix_s: i64, now: SystemTime) -> String {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let created = u64::try_from(created_unix_s).unwrap_or(0);
    format!("{} ago", age(Duration::from_secs(now.saturating_sub(created))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(texts: &[&str], with_digests: bool) -> String {
        let references: Vec<Reference> = texts.iter().map(|text| text.parse().unwrap()).collect();
        let names = names(&references, with_digests);
        let lines = names.iter().map(|name| {
            let digest: String = name.digest.chars().take(10).collect();
            format!("{} {} {digest}\n", name.repository, name.tag)
        });
        lines.collect()
    }

    #[test]
    fn each_name_is_a_row() {
        let digest = format!("a@sha256:{}", "1".repeat(64));
        let other = format!("c@sha256:{}", "2".repeat(64));
        let names = ["a:1", "a:2", "localhost:5000/b", &digest, &other];
        insta::assert_snapshot!(shown(&names, false), @"
        a 1 <none>
        a 2 <none>
        localhost:5000/b latest <none>
        c <none> sha256:222
        ");
        insta::assert_snapshot!(shown(&names, true), @"
        a 1 sha256:111
        a 2 sha256:111
        localhost:5000/b latest <none>
        c <none> sha256:222
        ");
        insta::assert_snapshot!(shown(&[], true), @"<none> <none> <none>");
    }
}
