//! Filters of the history, as BuildKit's clients write them: `status==error,startedAt>1h`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use regex::bytes::{Regex, RegexBuilder};
use tonic::Status;

const IS: &str = "==";
const IS_NOT: &str = "!=";
/// How a text is compared, in containerd's words; the last is a pattern.
const SIGNS: [&str; 3] = [IS, IS_NOT, "~="];
/// What a pattern may take once it is compiled.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Filters of one request.
const FILTERS_MAX: usize = 64;

/// What filters look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) name: &'a str,
    /// `running`, `completed`, `error` or `canceled`.
    pub(super) status: &'a str,
    /// Where the files of the build are from, if its client says so.
    pub(super) repository: Option<&'a str>,
    pub(super) began: SystemTime,
    pub(super) ended: Option<SystemTime>,
}

/// Any of several lists, of which all conditions hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter(Vec<Vec<Condition>>);

#[derive(Debug, Clone)]
enum Condition {
    Text {
        field: Field,
        wanted: Wanted,
    },
    /// Seconds since 1970.
    Time {
        of: Moment,
        order: Order,
        unix_s: i64,
    },
    Duration {
        order: Order,
        duration: Duration,
    },
}

#[derive(Debug, Clone)]
enum Wanted {
    This(String),
    Another(String),
    /// A text in which the pattern is found.
    Like(Regex),
}

impl Wanted {
    fn is(&self, found: &str) -> bool {
        match self {
            Self::This(value) => found == value,
            Self::Another(value) => found != value,
            Self::Like(pattern) => pattern.is_match(found.as_bytes()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Field {
    Name,
    Status,
    Repository,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    Began,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Order {
    AtLeast,
    AtMost,
    More,
    Less,
}

impl Order {
    fn holds<T: Copy + PartialOrd>(self, value: T, than: T) -> bool {
        match self {
            Self::AtLeast => value >= than,
            Self::AtMost => value <= than,
            Self::More => value > than,
            Self::Less => value < than,
        }
    }
}

/// The longer ones first.
const ORDERS: [(&str, Order); 4] =
    [(">=", Order::AtLeast), ("<=", Order::AtMost), (">", Order::More), ("<", Order::Less)];

impl Filter {
    /// Reads what a client wants; `now` is what durations count back from.
    pub(super) fn parse(lists: &[String], now: SystemTime) -> Result<Self, Status> {
        if lists.len() > FILTERS_MAX {
            return Err(Status::invalid_argument(format!("more than {FILTERS_MAX} filters of the history")));
        }
        let one = |list: &String| {
            let texts = list.split(',').map(str::trim).filter(|text| !text.is_empty());
            texts.map(|text| condition(text, now)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self(lists.iter().map(one).collect::<Result<_, _>>()?))
    }

    /// Without filters everything passes.
    pub(super) fn passes(&self, facts: &Facts<'_>) -> bool {
        self.0.is_empty() || self.0.iter().any(|all| all.iter().all(|condition| condition.holds(facts)))
    }
}

impl Condition {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Text { field, wanted } => {
                let found = match field {
                    Field::Name => Some(facts.name),
                    Field::Status => Some(facts.status),
                    Field::Repository => facts.repository,
                };
                // What is not there is neither, as in containerd.
                found.is_some_and(|found| wanted.is(found))
            }
            Self::Time { of, order, unix_s } => {
                let time = match of {
                    Moment::Began => Some(facts.began),
                    Moment::Ended => facts.ended,
                };
                order.holds(time.map_or(0, seconds), *unix_s)
            }
            Self::Duration { order, duration } => {
                let took = facts.ended.and_then(|ended| ended.duration_since(facts.began).ok());
                order.holds(took.unwrap_or_default(), *duration)
            }
        }
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn condition(text: &str, now: SystemTime) -> Result<Condition, Status> {
    let wrong = || Status::invalid_argument(format!("invalid filter of the history: `{text}`"));
    let ordered = ORDERS.iter().find_map(|(sign, order)| {
        let (name, value) = text.split_once(sign)?;
        matches!(name, "startedAt" | "completedAt" | "duration").then_some((name, *order, value))
    });
    if let Some((name, order, value)) = ordered {
        if name == "duration" {
            return Ok(Condition::Duration { order, duration: go_duration(value).ok_or_else(wrong)? });
        }
        let of = if name == "startedAt" { Moment::Began } else { Moment::Ended };
        let unix_s = match go_duration(value) {
            Some(ago) => now.checked_sub(ago).map_or(0, seconds),
            None => value.parse::<Timestamp>().map_err(|_| wrong())?.as_second(),
        };
        return Ok(Condition::Time { of, order, unix_s });
    }
    let found = SIGNS.into_iter().find_map(|sign| Some((text.split_once(sign)?, sign)));
    let ((name, value), sign) = found.ok_or_else(wrong)?;
    let value = value.trim_matches('"');
    let field = match name {
        "ref" => Field::Name,
        "status" => Field::Status,
        "repository" => Field::Repository,
        _ => return Err(wrong()),
    };
    let wanted = match sign {
        IS => Wanted::This(value.to_owned()),
        IS_NOT => Wanted::Another(value.to_owned()),
        _ => {
            let mut pattern = RegexBuilder::new(value);
            Wanted::Like(pattern.unicode(false).size_limit(PATTERN_BYTES_MAX).build().map_err(|_| wrong())?)
        }
    };
    Ok(Condition::Text { field, wanted })
}

/// `1h30m`, as Go's `time.ParseDuration`, without signs and fractions.
fn go_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 6] = [
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total_ns) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let (unit, ns) = UNITS.iter().find(|(unit, _)| rest[digits..].starts_with(unit))?;
        total_ns = total_ns.checked_add(number.checked_mul(*ns)?)?;
        rest = &rest[digits + unit.len()..];
    }
    (!text.is_empty()).then(|| Duration::from_nanos(total_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, expected_ms) in [
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("2s", Some(2000)),
            ("0", Some(0)),
            ("5", None),
            ("", None),
            ("xs", None),
        ] {
            assert_eq!(go_duration(text), expected_ms.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn any_list_of_which_all_conditions_hold_lets_pass() {
        let at = |unix_s| UNIX_EPOCH + Duration::from_secs(unix_s);
        let facts = Facts {
            name: "b",
            status: "error",
            repository: None,
            began: at(1_000_000),
            ended: Some(at(1_000_090)),
        };
        for (filters, expected) in [
            (&[][..], true),
            (&["status==error"], true),
            (&["status!=error"], false),
            (&["status==completed", "ref==b"], true),
            (&["status==error,ref==c"], false),
            (&["status==error,duration>1m"], true),
            (&["duration>=1m31s"], false),
            (&["startedAt<1h"], true),
            (&["startedAt>1h"], false),
            (&["completedAt<=1970-01-12T13:48:10Z"], true),
            (&["completedAt<1970-01-12T13:48:10Z"], false),
            (&["repository!=x"], false),
            (&["status~=^e.*r$"], true),
            (&["status~=^r"], false),
            (&["ref~=\"[ab]\",status==error"], true),
        ] {
            let filters: Vec<String> = filters.iter().map(|text| (*text).to_owned()).collect();
            let filter = Filter::parse(&filters, at(2_000_000)).unwrap();
            assert_eq!(filter.passes(&facts), expected, "{filters:?}");
        }
        for wrong in ["status", "color==red", "startedAt>soon", "duration<x", "ref~=(", "ref~=a{9999}{9999}"]
        {
            let refused = Filter::parse(&[wrong.to_owned()], at(0)).unwrap_err();
            assert_eq!(refused.message(), format!("invalid filter of the history: `{wrong}`"));
        }
    }
}
