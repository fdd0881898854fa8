//! `STOPSIGNAL`.

use crate::suggest::nearest;

/// Linux signals, see signal(7).
const SIGNALS: [&str; 36] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

/// Last offset from `RTMIN`, and first towards `RTMAX`, that have names.
const REAL_TIME_OFFSET_MAX: u8 = 15;

/// Whether Docker takes the text as a signal: a number, or a name with or without `SIG`.
pub(super) fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i32>() {
        return number != 0;
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, max: u8| rest.parse::<u8>().is_ok_and(|offset| (1..=max).contains(&offset));
    SIGNALS.contains(&name)
        || name.strip_prefix("RTMIN+").is_some_and(|rest| offset(rest, REAL_TIME_OFFSET_MAX))
        || name.strip_prefix("RTMAX-").is_some_and(|rest| offset(rest, REAL_TIME_OFFSET_MAX - 1))
}

/// The signal that was meant.
pub(super) fn near(text: &str) -> Option<String> {
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    nearest(name, SIGNALS).map(|name| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for text in ["9", "SIGTERM", "term", "sigkill", "RTMIN+3", "SIGRTMAX-14", "-1"] {
            assert!(is_signal(text), "{text}");
        }
        for text in ["", "0", "SIG", "SIGNOPE", "RTMIN+16", "RTMAX-0"] {
            assert!(!is_signal(text), "{text}");
        }
        assert_eq!(near("SIGTREM").as_deref(), Some("SIGTERM"));
    }
}
