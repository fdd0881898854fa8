//! Formatting: what it changes, that it changes nothing else, and that once is enough.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use frontend::{format, parse};
use proptest::prelude::*;
use regex::Regex;

/// What a text says, without places, the case of keywords and the blanks of the text as a whole.
fn tree(text: &str) -> String {
    static PLACES: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(span|marker): \d+\.\.\d+|line: \d+").expect("a pattern"));
    let mut dockerfile = parse(text).dockerfile;
    dockerfile.comments.clear();
    dockerfile.empty_continuations.clear();
    let strip = |instruction: &mut frontend::ast::Instruction| {
        instruction.code.clear();
        instruction.keyword.value.to_mut().make_ascii_uppercase();
        if let frontend::ast::Kind::Onbuild(onbuild) = &mut instruction.kind {
            onbuild.instruction.iter_mut().for_each(|it| it.code.clear());
        }
    };
    dockerfile.global_args.iter_mut().for_each(strip);
    for stage in &mut dockerfile.stages {
        let stage = std::sync::Arc::make_mut(stage);
        stage.keyword.value.to_mut().make_ascii_uppercase();
        stage.from.as_keyword.iter_mut().for_each(|keyword| keyword.value.make_ascii_uppercase());
        stage.instructions.iter_mut().for_each(strip);
    }
    PLACES.replace_all(&format!("{dockerfile:#?}"), "").into_owned()
}

/// The formatted text, after looking at it closely.
fn formatted(text: &str) -> String {
    let once = format(text).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
    assert_eq!(tree(&once), tree(text), "{once}");
    assert_eq!(format(&once).as_ref(), Ok(&once), "formatting twice");
    let comments = |text: &str| text.lines().filter(|line| line.trim_start().starts_with('#')).count();
    assert_eq!(comments(&once), comments(text), "comments\n{once}");
    once
}

#[test]
fn words_and_keywords() {
    insta::assert_snapshot!(formatted("from   debian:12   as  Build\n\n\n\n  run   apt-get   update\n\tcopy --from=x\t a  b   c/\nexpose 80    443\narg A=1   B='x  y'\n"), @"
    FROM debian:12 AS Build

    RUN apt-get   update
    COPY --from=x a b c/
    EXPOSE 80 443
    ARG A=1 B='x  y'
    ");
}

#[test]
fn directives_comments_and_empty_lines() {
    insta::assert_snapshot!(formatted("\n#SYNTAX = x\n\n\n# a\n   # b  \nFROM a\n\n\n"), @"
    #SYNTAX = x

    # a
    # b
    FROM a
    ");
    insta::assert_snapshot!(formatted("#SYNTAX = docker/dockerfile:1\n#  escape=`\n#check=skip=all\nFROM a\nRUN b `\n c\n"), @"
    # syntax=docker/dockerfile:1
    # escape=`
    # check=skip=all
    FROM a
    RUN b `
     c
    ");
    insta::assert_snapshot!(formatted("\n\nFROM a"), @"FROM a");
}

#[test]
fn continued_lines() {
    insta::assert_snapshot!(formatted("FROM a\nRUN --mount=type=cache,target=/x \\\n  --network=none   \\\n# why\n\n   make   \\  \n\t -j4  \\\n  # inside\n   && true\nENV A=1 \\\nB=\"x \\\n  y\" \\\n\n      C=3\nCOPY \\\na \\\n b/\nRUN last \\\n# the end\n"), @r#"
    FROM a
    RUN --mount=type=cache,target=/x \
        --network=none \
        # why
        make   \
    	 -j4  \
      # inside
       && true
    ENV A=1 \
        B="x \
      y" \
        C=3
    COPY \
        a \
        b/
    RUN last
    # the end
    "#);
}

#[test]
fn a_word_that_looks_like_a_comment_gets_no_line_of_its_own() {
    insta::assert_snapshot!(formatted("FROM a\n\\\n  # why\n\n# what\nRUN   #h\nRUN #i \\\n# in\n x\n"), @r"
    FROM a
    \
    # why
    # what
    RUN #h
    RUN #i \
    # in
     x
    ");
}

#[test]
fn json_lists() {
    insta::assert_snapshot!(formatted("FROM a\nCMD [  \"a\",\"b c\"  ,\"\\u0041\"]\nENTRYPOINT [ \"x\", \\\n\"y\" \\\n]\nVOLUME [\"/a\"]\nHEALTHCHECK --interval=1s   cmd   [\"x\"]\nSHELL   [ \"/bin/bash\" , \"-c\" ]\nCMD [\"not json\",]\n"), @r#"
    FROM a
    CMD ["a", "b c", "\u0041"]
    ENTRYPOINT ["x", \
        "y" \
        ]
    VOLUME ["/a"]
    HEALTHCHECK --interval=1s CMD ["x"]
    SHELL ["/bin/bash", "-c"]
    CMD ["not json",]
    "#);
}

#[test]
fn here_documents_stay() {
    insta::assert_snapshot!(formatted("FROM a\nrun   <<EOF   cat\n  x   \n\n\n# no comment\nEOF\ncopy   <<A   <<-'B'  /d/\none\nA\n\ttwo\n\tB\n\n\nonbuild   run   <<C\n  c\nC"), @"
    FROM a
    RUN <<EOF   cat
      x   


    # no comment
    EOF
    COPY <<A <<-'B' /d/
    one
    A
    	two
    	B

    ONBUILD run   <<C
      c
    C
    ");
}

#[test]
fn values_that_go_into_the_image_stay() {
    insta::assert_snapshot!(formatted("FROM a\nENV  a   b   c\nonbuild   copy   a    b\nWORKDIR   /a  b\nUSER   x\nMAINTAINER   a   <b>\nLABEL   a='b   c'   d=\\ e\n"), @r"
    FROM a
    ENV a b   c
    ONBUILD copy   a    b
    WORKDIR /a  b
    USER x
    MAINTAINER a   <b>
    LABEL a='b   c' d=\ e
    ");
    assert_eq!(
        formatted("FROM a\r\nrun  b\r\n\r\n\r\nRUN <<E\r\nx\r\nE\r\n"),
        "FROM a\r\nRUN b\r\n\r\nRUN <<E\r\nx\r\nE\r\n"
    );
    assert_eq!(formatted("\u{feff}FROM a"), "FROM a\n");
    assert_eq!(formatted("FROM a\nUSER b\\\u{a0}\nUSER c\n"), "FROM a\nUSER b\\\u{a0}\nUSER c\n");
}

#[test]
fn blanks_and_breaks_that_mean_something_stay() {
    for (text, expected) in [
        // The second character continues a file that ends here; the first one is the command.
        ("FROM a\nRUN \\  \\\n", "FROM a\nRUN \\  \\\n"),
        // An escaped blank would be part of the name.
        ("FROM a\nENV \\  x=1\n", "FROM a\nENV \\  x=1\n"),
        // Behind a continuation a comment describes nothing.
        ("FROM a\n# x\n\\\n # y\nARG z\n", "FROM a\n# x\nARG \\\n    # y\n    z\n"),
    ] {
        assert_eq!(formatted(text), expected);
    }
}

#[test]
fn what_is_no_dockerfile_is_left_alone() {
    assert!(format("FROM a\nRNU b\n").is_err());
    assert!(format("").is_err());
}

#[test]
fn fixtures_keep_their_meaning() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/frontend");
    let mut count = 0;
    for entry in fs::read_dir(directory).expect("the fixtures are there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a fixture");
        let dockerfile =
            text.split("--- Dockerfile\n").nth(1).and_then(|rest| rest.split("--- becomes\n").next());
        let dockerfile = dockerfile.expect("a Dockerfile");
        if format(dockerfile).is_ok() {
            formatted(dockerfile);
            count += 1;
        }
    }
    assert!(count > 60, "{count} fixtures can be formatted");
}

/// Dockerfiles in all their forms, most of them without errors.
fn dockerfiles() -> impl Strategy<Value = String> {
    let gap = || {
        prop::sample::select(vec![
            " ",
            " ",
            " ",
            "  ",
            "\t",
            " \\\n",
            " \\\n  ",
            "\\\n ",
            " \\  \n\t",
            " \\\n# c\n  ",
            " \\\n\n   ",
            " \\\r\n ",
            "\\\n",
            " \\\n\\\n ",
            "\u{a0} ",
        ])
    };
    let word = || {
        prop::sample::select(vec![
            "a",
            "b/c",
            "x=1",
            "y=\"q  r\"",
            "z='s t'",
            "\\ ",
            "e\\",
            "$v",
            "${v:-w}",
            "#h",
            "--",
            "--from=s",
            "[\"j\"]",
            "[ \"k\" ,\"l\" ]",
            "<<E",
            "é",
            "80",
            "CMD",
            "as",
            "\"open",
            "[",
            "&&",
            "\"m \\\nn\"",
        ])
    };
    let keyword = prop::sample::select(vec![
        "FROM",
        "from",
        "RUN",
        "run",
        "COPY",
        "Add",
        "ENV",
        "LABEL",
        "ARG",
        "CMD",
        "entrypoint",
        "EXPOSE",
        "VOLUME",
        "USER",
        "WORKDIR",
        "HEALTHCHECK",
        "ONBUILD RUN",
        "ONBUILD copy",
        "STOPSIGNAL",
        "SHELL",
        "MAINTAINER",
        "# comment",
        "#",
        "",
        "  ",
        "HEALTHCHECK CMD",
        "COPY <<E",
        "RUN <<-E",
    ]);
    let end = prop::sample::select(vec![
        "\n",
        "\n",
        "\n\n",
        "  \n",
        "\r\n",
        " \\\n",
        "\\\n# d\n",
        "\nE\n",
        "\n\tx\n\tE\n",
        "\u{a0}\n",
    ]);
    let arguments = prop::collection::vec((gap(), word()), 0..4);
    let line = (keyword, arguments, end).prop_map(|(keyword, arguments, end)| {
        let arguments: String = arguments.iter().map(|(gap, word)| format!("{gap}{word}")).collect();
        format!("{keyword}{arguments}{end}")
    });
    let head = prop::sample::select(vec![
        "FROM a\n",
        "# escape=`\nFROM a\n",
        "\n\n# x\nFROM a AS s\n",
        "ARG v\nFROM a\n",
    ]);
    (head, prop::collection::vec(line, 0..4)).prop_map(|(head, lines)| format!("{head}{}", lines.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn formatting_keeps_the_meaning(text in dockerfiles()) {
        if format(&text).is_ok() {
            formatted_quietly(&text)?;
        }
    }
}

/// The same promises for generated files, where the lines of here-documents can look like comments.
fn formatted_quietly(text: &str) -> Result<(), TestCaseError> {
    let once = format(text).map_err(|errors| TestCaseError::fail(format!("{errors:?}")))?;
    prop_assert_eq!(tree(&once), tree(text), "{:?}", once);
    let twice = format(&once);
    prop_assert_eq!(twice.as_ref(), Ok(&once), "{:?}", once);
    let comments = parse(text).dockerfile.comments.len();
    prop_assert_eq!(parse(&once).dockerfile.comments.len(), comments, "{:?}", once);
    Ok(())
}
