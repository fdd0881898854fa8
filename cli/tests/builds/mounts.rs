//! `RUN --mount` of directories and memory.

use std::fs;

use crate::support::Home;

/// Builds, and shows what is in the file `/seen`.
fn seen(home: &Home, arguments: &[&str], dockerfile: &str) -> String {
    let context = home.context(dockerfile, &[]);
    home.ok(&[&["build", "-q", "-t", "image"], arguments, &[&context]].concat());
    home.ok(&["run", "--rm", "image", "cat", "/seen"])
}

#[test]
fn a_cache_begins_with_files_of_a_stage() {
    let home = Home::new();
    let step = |seed: &str, command: &str| {
        format!(
            "FROM base AS seed\nRUN mkdir -m 711 /a && chown 1:2 /a && echo {seed} > /a/file && ln /a/file /a/link
FROM base\nRUN --mount=type=cache,from=seed,source=/a,target=/c {command}\n"
        )
    };
    let list = "{ stat -c '%a %u %g' /c; ls /c; cat /c/file; } > /seen";
    assert_eq!(seen(&home, &[], &step("one", list)), "711 1 2\nfile\nlink\none\n");
    let change = format!("echo more >> /c/file && touch /c/new && {list}");
    assert_eq!(seen(&home, &[], &step("one", &change)), "711 1 2\nfile\nlink\nnew\none\nmore\n");
    // The same content, made once more, is the same cache.
    let again = format!("{list} && true");
    assert_eq!(seen(&home, &["--no-cache"], &step("one", &again)), "711 1 2\nfile\nlink\nnew\none\nmore\n");
    assert_eq!(seen(&home, &[], &step("two", &again)), "711 1 2\nfile\nlink\ntwo\n");
    let owned = step("one", list).replace("target=/c", "target=/c,id=other,uid=100,mode=0770");
    assert_eq!(seen(&home, &[], &owned), "770 100 2\nfile\nlink\none\n");
}

#[test]
fn a_cache_begins_with_files_of_an_image_or_a_context() {
    let home = Home::new();
    fs::create_dir_all(home.path("named/dir")).unwrap();
    fs::write(home.path("named/dir/file"), "named").unwrap();
    let dockerfile = "FROM base
RUN --mount=type=cache,from=base,source=old/deep,target=/i --mount=type=cache,from=named,source=dir,target=/n \
    --mount=type=cache,from=scratch,target=/s cat /i/file /n/file > /seen && ls -A /s >> /seen\n";
    let arguments = ["--build-context", "named=named"];
    assert_eq!(seen(&home, &arguments, dockerfile), "old\nnamed");
    // What is in the context is in the key, although it does not matter any more.
    fs::write(home.path("named/dir/file"), "other").unwrap();
    assert_eq!(seen(&home, &arguments, dockerfile), "old\nother");
}

#[test]
fn what_is_empty_can_be_mounted() {
    let home = Home::new();
    let dockerfile = "FROM scratch AS nothing\nFROM base
RUN --mount=from=scratch,target=/empty ls -A /empty > /seen && ! touch /empty/a
RUN --mount=from=nothing,target=/empty,rw touch /empty/a && ls /empty >> /seen
RUN --mount=type=cache,from=nothing,target=/cache ls -A /cache >> /seen
RUN ! test -e /empty/a && echo gone >> /seen\n";
    assert_eq!(seen(&home, &[], dockerfile), "a\ngone\n");
}

#[test]
fn memory_can_be_limited_and_read_only() {
    let home = Home::new();
    let dockerfile = "FROM base\nARG TARGET=/a SIZE=1m
RUN --mount=type=tmpfs,target=$TARGET,size=${SIZE} --mount=type=tmpfs,target=/b,ro=true \
    ! touch /b/x && busybox df -k /a | busybox awk 'NR == 2 { print $2 }' > /seen\n";
    assert_eq!(seen(&home, &[], dockerfile), "1024\n");
}

#[test]
fn directories_that_are_not_there() {
    let home = Home::new();
    let error = |mount: &str| {
        let context = home.context(&format!("FROM base\nRUN --mount={mount} true\n"), &[]);
        let (code, error) = home.fails(&["build", "-q", &context]);
        format!("{code}\n{error}\n")
    };
    let mounts = [
        "type=cache,from=base,source=/none,target=/c",
        "type=cache,from=base,source=/etc/passwd,target=/c",
        "from=base,source=/none,target=/c",
    ];
    insta::assert_snapshot!(mounts.map(error).concat(), @r#"
    1
    error: "/none": not found
     --> Dockerfile:2:1
    2 | RUN --mount=type=cache,from=base,source=/none,target=/c true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: "/none": not found

    1
    error: `/etc/passwd` is not a directory
     --> Dockerfile:2:1
    2 | RUN --mount=type=cache,from=base,source=/etc/passwd,target=/c true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: `/etc/passwd` is not a directory

    1
    error: "/none": not found
     --> Dockerfile:2:1
    2 | RUN --mount=from=base,source=/none,target=/c true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: "/none": not found
    "#);
}

#[test]
fn a_part_of_a_cache_can_be_mounted() {
    let home = Home::new();
    let dockerfile = "FROM base
RUN --mount=type=cache,id=c,target=/c mkdir -m 711 /c/part && echo one > /c/part/file && ln -s /etc /c/out
RUN --mount=type=cache,id=c,source=part,target=/p,uid=100 stat -c '%a %u' /p > /seen && echo two >> /p/file
RUN --mount=type=cache,id=c,source=/part/file,target=/f cat /f >> /seen\n";
    assert_eq!(seen(&home, &[], dockerfile), "711 0\none\ntwo\n");
    for missing in ["none", "out/passwd"] {
        let step = format!("FROM base\nRUN --mount=type=cache,id=c,source={missing},target=/p cat /p\n");
        let (code, message) = home.fails(&["build", &home.context(&step, &[])]);
        assert_eq!(code, 1, "{message}");
        assert!(message.contains(&format!("error: \"/{missing}\": not found")), "{message}");
        assert!(message.contains(" --> Dockerfile:2:1"), "{message}");
    }
}
