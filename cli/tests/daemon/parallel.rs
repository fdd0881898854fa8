//! Builds at the same time.

use crate::client::Served;

/// Stages that do not wait for one another, and fail when two of them run at once.
fn alone(count: usize) -> String {
    let stage = |number: usize| {
        format!(
            "FROM base AS s{number}\nRUN --mount=type=cache,id=alone,target=/c \
             mkdir /c/one && sleep 0.1 && rm -r /c/one && touch /s{number}\n"
        )
    };
    let stages: String = (0..count).map(stage).collect();
    let copies: String = (0..count).map(|number| format!("COPY --from=s{number} /s{number} /\n")).collect();
    format!("{stages}FROM base\nARG N\n{copies}")
}

#[test]
fn steps_of_all_builds_together_are_limited() {
    let Some(served) = Served::start(&["--max-parallelism=1"]) else { return };
    let context = served.home.context(&alone(4), &[]);
    let build = || served.build(&["--no-cache", &context]);
    std::thread::scope(|scope| {
        let others = [scope.spawn(build), scope.spawn(build)];
        others.into_iter().for_each(|other| drop(other.join().unwrap()));
    });
}
