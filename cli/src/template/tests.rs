//! Templates against what Go makes of them, and against anything.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Functions, Template, Value};

const EXPECTED: &str = include_str!("../../../testdata/cli/template/expected.jsonl");

fn texts(items: &[&str]) -> Value {
    Value::List(items.iter().map(|item| Value::from(*item)).collect())
}

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// The value that `testdata/cli/template/make.go` shows.
fn data() -> Value {
    let created = |text: &str| Value::record([("CreatedBy", Value::from(text))]);
    Value::record([
        ("Id", Value::from("sha256:0123456789abcdef")),
        ("Size", Value::Int(74_800_000)),
        ("Ratio", Value::Float(2.5)),
        ("Tiny", Value::Float(0.000_000_12)),
        ("Ready", Value::Bool(true)),
        ("Empty", Value::from("")),
        ("Tags", texts(&["demo:latest", "demo:v1"])),
        ("Numbers", Value::List(vec![Value::Int(3), Value::Int(1), Value::Int(2)])),
        (
            "Config",
            Value::record([
                ("User", Value::from("")),
                ("Env", texts(&["PATH=/bin", "LANG=C"])),
                ("Cmd", texts(&["sh", "-c", "echo hi"])),
                ("Entrypoint", Value::NilList),
                ("Labels", map(&[("b", Value::from("2")), ("a", Value::from("<1>"))])),
                ("OnBuild", Value::NilMap),
                ("ExposedPorts", map(&[("80/tcp", Value::record([]))])),
                ("Healthcheck", Value::Nil),
            ]),
        ),
        ("History", Value::List(vec![created("COPY . ."), created("RUN make")])),
    ])
}

fn show(template: &str) -> Result<String, String> {
    let template = Template::parse(template).map_err(|error| error.to_string())?;
    template.render(&data(), Functions::Values).map_err(|error| error.to_string())
}

/// Where our message says the same in other words: only that there is one, and its place, are compared.
fn place(message: &str) -> String {
    message.split_inclusive(' ').take(2).collect::<String>().trim_end_matches([' ', ':']).to_owned()
}

#[test]
fn templates_show_what_go_shows() {
    let mut wrong = Vec::new();
    for line in EXPECTED.lines() {
        let case: BTreeMap<String, String> = serde_json::from_str(line).unwrap();
        let template = &case["template"];
        match (show(template), case.get("output"), case.get("error")) {
            (Ok(shown), Some(output), _) if shown == *output => {}
            (Err(message), _, Some(error)) if message == *error || place(&message) == place(error) => {}
            (shown, ..) => wrong.push(format!("{template:?}\n  ours {shown:?}\n  Go's {case:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), EXPECTED.lines().count(), wrong.join("\n"));
}

#[test]
fn messages_are_those_of_go() {
    insta::assert_snapshot!(show("{{.Foo}}").unwrap_err(), @r#"template: :1:2: executing "" at <.Foo>: map has no entry for key "Foo""#);
    insta::assert_snapshot!(show("{{nofunc .Id}}").unwrap_err(), @r#"template: :1: function "nofunc" not defined"#);
    insta::assert_snapshot!(show("a\n{{.Id").unwrap_err(), @"template: :2: unclosed action");
    insta::assert_snapshot!(show("{{if .Id}}x").unwrap_err(), @"template: :1: unexpected EOF");
}

#[test]
fn headers_keep_their_titles() {
    let headers = map(&[("ID", Value::from("IMAGE ID")), ("Tag", Value::from("TAG"))]);
    let template =
        Template::parse("{{upper .ID}}|{{json .Tag}}|{{.Tag | lower}}|{{truncate .ID 3}}|{{pad .Tag 1 1}}");
    let shown = template.unwrap().render(&headers, Functions::Headers).unwrap();
    assert_eq!(shown, "IMAGE ID|TAG|TAG|IMAGE ID| TAG ");
}

#[test]
fn what_is_nested_too_deeply_is_refused() {
    let deep = |open: &str, close: &str| format!("{{{{{}1{}}}}}", open.repeat(5000), close.repeat(5000));
    assert!(show(&deep("(", ")")).unwrap_err().contains("nested too deeply"));
    let ifs = "{{if true}}".repeat(5000) + &"{{end}}".repeat(5000);
    assert!(show(&ifs).unwrap_err().contains("nested too deeply"));
    let elses = "{{if false}}".to_owned() + &"{{else if false}}".repeat(5000) + "{{end}}";
    assert!(show(&elses).unwrap_err().contains("nested too deeply"));
}

#[test]
fn definitions_that_use_themselves_end() {
    let circle = "{{define \"a\"}}{{template \"b\" .}}{{end}}{{define \"b\"}}{{if true}}{{template \"a\" .}}{{end}}{{end}}";
    let error = show(&format!("{circle}{{{{template \"a\" .}}}}")).unwrap_err();
    assert!(error.contains("exceeded maximum template depth"), "{error}");
}

#[test]
fn output_is_bounded() {
    let nested = "{{range 1000}}{{range 1000}}{{printf \"%4096d\" 1}}{{end}}{{end}}";
    assert!(show(nested).unwrap_err().contains("too long"));
}

fn fragment() -> impl Strategy<Value = String> {
    let words = [
        "{{",
        "}}",
        "{{-",
        "-}}",
        " ",
        ".",
        ".Id",
        ".Config",
        ".Tags",
        "$",
        "$x",
        ":=",
        "=",
        "|",
        "(",
        ")",
        ",",
        "if",
        "else",
        "end",
        "range",
        "with",
        "break",
        "continue",
        "define",
        "template",
        "block",
        "\"t\"",
        "printf",
        "\"%d\"",
        "\"%*.*f\"",
        "index",
        "len",
        "slice",
        "truncate",
        "pad",
        "json",
        "join",
        "0",
        "-1",
        "1e9",
        "0x",
        "'a'",
        "`",
        "\"",
        "\\",
        "/*",
        "*/",
        "é",
        "\u{1F600}",
        "\n",
        "eq",
        "and",
        "or",
        "not",
        "nil",
        "true",
        "lower",
        "title",
        "%",
        "print",
    ];
    let word = prop::sample::select(words.to_vec()).prop_map(str::to_owned);
    prop::collection::vec(prop_oneof![9 => word, 1 => any::<String>()], 0..24)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_template_panics(template in fragment()) {
        let _ = show(&template);
    }

    #[test]
    fn no_action_panics(inside in fragment()) {
        let _ = show(&format!("{{{{{inside}}}}}"));
    }

    #[test]
    fn text_without_actions_is_copied(text in "[^{]*") {
        prop_assert_eq!(show(&text), Ok(text));
    }
}
