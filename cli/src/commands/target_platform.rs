//! `--platform` of builds.

use image::{Platform, PlatformError};

/// The word for the platform of this machine, as in buildx.
const LOCAL: &str = "local";

/// `os[/arch[/variant]]`, or `local`.
pub(super) fn parse_platform(text: &str) -> Result<Platform, PlatformError> {
    if text == LOCAL { Ok(engine::default_platform()) } else { text.parse() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_is_this_machine() {
        assert_eq!(parse_platform("local"), Ok(engine::default_platform()));
        assert_eq!(parse_platform("linux/riscv64").map(|it| it.to_string()).as_deref(), Ok("linux/riscv64"));
        assert!(parse_platform("local/amd64/a/b").is_err());
    }
}
