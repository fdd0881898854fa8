//! As `buildah`, for what it builds: `bud`, `build` and what goes along with them.

use super::Translated;
use crate::report::Report;

/// Its names of building.
const BUILD: [&str; 3] = ["bud", "build", "build-using-dockerfile"];
/// Commands that are the same here.
const SAME: [&str; 9] = ["images", "inspect", "login", "logout", "pull", "push", "rmi", "tag", "version"];
/// Flags without a counterpart that stand alone: each layer is kept here in any case, and containers are removed.
const SWITCHES: [&str; 7] =
    ["--force-rm", "--layers", "--omit-history", "--rm", "--rusage", "--logsplit", "--tls-details"];
/// Those with a value.
const VALUES: [&str; 9] = [
    "--format",
    "--isolation",
    "--jobs",
    "--log-level",
    "--runtime",
    "--signature-policy",
    "--storage-driver",
    "--storage-opt",
    "--retry",
];

/// Buildah's arguments as ours.
pub(super) fn translate(words: &[String]) -> Result<Translated, Report> {
    let (mut own, mut ignored, mut command) = (Vec::new(), Vec::new(), None);
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or(word);
        if SWITCHES.contains(&name) {
            ignored.push(name.to_owned());
        } else if VALUES.contains(&name) {
            ignored.push(name.to_owned());
            if !word.contains('=') {
                words.next();
            }
        } else if command.is_none() && !word.starts_with('-') {
            command = Some(word.clone());
            own.insert(0, counterpart(word)?.to_owned());
        } else {
            own.push(word.clone());
        }
    }
    if command.is_none() {
        return Err(Report::mistake("no command").hint("`buildah build [OPTIONS] [CONTEXT]`"));
    }
    Ok(Translated { words: own, ignored, digests: None })
}

fn counterpart(command: &str) -> Result<&str, Report> {
    if BUILD.contains(&command) {
        return Ok("build");
    }
    if SAME.contains(&command) {
        return Ok(command);
    }
    let message = format!("slipway has no counterpart of `buildah {command}`");
    Err(Report::mistake(message).hint("what it has: `slipway --help`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_a_build() {
        let shown = |text: &str| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            match translate(&words) {
                Ok(Translated { words, ignored, .. }) => {
                    format!("{} | {}", words.join(" "), ignored.join(" "))
                }
                Err(report) => report.text().trim_end().to_owned(),
            }
        };
        assert_eq!(
            shown("--storage-driver vfs bud --layers --isolation=chroot -t a -f D ."),
            "build -t a -f D . | --storage-driver --layers --isolation"
        );
        assert_eq!(shown("push a b"), "push a b | ");
        assert!(shown("mount x").contains("no counterpart of `buildah mount`"));
    }
}
