//! Each layout with a fake clock.

use std::time::{Duration, SystemTime};

use engine::{Event, Step, StepId, Stream};
use image::Digest;
use proptest::prelude::*;

use super::plain::Plain;
use super::rawjson::RawJson;
use super::screen::{Colors, Screen};
use super::trace::Trace;
use super::tty::{self, Line, Size, View};
use super::windows::Windows;

fn at(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + ms)
}

fn announced(id: u32, name: &str) -> Event {
    let inputs = (id > 1).then(|| StepId(id - 1)).into_iter().collect();
    Event::Announced(Step { id: StepId(id), name: name.to_owned(), digest: Digest([id as u8; 32]), inputs })
}

fn started(id: u32, ms: u64) -> Event {
    Event::Started { step: StepId(id), at: at(ms) }
}

fn cached(id: u32, ms: u64) -> Event {
    Event::Cached { step: StepId(id), at: at(ms), age: Duration::from_secs(5) }
}

fn output(id: u32, ms: u64, text: &str) -> Event {
    let bytes = text.as_bytes().to_vec();
    Event::Output { step: StepId(id), stream: Stream::Stdout, bytes, at: at(ms) }
}

fn progressed(id: u32, ms: u64, current: u64, total: Option<u64>) -> Event {
    Event::Progressed { step: StepId(id), part: "transferring context:".into(), current, total, at: at(ms) }
}

fn done(id: u32, ms: u64) -> Event {
    Event::Completed { step: StepId(id), at: at(ms), error: None }
}

fn failed(id: u32, ms: u64) -> Event {
    let error = "process \"/bin/sh -c make\" did not complete successfully: exit code: 2";
    Event::Completed { step: StepId(id), at: at(ms), error: Some(error.to_owned()) }
}

/// A build of five steps of which the fourth fails, with the times of its events.
fn failing_build() -> Vec<(u64, Event)> {
    vec![
        (0, announced(1, "[internal] load build definition from Dockerfile")),
        (0, started(1, 0)),
        (1, done(1, 20)),
        (1, announced(2, "[1/3] FROM debian:12")),
        (1, announced(3, "[internal] load build context")),
        (1, announced(4, "[2/3] RUN make")),
        (1, announced(5, "[3/3] COPY . .")),
        (25, cached(2, 25)),
        (30, started(3, 30)),
        (30, progressed(3, 30, 0, Some(2_048_000))),
        (80, progressed(3, 80, 1_024_000, Some(2_048_000))),
        (130, progressed(3, 130, 2_048_000, Some(2_048_000))),
        (130, done(3, 130)),
        (140, started(4, 140)),
        (600, output(4, 600, "cc -c main.c\ncc -c ")),
        (900, output(4, 900, "util.c\n")),
        (1500, output(4, 1500, "util.c:3: error: expected ';'")),
        (1600, failed(4, 1600)),
    ]
}

/// What plain progress writes if it is flushed every 100 ms.
fn plain(events: &[(u64, Event)], end: u64) -> String {
    let mut plain = Plain::new();
    let mut text = String::new();
    let mut events = events.iter().peekable();
    for now in (0..=end).step_by(100) {
        while let Some((ms, event)) = events.next_if(|(ms, _)| *ms <= now) {
            plain.apply(event, at(*ms));
        }
        text += &plain.flush(at(now));
    }
    events.for_each(|(ms, event)| plain.apply(event, at(*ms)));
    text + &plain.finish(at(end))
}

#[test]
fn plain_progress_has_buildkits_layout() {
    insta::assert_snapshot!(plain(&failing_build(), 1700), @r#"
    #1 [internal] load build definition from Dockerfile
    #1 DONE 0.0s

    #2 [1/3] FROM debian:12
    #2 CACHED (5 seconds old)

    #3 [internal] load build context
    #3 transferring context: 1.02MB / 2.05MB 0.1s
    #3 transferring context: 2.05MB 0.1s done
    #3 DONE 0.1s

    #4 [2/3] RUN make
    #4 0.460 cc -c main.c
    #4 0.460 cc -c util.c
    #4 1.360 util.c:3: error: expected ';'
    #4 ERROR: process "/bin/sh -c make" did not complete successfully: exit code: 2
    ------
     > [2/3] RUN make:
    0.460 cc -c main.c
    0.460 cc -c util.c
    1.360 util.c:3: error: expected ';'
    ------
    "#);
}

#[test]
fn steps_at_the_same_time_take_turns() {
    let events = vec![
        (0, announced(1, "[a 1/1] RUN slow")),
        (0, announced(2, "[b 1/1] RUN quick")),
        (0, announced(3, "[c 1/1] RUN talkative")),
        (0, started(1, 0)),
        (0, started(2, 0)),
        (0, started(3, 0)),
        (50, output(1, 50, "a begins\n")),
        (150, output(3, 150, "c begins\n")),
        (250, output(2, 250, "b works\n")),
        (350, done(2, 350)),
        (450, output(1, 450, "a works\n")),
        (5400, output(1, 5400, "a still works\n")),
        (9000, output(3, 9000, "c ends\n")),
        (9010, done(3, 9010)),
        (9500, done(1, 9500)),
    ];
    insta::assert_snapshot!(plain(&events, 9600), @"
    #1 [a 1/1] RUN slow
    #1 0.050 a begins
    #1 ...

    #2 [b 1/1] RUN quick
    #2 0.250 b works
    #2 DONE 0.3s

    #3 [c 1/1] RUN talkative
    #3 0.150 c begins
    #3 ...

    #1 [a 1/1] RUN slow
    #1 0.450 a works
    #1 5.400 a still works
    #1 ...

    #3 [c 1/1] RUN talkative
    #3 9.000 c ends
    #3 DONE 9.0s

    #1 [a 1/1] RUN slow
    #1 DONE 9.5s
    ");
}

#[test]
fn what_still_runs_at_the_end_is_canceled() {
    let events =
        vec![(0, announced(1, "[1/1] RUN sleep 100")), (0, started(1, 0)), (10, output(1, 10, "zzz"))];
    insta::assert_snapshot!(plain(&events, 2000), @"
    #1 [1/1] RUN sleep 100
    #1 0.010 zzz
    #1 CANCELED
    ");
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("{}|\n", line.text)).collect()
}

/// The live view at a time.
fn view(events: &[(u64, Event)], now: u64, columns: usize, rows: usize, view: View) -> String {
    let (mut trace, mut windows) = (Trace::default(), Windows::default());
    for (_, event) in events.iter().filter(|(ms, _)| *ms <= now) {
        trace.apply(event);
        if let Event::Output { step, bytes, .. } = event {
            windows.write(*step, bytes);
        }
    }
    text(&tty::lines(&trace, &mut windows, at(now), Size { columns, rows }, view))
}

#[test]
fn the_live_view_has_buildkits_layout() {
    insta::assert_snapshot!(view(&failing_build(), 100, 80, 24, View::Live), @"
    [+] Building 0.1s (2/5)|
     => [internal] load build definition from Dockerfile                       0.0s|
     => CACHED [1/3] FROM debian:12 5 seconds old                              0.0s|
     => [internal] load build context                                          0.1s|
     => => transferring context: [==========>         ] 1.02MB / 2.05MB        0.1s|
    ");
    insta::assert_snapshot!(view(&failing_build(), 1550, 80, 24, View::Live), @"
    [+] Building 1.6s (3/5)|
     => [internal] load build definition from Dockerfile                       0.0s|
     => CACHED [1/3] FROM debian:12 5 seconds old                              0.0s|
     => [internal] load build context                                          0.1s|
     => => transferring context: 2.05MB / 2.05MB                               0.1s|
     => [2/3] RUN make                                                         1.4s|
     => => # cc -c main.c|
     => => # cc -c util.c|
     => => # util.c:3: error: expected ';'|
    ");
    insta::assert_snapshot!(view(&failing_build(), 1700, 80, 24, View::Last), @"
    [+] Building 1.7s (4/5)|
     => [internal] load build definition from Dockerfile                       0.0s|
     => CACHED [1/3] FROM debian:12 5 seconds old                              0.0s|
     => [internal] load build context                                          0.1s|
     => => transferring context: 2.05MB / 2.05MB                               0.1s|
     => ERROR [2/3] RUN make                                                   1.5s|
    ");
}

#[test]
fn the_live_view_fits_any_terminal() {
    for columns in 0..100 {
        for rows in 0..30 {
            for now in [0, 50, 100, 1550] {
                let shown = view(&failing_build(), now, columns, rows, View::Live);
                assert!(shown.lines().count() < rows.max(2), "{columns}x{rows}:\n{shown}");
                assert!(
                    shown.lines().all(|line| line.chars().count() <= columns.max(1)),
                    "{columns}x{rows}:\n{shown}"
                );
            }
        }
    }
    insta::assert_snapshot!(view(&failing_build(), 1550, 40, 5, View::Live), @"
    [+] Building 1.6s (3/5)|
     => [internal] load build context  0.1s|
     => => transferrin 2.05MB / 2.05MB 0.1s|
     => [2/3] RUN make                 1.4s|
    ");
}

#[test]
fn output_is_shown_as_a_terminal_would() {
    let mut windows = Windows::default();
    windows.write(StepId(1), b"one\ntwo\n 10%\r 50%\r100%\n\x1b[31mred\x1b[0m\n");
    assert_eq!(windows.rows(StepId(1), 20, 6), ["one", "two", "100%", "red"]);
    windows.write(StepId(1), b"1\n2\n3\n4\n5\n6\n7");
    assert_eq!(windows.rows(StepId(1), 20, 6), ["2", "3", "4", "5", "6", "7"]);
    assert_eq!(windows.rows(StepId(1), 20, 2), ["6", "7"]);
}

#[test]
fn a_frame_replaces_the_one_before() {
    let line = |text: &str| Line { text: text.to_owned(), style: tty::Style::Plain };
    let size = Size { columns: 20, rows: 10 };
    let mut terminal = vt100::Parser::new(10.try_into().unwrap(), 20.try_into().unwrap(), 0);
    let mut screen = Screen::new(Colors::On);
    let mut draw = |lines: &[Line]| {
        terminal.process(screen.draw(lines, size).replace('\n', "\r\n").as_bytes());
        terminal.screen().contents()
    };
    assert_eq!(
        draw(&[line("heading"), line("first step"), line("second step")]),
        "heading\nfirst step\nsecond step"
    );
    assert_eq!(draw(&[line("heading 2"), line("x")]), "heading 2\nx");
    assert_eq!(draw(&[line("heading 3"), line("y"), line("z")]), "heading 3\ny\nz");
    terminal.process(Screen::release().as_bytes());
    assert!(!terminal.screen().hide_cursor());
}

#[test]
fn a_narrower_window_has_wrapped_what_was_drawn() {
    let mut screen = Screen::new(Colors::Off);
    let line = Line { text: "x".repeat(30), style: tty::Style::Error };
    screen.draw(&[line.clone(), line.clone()], Size { columns: 40, rows: 20 });
    let text = screen.draw(&[line], Size { columns: 16, rows: 20 });
    assert!(text.starts_with("\x1b[?25l\x1b[4A\r"), "{text:?}");
}

#[test]
fn json_is_that_of_buildkit() {
    let mut state = RawJson::default();
    let mut text: String = failing_build().iter().map(|(_, event)| state.apply(event)).collect();
    let (rule, message) = ("StageNameCasing".into(), "stage name".into());
    text += &state.apply(&Event::Warned { rule, message, rendered: "a\nb".into() });
    text += &state.finish(at(2000));
    let keep = |line: &&str| !line.contains("\"completed\"") || line.contains("error");
    insta::assert_snapshot!(text.lines().filter(keep).collect::<Vec<_>>().join("\n"), @r#"
    {"vertexes":[{"digest":"sha256:0101010101010101010101010101010101010101010101010101010101010101","name":"[internal] load build definition from Dockerfile"}]}
    {"vertexes":[{"digest":"sha256:0101010101010101010101010101010101010101010101010101010101010101","name":"[internal] load build definition from Dockerfile","started":"2023-11-14T22:13:20Z"}]}
    {"vertexes":[{"digest":"sha256:0202020202020202020202020202020202020202020202020202020202020202","inputs":["sha256:0101010101010101010101010101010101010101010101010101010101010101"],"name":"[1/3] FROM debian:12"}]}
    {"vertexes":[{"digest":"sha256:0303030303030303030303030303030303030303030303030303030303030303","inputs":["sha256:0202020202020202020202020202020202020202020202020202020202020202"],"name":"[internal] load build context"}]}
    {"vertexes":[{"digest":"sha256:0404040404040404040404040404040404040404040404040404040404040404","inputs":["sha256:0303030303030303030303030303030303030303030303030303030303030303"],"name":"[2/3] RUN make"}]}
    {"vertexes":[{"digest":"sha256:0505050505050505050505050505050505050505050505050505050505050505","inputs":["sha256:0404040404040404040404040404040404040404040404040404040404040404"],"name":"[3/3] COPY . ."}]}
    {"vertexes":[{"digest":"sha256:0303030303030303030303030303030303030303030303030303030303030303","inputs":["sha256:0202020202020202020202020202020202020202020202020202020202020202"],"name":"[internal] load build context","started":"2023-11-14T22:13:20.03Z"}]}
    {"statuses":[{"id":"transferring context:","vertex":"sha256:0303030303030303030303030303030303030303030303030303030303030303","total":2048000,"current":0,"timestamp":"2023-11-14T22:13:20.03Z","started":"2023-11-14T22:13:20.03Z"}]}
    {"statuses":[{"id":"transferring context:","vertex":"sha256:0303030303030303030303030303030303030303030303030303030303030303","total":2048000,"current":1024000,"timestamp":"2023-11-14T22:13:20.08Z","started":"2023-11-14T22:13:20.03Z"}]}
    {"vertexes":[{"digest":"sha256:0404040404040404040404040404040404040404040404040404040404040404","inputs":["sha256:0303030303030303030303030303030303030303030303030303030303030303"],"name":"[2/3] RUN make","started":"2023-11-14T22:13:20.14Z"}]}
    {"logs":[{"vertex":"sha256:0404040404040404040404040404040404040404040404040404040404040404","stream":1,"data":"Y2MgLWMgbWFpbi5jCmNjIC1jIA==","timestamp":"2023-11-14T22:13:20.6Z"}]}
    {"logs":[{"vertex":"sha256:0404040404040404040404040404040404040404040404040404040404040404","stream":1,"data":"dXRpbC5jCg==","timestamp":"2023-11-14T22:13:20.9Z"}]}
    {"logs":[{"vertex":"sha256:0404040404040404040404040404040404040404040404040404040404040404","stream":1,"data":"dXRpbC5jOjM6IGVycm9yOiBleHBlY3RlZCAnOyc=","timestamp":"2023-11-14T22:13:21.5Z"}]}
    {"vertexes":[{"digest":"sha256:0404040404040404040404040404040404040404040404040404040404040404","inputs":["sha256:0303030303030303030303030303030303030303030303030303030303030303"],"name":"[2/3] RUN make","started":"2023-11-14T22:13:20.14Z","completed":"2023-11-14T22:13:21.6Z","error":"process \"/bin/sh -c make\" did not complete successfully: exit code: 2"}]}
    {"warnings":[{"level":1,"short":"U3RhZ2VOYW1lQ2FzaW5nOiBzdGFnZSBuYW1l","detail":["YQ==","Yg=="]}]}
    "#);
}

#[test]
fn lines_of_output_may_come_in_pieces_and_any_bytes() {
    let mut trace = Trace::with_lines();
    trace.apply(&announced(1, "x"));
    trace.apply(&started(1, 0));
    let long = "y".repeat(200_000);
    for piece in ["a", "b\nc\r\n", "\u{e9}", "\n", &long] {
        trace.apply(&output(1, 12_345, piece));
    }
    let step = trace.step_mut(StepId(1)).unwrap();
    let lines: Vec<_> = step.log.take_fresh().map(|line| line.chars().take(12).collect::<String>()).collect();
    assert_eq!(lines, ["12.35 ab", "12.35 c", "12.35 é", "12.35 yyyyyy", "12.35 yyyyyy", "12.35 yyyyyy"]);
}

/// Any order of output and ends of three steps that have begun.
fn anything() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let happening = (1..=3u32, 0..4000u64, prop_oneof![Just(None), "[a-z]{0,5}\n?".prop_map(Some)]);
    prop::collection::vec(happening, 0..60).prop_map(|happenings| {
        let mut events: Vec<_> =
            (1..=3).flat_map(|id| [(0, announced(id, "step")), (0, started(id, 0))]).collect();
        let mut now = 0;
        for (id, wait, text) in happenings {
            now += wait;
            events.push((now, text.map_or_else(|| done(id, now), |text| output(id, now, &text))));
        }
        events
    })
}

proptest! {
    #[test]
    fn plain_progress_loses_nothing_and_keeps_the_order(events in anything()) {
        let end = events.last().map_or(0, |(ms, _)| *ms);
        let shown = plain(&events, end);
        for id in 1..=3 {
            let mut written = String::new();
            for (_, event) in &events {
                match event {
                    Event::Output { step, bytes, .. } if *step == StepId(id) => {
                        written += std::str::from_utf8(bytes).unwrap();
                    }
                    // Nothing is expected of a step after its end, and it would be shown with the next line.
                    Event::Completed { step, .. } if *step == StepId(id) => break,
                    _ => {}
                }
            }
            let prefix = format!("#{id} ");
            let lines: Vec<_> = shown.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
            let texts = lines.iter().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
            let texts: Vec<_> = texts.map(|line| line.split_once(' ').unwrap().1).collect();
            let expected: Vec<_> = written.lines().collect();
            prop_assert!(texts.starts_with(&expected), "{texts:?} {expected:?}\n{shown}");
            prop_assert!(lines.iter().any(|line| line.starts_with("DONE") || *line == "CANCELED"), "{shown}");
        }
    }

    #[test]
    fn no_view_panics_or_is_too_wide(events in anything(), columns in 0..120usize, rows in 0..40usize) {
        let end = events.last().map_or(0, |(ms, _)| *ms);
        for kind in [View::Live, View::Last] {
            let shown = view(&events, end, columns, rows, kind);
            prop_assert!(shown.lines().all(|line| line.chars().count() <= columns.max(1)), "{shown}");
        }
    }
}
