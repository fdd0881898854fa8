//! The names of the steps of a stage.

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
        self.index += 1;
        let width = self.total.to_string().len();
        let word = |word: &str| if word.is_empty() { String::new() } else { format!("{word} ") };
        let (platform, stage) = (word(&self.platform), word(&self.stage));
        let trigger = if self.is_trigger { "ONBUILD " } else { "" };
        format!("[{platform}{stage}{:>width$}/{}] {trigger}{name}", self.index, self.total)
    }

    /// The stage for grouping.
    pub(super) fn stage_label(&self) -> String {
        self.stage.clone()
    }
}
