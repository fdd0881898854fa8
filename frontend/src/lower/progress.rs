//! The names of the steps of a stage.

use image::Platform;

use crate::environment::{Environment, Variables};

/// Numbers the steps of a stage.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// As shown; empty when there is only one stage.
    pub(super) stage: String,
    /// As shown; empty when the build is for one platform.
    pub(super) platform: String,
    pub(super) index: usize,
    pub(super) total: usize,
    pub(super) is_trigger: bool,
}

impl Progress {
    /// `[build 2/5] RUN make`.
    pub(super) fn next(&mut self, name: &str) -> String {
        self.next_for(&Environment::default(), name)
    }

    /// The same for a step that sees variables: those of another platform say for what the stage compiles,
    /// `[linux/amd64->arm64 build 2/5] RUN make`.
    pub(super) fn next_for(&mut self, variables: &Environment, name: &str) -> String {
        self.index += 1;
        let width = self.total.to_string().len();
        let word = |word: &str| if word.is_empty() { String::new() } else { format!("{word} ") };
        let other =
            if self.platform.is_empty() { String::new() } else { other_target(&self.platform, variables) };
        let (platform, stage) = (word(&format!("{}{other}", self.platform)), word(&self.stage));
        let trigger = if self.is_trigger { "ONBUILD " } else { "" };
        format!("[{platform}{stage}{:>width$}/{}] {trigger}{name}", self.index, self.total)
    }

    /// The stage for grouping.
    pub(super) fn stage_label(&self) -> String {
        self.stage.clone()
    }
}

/// `->arm64` where the variables of a step name another platform than that of its stage, as BuildKit shows it.
fn other_target(platform: &str, variables: &Environment) -> String {
    let Ok(own) = platform.parse::<Platform>() else { return String::new() };
    let given = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let named = ["TARGETOS", "TARGETARCH", "TARGETVARIANT"].map(given);
    let target = match (given("TARGETPLATFORM").and_then(|text| text.parse().ok()), named) {
        (Some(target), _) => target,
        (None, [None, None, None]) => return String::new(),
        (None, [os, architecture, variant]) => Platform {
            os: os.unwrap_or(&own.os).to_owned(),
            architecture: architecture.unwrap_or(&own.architecture).to_owned(),
            variant: variant.map(str::to_owned),
        }
        .normalized(),
    };
    match (target.os == own.os, target.architecture == own.architecture, &target.variant) {
        (false, ..) => format!("->{target}"),
        (true, true, _) => String::new(),
        (true, false, Some(variant)) => format!("->{}/{variant}", target.architecture),
        (true, false, None) => format!("->{}", target.architecture),
    }
}
