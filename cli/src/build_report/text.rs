//! Texts of the page: escaped, and with units.

use engine::report::StepResult;

const MILLISECOND_US: u64 = 1_000;
const SECOND_US: u64 = 1_000_000;
const MINUTE_US: u64 = 60 * SECOND_US;

/// A text in HTML and SVG. Characters that neither can hold become blanks.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// As much of a text as fits into so many characters.
pub(super) fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}

/// `350 µs`, `12 ms`, `1.20 s`, `2 m 03 s`
pub(super) fn time(us: u64) -> String {
    match us {
        0 => "0".to_owned(),
        _ if us < MILLISECOND_US => format!("{us} µs"),
        _ if us < 10 * MILLISECOND_US => format!("{:.1} ms", us as f64 / MILLISECOND_US as f64),
        _ if us < SECOND_US => format!("{} ms", us / MILLISECOND_US),
        _ if us < MINUTE_US => format!("{:.2} s", us as f64 / SECOND_US as f64),
        _ => format!("{} m {:02} s", us / MINUTE_US, us % MINUTE_US / SECOND_US),
    }
}

/// The name of a result in classes of the style sheet and in sentences.
pub(super) fn result(result: StepResult) -> &'static str {
    match result {
        StepResult::Source => "source",
        StepResult::Cached => "cached",
        StepResult::Ran => "ran",
        StepResult::Failed => "failed",
        StepResult::NotNeeded => "not-needed",
        StepResult::Internal => "internal",
    }
}

/// `[build 2/5] RUN make`: the stage, and the rest. A job of the engine's own is of no stage.
pub(super) fn stage(name: &str) -> &str {
    let place = name.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map(|(place, _)| place);
    match place {
        // `[internal] load build context`, `[2/3] RUN make`, `[build 2/3] RUN make`
        Some("internal") => "internal",
        Some(place) => place.rsplit_once(' ').map_or("", |(stage, _)| stage),
        None => "",
    }
}
