//! `slipway system df`.

use std::time::SystemTime;

use engine::space::{DiskUsage, ImageUsage, UsageItem};

use super::images::created_since;
use super::prune::SIZE_DIGITS;
use crate::arguments::Global;
use crate::console;
use crate::output::{Format, Headers, NONE, size, truncate_id};
use crate::report::{Exit, Report};
use crate::store;
use crate::template::Value;

const TABLE: &str = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const HEADERS: &Headers = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];
const IMAGES: &str = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}";
const IMAGE_HEADERS: &Headers = &[
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("Size", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Containers", "CONTAINERS"),
];
const CACHE: &str = "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}\t{{.Description}}";
const CACHE_HEADERS: &Headers = &[
    ("ID", "CACHE ID"),
    ("CacheType", "CACHE TYPE"),
    ("Size", "SIZE"),
    ("CreatedSince", "CREATED"),
    ("LastUsedSince", "LAST USED"),
    ("UsageCount", "USAGE"),
    ("Shared", "SHARED"),
    ("Description", "DESCRIPTION"),
];
/// Columns of a step that the table shows.
const DESCRIPTION_COLUMNS_MAX: usize = 60;

/// Show disk usage of images and the build cache
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway system df [OPTIONS]", help_template = super::HELP)]
pub(crate) struct Args {
    #[arg(long, value_name = "FORMAT", help = super::LIST_FORMAT_HELP)]
    format: Option<String>,
    /// Show detailed information on space usage
    #[arg(short, long)]
    verbose: bool,
}

/// Shows what the store takes.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let source = args.format.as_deref().unwrap_or("table");
    let format = Format::parse(source, TABLE)?;
    let usage = store::open(global)?.disk_usage()?;
    if args.verbose && args.format.is_none() {
        return console::print(&verbose(&usage, SystemTime::now())?);
    }
    console::print(&format.render(&rows(&usage), HEADERS)?)
}

fn rows(usage: &DiskUsage) -> Vec<Value> {
    let images_active = usage.images.iter().filter(|image| image.is_in_use).count();
    let cache_active = usage.cache.iter().filter(|item| item.is_in_use).count();
    let with_percent = |bytes: u64, of: u64| match (u128::from(bytes) * 100).checked_div(u128::from(of)) {
        Some(percent) => format!("{} ({percent}%)", size(bytes, SIZE_DIGITS)),
        None => size(bytes, SIZE_DIGITS),
    };
    let reclaimable = with_percent(usage.images_reclaimable_bytes(), usage.images_bytes);
    let cache_reclaimable = size(usage.cache_reclaimable_bytes(), SIZE_DIGITS);
    vec![
        row("Images", usage.images.len(), images_active, usage.images_bytes, &reclaimable),
        // Both end with the process that made them.
        row("Containers", 0, 0, 0, "0B"),
        row("Local Volumes", 0, 0, 0, "0B"),
        row("Build Cache", usage.cache.len(), cache_active, usage.cache_bytes(), &cache_reclaimable),
    ]
}

fn row(kind: &str, total: usize, active: usize, bytes: u64, reclaimable: &str) -> Value {
    Value::record([
        ("Type", Value::from(kind)),
        ("TotalCount", Value::from(total.to_string())),
        ("Active", Value::from(active.to_string())),
        ("Size", Value::from(size(bytes, SIZE_DIGITS))),
        ("Reclaimable", Value::from(reclaimable)),
    ])
}

fn verbose(usage: &DiskUsage, now: SystemTime) -> Result<String, Report> {
    let images: Vec<Value> = usage.images.iter().flat_map(|image| image_rows(image, now)).collect();
    let cache: Vec<Value> = usage.cache.iter().map(|item| cache_row(item, now)).collect();
    let images = Format::parse(IMAGES, IMAGES)?.render(&images, IMAGE_HEADERS)?;
    let cache = Format::parse(CACHE, CACHE)?.render(&cache, CACHE_HEADERS)?;
    let total = size(usage.cache_bytes(), SIZE_DIGITS);
    Ok(format!("Images space usage:\n\n{images}\nBuild cache usage: {total}\n\n{cache}"))
}

/// A row for each name, or one for an image without any.
fn image_rows(image: &ImageUsage, now: SystemTime) -> Vec<Value> {
    let names = image.references.iter();
    let mut names: Vec<_> = names
        .map(|reference| (reference.familiar_name(), reference.tag().unwrap_or(NONE).to_owned()))
        .collect();
    if names.is_empty() {
        names.push((NONE.to_owned(), NONE.to_owned()));
    }
    let unique = image.size_bytes.saturating_sub(image.shared_bytes);
    let row = |(repository, tag): (String, String)| {
        Value::record([
            ("Repository", Value::from(repository)),
            ("Tag", Value::from(tag)),
            ("ID", Value::from(truncate_id(&image.id.to_string()))),
            ("CreatedSince", Value::from(created_since(image.created_unix_s, now))),
            ("Size", Value::from(size(image.size_bytes, SIZE_DIGITS))),
            ("SharedSize", Value::from(size(image.shared_bytes, SIZE_DIGITS))),
            ("UniqueSize", Value::from(size(unique, SIZE_DIGITS))),
            ("Containers", Value::from(if image.is_in_use { "1" } else { "0" })),
        ])
    };
    names.into_iter().map(row).collect()
}

fn cache_row(item: &UsageItem, now: SystemTime) -> Value {
    let since = |time: Option<i64>| time.map(|time| created_since(time, now)).unwrap_or_default();
    let description = crate::output::ellipsis(&item.description, DESCRIPTION_COLUMNS_MAX);
    Value::record([
        ("ID", Value::from(truncate_id(&item.id))),
        ("CacheType", Value::from(DiskUsage::kind_name(item.kind))),
        ("Size", Value::from(size(item.size_bytes, SIZE_DIGITS))),
        ("CreatedSince", Value::from(since(item.created_unix_s))),
        ("LastUsedSince", Value::from(since(item.used_unix_s))),
        ("UsageCount", Value::from(item.records.to_string())),
        ("Shared", Value::from(if item.images > 0 { "true" } else { "false" })),
        ("Description", Value::from(description)),
    ])
}
