//! How text is read: lines, directives, here-documents. What needs exact bytes is here, the rest is in
//! `testdata/frontend`.

use frontend::ast::{CommandLine, Kind};
use frontend::{Diagnostic, parse};
use proptest::prelude::*;

use crate::support::Case;

/// The instructions of all stages on one line each, as the parser joined them, and what is wrong.
fn read(text: &str) -> String {
    let parsed = parse(text);
    let mut lines: Vec<String> = Vec::new();
    for stage in &parsed.dockerfile.stages {
        lines.push(format!("{} FROM {}", stage.line, stage.from.base.value));
        for instruction in &stage.instructions {
            lines.push(format!("{} {}", instruction.line, instruction.code));
            if let Kind::Run(run) = &instruction.kind {
                lines.extend(run.documents.iter().map(|document| format!("  {:?}", document.text())));
            }
        }
    }
    lines.extend(parsed.dockerfile.empty_continuations.iter().map(|at| format!("empty line at {at}")));
    lines.extend(parsed.diagnostics.iter().map(|it| format!("{}: {}", it.rule, it.message)));
    lines.join("\n")
}

#[test]
fn no_option_of_a_mount_has_a_zero_byte() {
    for option in ["id=a\0b", "id=a,target=/a\0b", "id=a,env=A\0", "id=a,mode=0400\0"] {
        let shown = Case::new(&format!("FROM scratch\nRUN --mount=type=secret,{option} x\n")).show();
        assert!(shown.contains("error InvalidMount 2:13"), "{shown}");
        assert!(shown.contains("has a zero byte"), "{shown}");
    }
}

#[test]
fn line_ends_and_bom_do_not_count() {
    let unix = "# escape=`\nFROM a\nRUN x `\n  y\nRUN <<E\nz\nE\n";
    let expected = read(unix);
    insta::assert_snapshot!(expected, @r#"
    2 FROM a
    3 RUN x   y
    5 RUN <<E
      "z\n"
    "#);
    assert_eq!(read(&format!("\u{feff}{unix}")), expected);
    assert_eq!(read(&unix.replace('\n', "\r\n")).replace("\\r", ""), expected);
    assert_eq!(read(unix.trim_end()), expected);
}

#[test]
fn continuations() {
    insta::assert_snapshot!(read("FROM a\nRUN a\\\nb \\  \n# c\n\t# d\n  e\nRUN f \\\\\nRUN g \\"), @r"
    1 FROM a
    2 RUN ab   e
    7 RUN f \\
    8 RUN g
    ");
    insta::assert_snapshot!(read("FROM a\n\\\nRUN b\n  \\\n\n"), @r"
    1 FROM a
    2 RUN b
    empty line at 19
    ");
}

#[test]
fn keywords_in_any_case() {
    insta::assert_snapshot!(read("from a As b\nrUn x\ncopy --FROM=b x y"), @r"
    1 FROM a
    2 rUn x
    UnknownFlag: `COPY` has no flag `--FROM`
    ");
}

#[test]
fn directives_stand_at_the_top() {
    let directives = |text: &str| {
        let parsed = parse(text);
        let directives = parsed.dockerfile.directives.iter();
        let all: Vec<_> = directives.map(|it| format!("{}={}", it.name, it.value.value)).collect();
        format!("{} {} {:?}", all.join(","), parsed.dockerfile.escape, rules(&parsed.diagnostics))
    };
    for (text, expected) in [
        ("# syntax=docker/dockerfile:1\n#escape = `\nFROM a", r#"syntax=docker/dockerfile:1,escape=` ` []"#),
        ("#SYNTAX=x\n# check=skip=all;error=true\nFROM a", r#"syntax=x,check=skip=all;error=true \ []"#),
        ("# hello\n# escape=`\nFROM a", r#" \ []"#),
        ("# other=1\n# escape=`\nFROM a", r#" \ []"#),
        ("\n# escape=`\nFROM a", r#" \ []"#),
        ("FROM a\n# escape=`", r#" \ []"#),
        ("# escape=x\nFROM a", r#"escape=x \ ["InvalidEscape"]"#),
        ("# escape=`\n# escape=\\\nFROM a", r#"escape=` ` ["DuplicateDirective"]"#),
        ("# escape=\nFROM a", r#" \ []"#),
    ] {
        assert_eq!(directives(text), expected, "{text}");
    }
}

fn rules(diagnostics: &[Diagnostic]) -> Vec<&'static str> {
    diagnostics.iter().map(|diagnostic| diagnostic.rule).collect()
}

#[test]
fn here_documents_are_found_where_the_shell_finds_them() {
    insta::assert_snapshot!(read("FROM a\nRUN echo '<<A' \"<<B\" \\<<C 3<<D\nd\nD\nRUN [\"<<E\"]\nUSER <<F\nRUN a <<G <<-H\ng\nG\n\th\n\tH\nRUN cat <<<x"), @r#"
    1 FROM a
    2 RUN echo '<<A' "<<B" \<<C 3<<D
      "d\n"
    5 RUN ["<<E"]
    6 USER <<F
    7 RUN a <<G <<-H
      "g\n"
      "h\n"
    12 RUN cat <<<x
    "#);
}

#[test]
fn exec_form_is_json() {
    let forms = |text: &str| {
        let parsed = parse(&format!("FROM a\nCMD {text}"));
        match parsed.dockerfile.stages[0].instructions.first().map(|instruction| &instruction.kind) {
            Some(Kind::Cmd(CommandLine::Exec(argv))) => format!("exec {argv:?}"),
            Some(Kind::Cmd(CommandLine::Shell(line))) => format!("shell {}", line.value),
            _ => format!("{:?}", rules(&parsed.diagnostics)),
        }
    };
    for (text, expected) in [
        (r#"["a", "b\u0041\n"]"#, r#"exec ["a", "bA\n"]"#),
        ("[]", "exec []"),
        (r#"  [ "a" ]  "#, r#"exec ["a"]"#),
        (r#"["a"] b"#, r#"shell ["a"] b"#),
        ("['a']", "shell ['a']"),
        ("[a]", "shell [a]"),
        (r#"["a", 1]"#, r#"["NotStrings"]"#),
        (r#"[["a"]]"#, r#"["NotStrings"]"#),
        ("[null]", r#"["NotStrings"]"#),
    ] {
        assert_eq!(forms(text), expected, "{text}");
    }
}

#[test]
fn nothing_to_build() {
    for (text, expected) in [
        ("", "Empty"),
        ("\n# only a comment\n", "Empty"),
        ("ARG A=1", "NoStage"),
        ("RUN x", "NoStage"),
        ("RUN x\nRUN y\nFROM a", "NoStage"),
        ("X", "UnknownInstruction"),
    ] {
        assert_eq!(rules(&parse(text).diagnostics), [expected], "{text}");
    }
}

#[test]
fn spans_cross_continuations() {
    let text = "FROM a\nCOPY --from=x \\\n  one \\\n# comment\n  two/three \\\n  /dest";
    let parsed = parse(text);
    let Kind::Copy(copy) = &parsed.dockerfile.stages[0].instructions[0].kind else { panic!("a COPY") };
    for word in copy.sources.iter().chain([&copy.destination]).chain(&copy.from) {
        assert_eq!(&text[word.span.clone()], word.value);
    }
}

/// Text that is nearly a Dockerfile.
fn dockerfiles() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "FROM ",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV ",
        "ARG ",
        "LABEL ",
        "ONBUILD ",
        "WORKDIR ",
        "HEALTHCHECK ",
        "CMD ",
        "EXPOSE ",
        "SHELL ",
        "VOLUME ",
        "USER ",
        "STOPSIGNAL ",
        "a",
        "b",
        "scratch",
        " AS ",
        "=",
        "$a",
        "${a:-b}",
        "${a",
        "\"",
        "'",
        "\\",
        "\\\n",
        "\n",
        "\n",
        "\n",
        "\r\n",
        " ",
        " ",
        "\t",
        "#",
        "<<E",
        "\nE\n",
        "[\"a\"]",
        "[",
        "--from=",
        "--mount=type=cache,target=/x",
        "--",
        "0",
        "80-90",
        "/",
        "..",
        "é",
        "\u{feff}",
        "\0",
        "NONE",
        "--interval=1s ",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Nothing panics on the whole way, and every place is one in the text.
    #[test]
    fn any_text_is_read(text in dockerfiles()) {
        let parsed = parse(&text);
        for diagnostic in &parsed.diagnostics {
            prop_assert!(text.get(diagnostic.span.clone()).is_some(), "{diagnostic:?}");
        }
        for stage in &parsed.dockerfile.stages {
            for instruction in &stage.instructions {
                prop_assert!(text.get(instruction.span.clone()).is_some(), "{instruction:?}");
            }
        }
        let case = Case::new(&format!("FROM scratch\n{text}"));
        let check = case.inquiry().check(&case.bases);
        prop_assert!(check.text().len() + check.json().len() > 0);
        let _ = (case.inquiry().outline(&case.bases), case.inquiry().targets(), frontend::format(&text));
        Case::new(&text).show();
        Case::new(&format!("FROM scratch\n{text}")).show();
    }
}
