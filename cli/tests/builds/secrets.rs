//! `RUN --mount=type=secret`: steps see secrets, and nothing and nobody else does.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::support::{Home, is_running, wait_for};

/// In no other file of this machine.
const SECRET: &str = "tr0ub4dor-and-3-more-words";

/// A home with the secret in the file `key`.
fn home() -> Home {
    let home = Home::new();
    fs::write(home.path("key"), SECRET).unwrap();
    home
}

/// Fails when the secret is in a file, a link or a name beneath a directory.
fn assert_nowhere(directory: &Path) {
    let mut files = 0;
    for entry in walkdir::WalkDir::new(directory) {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type());
        let has = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!path.to_string_lossy().contains(SECRET), "{}", path.display());
        if kind.is_file() {
            files += 1;
            assert!(!has(&fs::read(path).unwrap()), "{}", path.display());
        } else if kind.is_symlink() {
            assert!(!fs::read_link(path).unwrap().to_string_lossy().contains(SECRET), "{}", path.display());
        }
    }
    assert!(files > 0, "{} is not a store", directory.display());
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

#[test]
fn a_secret_is_a_file_or_a_variable_of_one_step() {
    let home = home();
    let length = SECRET.len();
    let dockerfile = format!(
        "FROM base
ENV TOKEN=public
WORKDIR /src
RUN --mount=type=secret,id=key stat -c '%a %u %g %s' /run/secrets/key > default
RUN --mount=type=secret,id=key,target=there,uid=100,gid=200,mode=0440 stat -c '%a %u %g' there > chosen
RUN --mount=type=secret,id=key,env=TOKEN test ${{#TOKEN}} = {length} && ! test -e /run/secrets
RUN --mount=type=secret,id=key,env=TOKEN,target=/both test \"$TOKEN\" = \"$(cat /both)\"
RUN --mount=type=secret,id=absent ! test -e /run/secrets
RUN --mount=type=secret,id=absent,env=TOKEN echo $TOKEN > absent
USER app
RUN --mount=type=secret,id=key ! cat /run/secrets/key
RUN --mount=type=secret,id=key,uid=100 cat /run/secrets/key
"
    );
    let context = home.context(&dockerfile, &[]);
    home.ok(&["build", "-q", "-t", "image", "--secret", "id=key,src=key", &context]);
    let show = "cat /src/default /src/chosen /src/absent; ls -d /run /both /src/*; echo $TOKEN";
    insta::assert_snapshot!(home.ok(&["run", "--rm", "image", "sh", "-c", show]), @"
    400 0 0 26
    440 100 200
    public
    /src/absent
    /src/chosen
    /src/default
    public
    ");
    assert_nowhere(&home.store());
}

#[test]
fn secrets_come_from_files_and_variables() {
    let home = home();
    let dockerfile = "FROM base
RUN --mount=type=secret,id=A,env=A --mount=type=secret,id=b,env=B --mount=type=secret,id=key,env=KEY \
    --mount=type=secret,id=unset,env=UNSET echo ${#A} ${#B} ${#KEY} ${UNSET-none}. > /lengths\n";
    let context = home.context(dockerfile, &[]);
    let mut build = home.command(&["build", "-q", "-t", "image", "--secret", "id=A", "--secret"]);
    build.args(["type=env,id=b,src=B", "--secret", "id=key", "--secret", "id=unset,env=UNSET", &context]);
    let output = build.env("A", "1").env("B", "22").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let lengths = format!("1 2 {} .\n", SECRET.len());
    assert_eq!(home.ok(&["run", "--rm", "image", "cat", "/lengths"]), lengths);
}

#[test]
fn a_secret_that_is_needed_and_not_given() {
    let home = Home::new();
    let dockerfile = "FROM base\nRUN --mount=type=secret,id=key,required cat /run/secrets/key\n";
    let context = home.context(dockerfile, &[]);
    let (code, error) = home.fails(&["build", "-q", &context]);
    insta::assert_snapshot!(format!("{code}\n{error}"), @"
    1
    error: this step needs the secret `key`
     --> Dockerfile:2:1
    2 | RUN --mount=type=secret,id=key,required cat /run/secrets/key
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: secret `key`: not found
    hint: give it to the build: `--secret id=key,src=FILE` or `--secret id=key,env=VARIABLE`
    ");
}

#[test]
fn a_secret_that_is_none() {
    let home = home();
    fs::write(home.path("large"), vec![b'x'; (500 << 10) + 1]).unwrap();
    fs::write(home.path("zero"), "a\0b").unwrap();
    fs::write(home.path("long"), "x".repeat(128 << 10)).unwrap();
    let dockerfile = "FROM base\nRUN --mount=type=secret,id=key,env=KEY true\n";
    let context = home.context(dockerfile, &[]);
    let error = |file: &str| {
        let secret = format!("id=key,src={file}");
        let (code, error) = home.fails(&["build", "-q", "--secret", &secret, &context]);
        format!("{file} {code}\n{error}\n")
    };
    insta::assert_snapshot!(["large", "absent", "zero", "long"].map(error).concat(), @"
    large 1
    ERROR: secret `key` too big: larger than 512000 bytes

    absent 1
    ERROR: secret `key`: cannot read `absent`: No such file or directory (os error 2)

    zero 1
    error: this step needs the secret `key`
     --> Dockerfile:2:1
    2 | RUN --mount=type=secret,id=key,env=KEY true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: secret `key`: contains a zero byte, and cannot be a variable
    hint: mount it as a file, without `env`

    long 1
    error: this step needs the secret `key`
     --> Dockerfile:2:1
    2 | RUN --mount=type=secret,id=key,env=KEY true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: secret `key`: a variable with its name has at most 131072 bytes
    hint: mount it as a file, without `env`
    ");
}

/// What a secret is does not matter for what is cached, as in BuildKit.
#[test]
fn another_secret_is_no_reason_to_run_again() {
    let home = home();
    let build = |mount: &str| {
        let dockerfile = format!("FROM base\nRUN --mount=type=secret,{mount} true\n");
        home.log(&["--secret", "id=key,src=key", &home.context(&dockerfile, &[])])
    };
    assert!(build("id=key").starts_with("run "));
    fs::write(home.path("key"), "another").unwrap();
    assert!(build("id=key").starts_with("hit "));
    assert!(build("id=key,mode=0444").starts_with("run "));
    assert!(build("id=key,env=KEY").starts_with("run "));
}

#[test]
fn secrets_are_masked_in_what_a_step_writes() {
    let home = home();
    let dockerfile = "FROM base
RUN --mount=type=secret,id=key,env=KEY,target=/key exec 2>&1 && echo key: $KEY. && cat /key && echo && \
    busybox printf %s ${KEY%%-*} && sleep 0.1 && echo -${KEY#*-}, && set -x && echo $KEY && false\n";
    let context = home.context(dockerfile, &[]);
    for progress in ["plain", "rawjson"] {
        let output = home.run(&["build", "--progress", progress, "--secret", "id=key,src=key", &context]);
        assert_eq!(output.status.code(), Some(1));
        assert!(!text(&output).contains(SECRET), "{}", text(&output));
    }
    let logs = walkdir::WalkDir::new(home.store().join("logs")).into_iter().flatten();
    let logs: Vec<_> = logs.filter_map(|log| fs::read_to_string(log.path()).ok()).collect();
    assert_eq!(logs[0], logs[1]);
    insta::assert_snapshot!(logs[0], @"
    key: ****.
    ****
    ****,
    + echo ****
    ****
    + false
    ");
    assert_nowhere(&home.store());
}

#[test]
fn a_secret_is_in_nothing_that_a_build_keeps_or_tells() {
    let home = home();
    let dockerfile = "FROM base\nRUN --mount=type=secret,id=key,env=KEY --mount=type=secret,id=key \
        cat /run/secrets/key && echo $KEY && touch /done\n";
    let context = home.context(dockerfile, &[]);
    let metadata = home.path("metadata.json");
    let arguments = ["build", "-t", "image", "--secret", "id=key,src=key", "--metadata-file"];
    let build = home.run(
        &[&arguments[..], &[metadata.to_str().unwrap(), "-o", "type=oci,dest=image.oci", &context]].concat(),
    );
    assert!(build.status.success(), "{}", text(&build));
    let told = [
        text(&build),
        home.ok(&["history", "--no-trunc", "image"]),
        home.ok(&["inspect", "image"]),
        home.ok(&["graph", "--format", "json", &context]),
        home.ok(&["why", "--format", "json"]),
        fs::read_to_string(metadata).unwrap(),
        String::from_utf8_lossy(&fs::read(home.path("image.oci")).unwrap()).into_owned(),
    ];
    assert!(told.iter().all(|text| !text.contains(SECRET)));
    assert_nowhere(&home.store());
}

#[test]
fn a_killed_build_leaves_no_secret_behind() {
    let home = home();
    let dockerfile = "FROM base\nRUN --mount=type=secret,id=key,env=KEY --mount=type=secret,id=key \
        cat /run/secrets/key && echo $KEY && touch /made && sleep 1002\n";
    let context = home.context(dockerfile, &[]);
    let mut build = home.command(&["build", "--secret", "id=key,src=key", &context]);
    let mut build = build.stderr(Stdio::null()).spawn().unwrap();
    wait_for("the step runs", || is_running("sleep\x001002"));
    assert_nowhere(&home.store());
    build.kill().unwrap();
    build.wait().unwrap();
    wait_for("everything in the sandbox is gone", || !is_running("sleep\x001002"));
    assert_nowhere(&home.store());
}
