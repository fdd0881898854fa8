//! The answers as BuildKit's clients read and show them.

use frontend::questions::Requests;

use crate::support::Case;

/// A Dockerfile with something to say to every question.
const TEXT: &str = "\
# check=skip=JSONArgsRecommended
# VERSION is what is built
ARG VERSION=1
ARG TAG=${VERSION}-slim
ARG UNUSED=x

# build compiles
FROM debian:${TAG} AS build
# JOBS limits the compiler
ARG JOBS=4
ARG VERSION
ARG TARGETOS
RUN --mount=type=secret,id=token,required=true \\
    --mount=type=ssh make -j$JOBS

FROM scratch AS Other
ARG HIDDEN=1

# final is shipped
FROM build AS final
RUN --mount=type=secret,target=/run/cert true
CMD run
";

fn outline(options: &[&str]) -> String {
    let mut case = Case::new(TEXT);
    options.iter().for_each(|option| case.set(option));
    case.inquiry()
        .outline(&case.bases)
        .map(|outline| outline.text())
        .unwrap_or_else(|errors| format!("{errors:?}"))
}

#[test]
fn outlines_list_what_the_target_takes() {
    let trimmed = |text: String| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(trimmed(outline(&[])), @"
    TARGET:      final
    DESCRIPTION: is shipped

    BUILD ARG   VALUE    DESCRIPTION
    VERSION     1        is what is built
    TAG         1-slim
    JOBS        4        limits the compiler

    SECRET   REQUIRED
    token    true
    cert

    SSH       REQUIRED
    default
    ");
    insta::assert_snapshot!(trimmed(outline(&["target other", "build-arg HIDDEN=2"])), @"
    TARGET: other

    BUILD ARG   VALUE   DESCRIPTION
    HIDDEN      2
    ");
    insta::assert_snapshot!(trimmed(outline(&["target build", "build-arg TAG=latest"])), @"
    TARGET:      build
    DESCRIPTION: compiles

    BUILD ARG   VALUE    DESCRIPTION
    VERSION     1        is what is built
    TAG         latest
    JOBS        4        limits the compiler

    SECRET   REQUIRED
    token    true

    SSH       REQUIRED
    default
    ");
}

#[test]
fn arguments_that_are_made_of_themselves_name_all_that_they_take() {
    let text =
        "ARG A=1\nARG B=2\nARG UNUSED=x\nARG A=${A}${B}\nARG C=${A}3\nARG A=${A}${C}\nFROM scratch\nARG A\n";
    let case = Case::new(text);
    let outline = case.inquiry().outline(&case.bases).unwrap_or_else(|errors| panic!("{errors:?}"));
    let args = outline.args.iter().map(|arg| format!("{}={}", arg.name, arg.value));
    assert_eq!(args.collect::<Vec<_>>(), ["B=2", "C=123", "A=12123"]);
}

#[test]
fn questions_are_listed() {
    insta::assert_snapshot!(Requests.text(), @"
    NAME                 VERSION DESCRIPTION
    outline              1.0.0   List all parameters current build target supports
    targets              1.0.0   List all targets current build supports
    subrequests.describe 1.0.0   List available subrequest types
    ");
    let json: serde_json::Value = serde_json::from_str(&Requests.json()).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(3));
    insta::assert_snapshot!(json[2], @r#"{"description":"List available subrequest types","inputs":null,"metadata":[{"description":"","name":"result.json"},{"description":"","name":"result.txt"}],"name":"frontend.subrequests.describe","opts":null,"refs":null,"type":"rpc","version":"1.0.0"}"#);
    assert_eq!(json[0]["opts"][0]["name"], "target");
}

#[test]
fn what_stands_in_front_of_a_mistake_is_checked() {
    let check = |text: &str| {
        let case = Case::new(text);
        let check = case.inquiry().check(&case.bases);
        let found: Vec<_> = check.findings.iter().map(|finding| finding.rule.name).collect();
        let json: serde_json::Value = serde_json::from_str(&check.json()).expect("JSON");
        format!("{}: {}", found.join(" "), json["buildError"]["message"].as_str().expect("a message"))
    };
    for (text, expected) in [
        (
            "FROM scratch as A\nMAINTAINER b\nBADCMD c\nFROM scratch AS D\n",
            "FromAsCasing StageNameCasing MaintainerDeprecated: dockerfile parse error on line 3: unknown instruction: BADCMD",
        ),
        (
            "FROM scratch\nWORKDR /a\nCOPY b \\\n\n  c\n",
            "NoEmptyContinuation: dockerfile parse error on line 2: unknown instruction: WORKDR (did you mean WORKDIR?)",
        ),
        (
            "# check=skip=all\nFROM --platform2=linux scratch AS A\n",
            ": dockerfile parse error on line 2: unknown flag: --platform2 (did you mean platform?)",
        ),
        (
            "FROM a AS 1b\n",
            ": dockerfile parse error on line 1: invalid name for build stage: \"1b\", name can't start with a number or contain symbols",
        ),
        (
            "FROM a\nCPY\nENV b=c d\n",
            ": Syntax error - can't find = in \"d\". Must be of the form: name=value",
        ),
        ("FROM a\nCMD [1]\n", ": when using JSON array syntax, arrays must be comprised of strings only"),
        ("FROM a\nLABEL b\n", ": LABEL must have two arguments"),
        ("FROM a\nARG =1\n", ": dockerfile parse error on line 2: ARG names can not be blank"),
        ("FROM a\nRUN <<E\nb\n", ": unterminated heredoc"),
        ("# escape=x\nFROM a\n", ": invalid escape token 'x' does not match ` or \\"),
        (
            "FROM a\nSHELL b\n",
            ": dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form",
        ),
        (
            "FROM a\nHEALTHCHECK --interval=1us CMD b\n",
            ": dockerfile parse error on line 2: Interval \"interval\" cannot be less than 1ms",
        ),
        (
            "FROM a\nHEALTHCHECK --retries=b CMD c\n",
            ": dockerfile parse error on line 2: strconv.ParseInt: parsing \"b\": invalid syntax",
        ),
        (
            "FROM a\nCOPY --link --link b c\n",
            ": dockerfile parse error on line 2: duplicate flag specified: --link",
        ),
        ("FROM a\nCOPY --from b c\n", ": dockerfile parse error on line 2: missing a value on flag: --from"),
        (
            "FROM a\nONBUILD ONBUILD RUN b\n",
            ": dockerfile parse error on line 2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        ),
        ("FROM a\nRUN --mount=target,type=bind b\n", ": invalid field 'target' must be a key=value pair"),
        ("FROM a\nRUN --mount=type=cache,target=/b,uid=c d\n", ": invalid value c for uid"),
        (
            "FROM a\nRUN --mount=type=bnd,target=/b c\n",
            ": unsupported mount type \"bnd\" (did you mean bind?)",
        ),
        (
            "FROM a\nRUN --device=b,c d\n",
            ": dockerfile parse error on line 2: invalid field 'c' must be a key=value pair",
        ),
        ("FROM a\nEXPOSE b:80\n", "ExposeInvalidFormat: invalid hostPort: b"),
        ("FROM a\nSTOPSIGNAL b\n", ": invalid signal: b"),
        ("FROM a\nWORKDIR ${B:?}\n", ": failed to process \"${B:?}\": B: is not allowed to be unset"),
        ("FROM $A\n", "InvalidDefaultArgInFrom UndefinedArgInFrom: base name ($A) should not be blank"),
        ("FROM a\nCOPY --from=1 b c\n", ": invalid stage index 1"),
        ("FROM a\nADD https://b.org/c.git?d=e f\n", ": unexpected query \"d\""),
        ("FROM a\nADD https://b.org/c.git?ref=d&ref=e f\n", ": query \"ref\" has multiple values"),
        (
            "FROM a AS build\nFROM Build\n",
            "InvalidDefaultArgInFrom: failed to parse stage name \"Build\": invalid reference format: repository name (library/Build) must be lowercase",
        ),
        ("FROM a\nCOPY --from=-1 b c\n", ": invalid stage index -1"),
        (
            "FROM a AS x\nCOPY --from=y b c\nFROM a AS y\nCOPY --from=x b c\n",
            ": circular dependency detected on stage: x",
        ),
        (
            "FROM a AS x\nRUN --mount=from=y,dst=b c\nFROM a AS y\nFROM x\n",
            ": cannot mount from stage \"y\" to \"b\", stage needs to be defined before current command",
        ),
        (
            "FROM A:B:C\n",
            "InvalidDefaultArgInFrom: failed to parse stage name \"A:B:C\": invalid reference format: repository name (library/A) must be lowercase",
        ),
        (
            "FROM a\nfoo\n",
            ": dockerfile parse error on line 2: unknown instruction: foo (did you mean from?)",
        ),
        ("FROM a\nCOPY --plafrom b c\n", ": dockerfile parse error on line 2: unknown flag: --plafrom"),
        ("FROM a\nRUN --mount=si=/b c\n", ": unexpected key 'si' in 'si=/b' (did you mean id?)"),
        (
            "FROM a\nWORKDIR ${B\n",
            ": failed to process \"${B\": unsupported modifier (\u{fffd}) in substitution",
        ),
        ("FROM a\nWORKDIR ${B:c\n", ": failed to process \"${B:c\": syntax error: missing '}'"),
        (
            "FROM a\nENV B=c\nWORKDIR ${B#\\d}\n",
            ": failed to process \"${B#\\\\d}\": invalid pattern (\\d) in substitution: invalid escape '\\d'",
        ),
        (
            "FROM --platform=b/c/d/e a\n",
            ": failed to parse platform b/c/d/e: \"b/c/d/e\": cannot parse platform specifier: invalid argument",
        ),
        (
            "FROM --platform=linux/b! a\n",
            ": failed to parse platform linux/b!: \"b!\" is an invalid component of \"linux/b!\": platform specifier component must match \"^[A-Za-z0-9_.-]+$\": invalid argument",
        ),
        (
            "FROM --platform=foo a\n",
            ": failed to parse platform foo: \"foo\": unknown operating system or architecture: invalid argument",
        ),
        ("FROM a\nCOPY --from=0 b c\n", ": circular dependency detected on stage: stage-0"),
        ("FROM a\nCOPY https://b.org/c d\n", ": source can't be a URL for COPY"),
        (
            "FROM a\nCOPY --chmod=9 b c\n",
            ": invalid chmod parameter: '9'. it should be octal string and between 0 and 07777",
        ),
        ("FROM a b\n", ": dockerfile parse error on line 1: FROM requires either one or three arguments"),
        ("FROM a\nUSER\n", ": dockerfile parse error on line 2: USER requires exactly one argument"),
        ("FROM a\n\nEXPOSE\n", ": dockerfile parse error on line 3: EXPOSE requires at least one argument"),
        ("", ": the Dockerfile cannot be empty"),
        ("# nothing\n", ": file with no instructions"),
        ("ARG a\n", ": dockerfile contains no stages to build"),
        ("RUN a\nFROM scratch\n", ": no build stage in current context"),
    ] {
        assert_eq!(check(text), expected, "{text}");
    }
}

#[test]
fn places_of_mistakes_are_all_lines_of_the_instruction() {
    let ranges = |text: &str| {
        let case = Case::new(text);
        let json = case.inquiry().check(&case.bases).json();
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let ranges = json["buildError"]["location"]["ranges"].as_array().expect("a place").clone();
        ranges
            .iter()
            .map(|range| format!("{}-{}", range["start"]["line"], range["end"]["line"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(ranges("FROM a\nCOPY --bad \\\n # c\n b c\nRUN d\n"), ["2-2", "3-3", "4-4"]);
    assert_eq!(ranges("FROM a\nCOPY b <<E\nx\nE\nRUN d\n"), ["2-2", "3-3", "4-4"]);
    assert_eq!(ranges("FROM a\nRUN <<E\nx\n"), ["2-2", "3-3"]);
    let long = format!("FROM a\nWORKDIR {}${{b\n", "\\\n".repeat(1000));
    assert_eq!(ranges(&long), ["2-1002"]);
}

#[test]
fn a_rule_of_our_own_fails_no_check() {
    let check = |text: &str| {
        let case = Case::new(text);
        case.inquiry().check(&case.bases)
    };
    let own = check("FROM scratch\nRUN ['a']\n");
    assert_eq!(own.findings.iter().map(|finding| finding.rule.name).collect::<Vec<_>>(), ["InvalidJSONForm"]);
    assert!(own.is_clean());
    assert!(!check("FROM scratch\nRUN ['a']\nWORKDIR b\n").is_clean());
}

#[test]
fn outlines_are_json() {
    let mut case =
        Case::new("ARG A=1\n# s builds\nFROM a:$A AS s\nRUN --mount=type=secret,id=b,required x\n");
    case.set("target s");
    let outline = case.inquiry().outline(&case.bases).unwrap_or_else(|errors| panic!("{errors:?}"));
    let value: serde_json::Value = serde_json::from_str(&outline.json()).expect("JSON");
    assert_eq!(value["secrets"][0]["required"], true);
    insta::assert_snapshot!(outline.json(), @r#"
    {
      "name": "s",
      "description": "builds",
      "args": [
        {
          "name": "A",
          "value": "1",
          "location": {
            "ranges": [
              {
                "start": {
                  "line": 1
                },
                "end": {
                  "line": 1
                }
              }
            ]
          }
        }
      ],
      "secrets": [
        {
          "name": "b",
          "required": true,
          "location": {
            "ranges": [
              {
                "start": {
                  "line": 4
                },
                "end": {
                  "line": 4
                }
              }
            ]
          }
        }
      ],
      "sources": [
        "QVJHIEE9MQojIHMgYnVpbGRzCkZST00gYTokQSBBUyBzClJVTiAtLW1vdW50PXR5cGU9c2VjcmV0LGlkPWIscmVxdWlyZWQgeAo="
      ]
    }
    "#);
}

#[test]
fn targets_are_listed() {
    let targets = Case::new(TEXT).inquiry().targets().unwrap_or_else(|errors| panic!("{errors:?}"));
    insta::assert_snapshot!(targets.text(), @"
    TARGET          DESCRIPTION
    build           compiles
    other           
    final (default) is shipped
    ");
    let short = Case::new("FROM --platform=$BUILDPLATFORM a AS b\nFROM b\n");
    let targets = short.inquiry().targets().unwrap_or_else(|errors| panic!("{errors:?}"));
    insta::assert_snapshot!(format!("{}{}", targets.text(), targets.json()), @r#"
    TARGET    DESCRIPTION
    b         
    (default) 
    {
      "targets": [
        {
          "name": "b",
          "base": "a",
          "platform": "$BUILDPLATFORM",
          "location": {
            "ranges": [
              {
                "start": {
                  "line": 1
                },
                "end": {
                  "line": 1
                }
              }
            ]
          }
        },
        {
          "default": true,
          "base": "b",
          "location": {
            "ranges": [
              {
                "start": {
                  "line": 2
                },
                "end": {
                  "line": 2
                }
              }
            ]
          }
        }
      ],
      "sources": [
        "RlJPTSAtLXBsYXRmb3JtPSRCVUlMRFBMQVRGT1JNIGEgQVMgYgpGUk9NIGIK"
      ]
    }
    "#);
}

#[test]
fn checks_are_shown_with_their_lines() {
    let check = |text: &str| {
        let case = Case::new(text);
        case.inquiry().check(&case.bases)
    };
    insta::assert_snapshot!(check(TEXT).text(), @"
    Check complete, 1 warning has been found!

    WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
    Stage name 'Other' should be lowercase
    Dockerfile:16
    --------------------
      14 |         --mount=type=ssh make -j$JOBS
      15 |     
      16 | >>> FROM scratch AS Other
      17 |     ARG HIDDEN=1
      18 |     
    --------------------
    ");
    insta::assert_snapshot!(check("FROM scratch\nCOPY a /\n").text(), @"Check complete, no warnings found.");
    let json = check("FROM scratch AS A\nRUN a \\\n\n  b\n").json();
    insta::assert_snapshot!(json, @r#"
    {
      "warnings": [
        {
          "ruleName": "StageNameCasing",
          "description": "Stage names should be lowercase",
          "url": "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/",
          "detail": "Stage name 'A' should be lowercase",
          "location": {
            "ranges": [
              {
                "start": {
                  "line": 1
                },
                "end": {
                  "line": 1
                }
              }
            ]
          }
        },
        {
          "ruleName": "NoEmptyContinuation",
          "description": "Empty continuation lines will become errors in a future release",
          "url": "https://docs.docker.com/go/dockerfile/rule/no-empty-continuation/",
          "detail": "Empty continuation line",
          "location": {
            "ranges": [
              {
                "start": {
                  "line": 4
                },
                "end": {
                  "line": 4
                }
              }
            ]
          }
        }
      ],
      "sources": [
        {
          "filename": "Dockerfile",
          "data": "RlJPTSBzY3JhdGNoIEFTIEEKUlVOIGEgXAoKICBiCg==",
          "language": "Dockerfile"
        }
      ]
    }
    "#);
}

#[test]
fn mistakes_are_part_of_a_check() {
    let case = Case::new("FROM a AS B\nCOPY --from=c x\nRUN y\n");
    let check = case.inquiry().check(&case.bases);
    assert!(!check.is_clean());
    insta::assert_snapshot!(format!("{}{}\n{}", check.text(), check.error_text().join("\n"), check.json()), @r#"
    Check complete, 1 warning has been found!

    WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
    Stage name 'B' should be lowercase
    Dockerfile:1
    --------------------
       1 | >>> FROM a AS B
       2 |     COPY --from=c x
       3 |     RUN y
    --------------------
    error: `COPY` needs a source and a destination
     --> Dockerfile:2:15
    2 | COPY --from=c x
      |               ^
    {
      "warnings": [
        {
          "ruleName": "StageNameCasing",
          "description": "Stage names should be lowercase",
          "url": "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/",
          "detail": "Stage name 'B' should be lowercase",
          "location": {
            "ranges": [
              {
                "start": {
                  "line": 1
                },
                "end": {
                  "line": 1
                }
              }
            ]
          }
        }
      ],
      "sources": [
        {
          "filename": "Dockerfile",
          "data": "RlJPTSBhIEFTIEIKQ09QWSAtLWZyb209YyB4ClJVTiB5Cg==",
          "language": "Dockerfile"
        }
      ],
      "buildError": {
        "message": "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        "location": {
          "ranges": [
            {
              "start": {
                "line": 2
              },
              "end": {
                "line": 2
              }
            }
          ]
        }
      }
    }
    "#);
}

#[test]
fn findings_can_be_errors() {
    let check = |text: &str, option: &str| {
        let mut case = Case::new(text);
        case.set(option);
        let check = case.inquiry().check(&case.bases);
        let rules = check.findings.iter().map(|finding| finding.rule.name);
        let errors = check.errors.iter().map(|error| error.message.as_str());
        rules.chain(errors).collect::<Vec<_>>().join(", ")
    };
    let text = "# check=error=true\nFROM scratch AS A\nCMD b\n";
    let plain = "no-cache";
    for (text, option, expected) in [
        (
            text,
            plain,
            "StageNameCasing, JSONArgsRecommended, lint violation found for rules: JSONArgsRecommended, StageNameCasing",
        ),
        ("# check=error=true\nFROM scratch\n", plain, ""),
        ("# check=skip=all;error=true\nFROM scratch AS A\n", plain, ""),
        (text, "build-arg BUILDKIT_DOCKERFILE_CHECK=skip=StageNameCasing", "JSONArgsRecommended"),
        (
            "# check=nonsense\nFROM scratch\n",
            plain,
            "invalid check option `nonsense`: expected `skip=`, `error=` or `experimental=`",
        ),
    ] {
        assert_eq!(check(text, option), expected, "{text} {option}");
    }
}

#[test]
fn what_cannot_be_built_yet_can_be_asked_about() {
    let text =
        "FROM a\nRUN --device=x --mount=type=secret,id=s --mount=type=ssh y\nADD https://e.org/f /\nCMD z\n";
    let case = Case::new(text);
    let check = case.inquiry().check(&case.bases);
    assert!(check.errors.is_empty(), "{:?}", check.errors);
    assert!(Case::new("FROM scratch\n").inquiry().check(&case.bases).json().contains("\"warnings\": null"));
    assert_eq!(check.findings.len(), 1);
    // The base is not known: it may define what the file does not.
    let unknown = Case::new("FROM a\nRUN x\nENV B=$A\n");
    assert!(unknown.inquiry().check(&unknown.bases).is_clean());
    assert_eq!(unknown.inquiry().missing_images(&unknown.bases).len(), 1);
    let mut known = Case::new("FROM a\nRUN x\nENV B=$A\n");
    known.set("base a");
    assert_eq!(known.inquiry().check(&known.bases).findings.len(), 1);
}
