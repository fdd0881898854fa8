//! Any text: read, rendered, formatted, planned, lowered. Nothing panics, every place is one in the text, and what is formatted
//! stays as it is.

#![no_main]

use std::collections::BTreeMap;

use frontend::{PlanOptions, format, parse, plan, render};
use image::{ImageConfig, Platform};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parsed = parse(text);
    for diagnostic in &parsed.diagnostics {
        assert!(text.get(diagnostic.span.clone()).is_some(), "{diagnostic:?}");
        render(diagnostic, "Dockerfile", text);
    }
    if let Ok(formatted) = format(text) {
        assert_eq!(format(&formatted).as_ref(), Ok(&formatted));
    }
    let platform: Platform = "linux/amd64".parse().expect("a platform");
    let options = PlanOptions::new(platform.clone());
    let Ok(plan) = plan(&parsed.dockerfile, &options) else { return };
    // The base brings triggers of its own: the text once more.
    let mut config = ImageConfig::empty(&platform);
    config.config.on_build = vec![text.to_owned()];
    let images = plan.base_images().iter();
    let bases: BTreeMap<_, _> = images
        .map(|image| ((image.reference.clone(), image.platform.clone()), config.clone()))
        .collect();
    if let Ok(lowered) = plan.lower(&bases) {
        assert!(lowered.target.index() < lowered.graph.len());
        assert!(lowered.history_vertices.len() <= lowered.config.history.len());
    }
});
