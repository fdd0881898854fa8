//! Signals by their names and numbers.

/// SIGTERM.
pub const TERM: i32 = 15;
/// SIGKILL.
pub const KILL: i32 = 9;
/// The highest number of a signal of the kernel.
const SIGNALS_MAX: i32 = 64;
/// `SIGRTMIN` as Docker counts it.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// Names and numbers, see signal(7); those of x86 and ARM.
const NAMES: [(&str, i32); 35] = [
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", KILL),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", TERM),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("UNUSED", 31),
];

/// The number of a signal: `TERM`, `SIGTERM`, `15`, `RTMIN+3`; empty is SIGTERM. None when there is no such signal.
pub fn parse(text: &str) -> Option<i32> {
    if text.is_empty() {
        return Some(TERM);
    }
    if let Ok(number) = text.parse::<i32>() {
        return (1..=SIGNALS_MAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => RTMIN,
        (Some(more), _) => RTMIN + more.strip_prefix('+')?.parse::<i32>().ok()?,
        (_, Some("")) => RTMAX,
        (_, Some(less)) => RTMAX - less.strip_prefix('-')?.parse::<i32>().ok()?,
        (None, None) => return None,
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        let numbers = ["", "TERM", "sigterm", "15", "KILL", "SIGRTMIN+3", "RTMAX-1", "64"].map(parse);
        assert_eq!(numbers.map(Option::unwrap_or_default), [15, 15, 15, 15, 9, 37, 63, 64]);
        for wrong in ["NOPE", "0", "65", "-1", "RTMIN+40", "RTMIN-1", "SIG", "RTMIN+99999999999"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
