//! Whatever an instruction says is in a key or in the config: S30 of the targets, one instruction at a time.

use graph::OpDigest;

use crate::support::Case;

/// The operations of a Dockerfile with their inputs, which keys are made of, and the config.
fn built(dockerfile: &str) -> (Vec<(OpDigest, Vec<usize>)>, String) {
    let parsed = frontend::parse(dockerfile);
    assert!(!parsed.has_errors(), "{dockerfile}\n{:?}", parsed.diagnostics);
    let case = Case::new(dockerfile);
    let plan = frontend::plan(&parsed.dockerfile, &case.options);
    let lowered = plan.and_then(|plan| case.lower(plan));
    let lowered = lowered.unwrap_or_else(|diagnostics| panic!("{dockerfile}\n{diagnostics:?}"));
    let vertices = lowered
        .graph
        .vertices()
        .map(|(_, vertex)| (vertex.op.digest(), vertex.inputs.iter().map(|input| input.index()).collect()));
    (vertices.collect(), serde_json::to_string(&lowered.config.config).expect("a config is JSON"))
}

/// A Dockerfile whose target does this after a stage `other`.
fn with(instruction: &str) -> String {
    format!("FROM x AS other\nFROM y\n{instruction}\n")
}

/// Every two of these lines must build something else.
fn all_differ(lines: &[&str]) {
    let built: Vec<_> = lines.iter().map(|line| (line, built(&with(line)).0)).collect();
    for (at, (line, keys)) in built.iter().enumerate() {
        for (other, others) in &built[..at] {
            assert_ne!(keys, others, "`{other}` is taken for `{line}`");
        }
    }
}

/// These lines are about the image alone: they change its config, each another way, and no key.
fn all_differ_in_the_config(lines: &[&str]) {
    let (keys, _) = built(&with(""));
    let mut configs = vec![built(&with("")).1];
    for line in lines {
        let (changed, config) = built(&with(line));
        assert_eq!(changed, keys, "`{line}` is no step");
        assert!(!configs.contains(&config), "`{line}` changes nothing, or what another line changes");
        configs.push(config);
    }
}

#[test]
fn run() {
    all_differ(&[
        "RUN make",
        "RUN make all",
        "RUN [\"make\"]",
        "RUN --network=none make",
        "RUN --network=host make",
        "RUN --security=insecure make",
        "RUN --device=a.b/c=d make",
        "RUN --device=a.b/c=d,required make",
        "RUN --mount=type=bind,target=/a make",
        "RUN --mount=type=bind,target=/b make",
        "RUN --mount=type=bind,target=/a,source=b make",
        "RUN --mount=type=bind,target=/a,rw make",
        "RUN --mount=type=bind,target=/a,from=other make",
        "RUN --mount=type=cache,target=/a make",
        "RUN --mount=type=cache,target=/b make",
        "RUN --mount=type=cache,target=/a,id=b make",
        "RUN --mount=type=cache,target=/a,ro make",
        "RUN --mount=type=cache,target=/a,sharing=locked make",
        "RUN --mount=type=cache,target=/a,sharing=private make",
        "RUN --mount=type=cache,target=/a,from=other make",
        "RUN --mount=type=cache,target=/a,from=other,source=/b make",
        "RUN --mount=type=cache,target=/a,mode=0700 make",
        "RUN --mount=type=cache,target=/a,uid=1 make",
        "RUN --mount=type=cache,target=/a,gid=1 make",
        "RUN --mount=type=tmpfs,target=/a make",
        "RUN --mount=type=tmpfs,target=/a,size=1m make",
        "RUN --mount=type=secret,id=a make",
        "RUN --mount=type=secret,id=b make",
        "RUN --mount=type=secret,id=a,target=/a make",
        "RUN --mount=type=secret,id=a,env=A make",
        "RUN --mount=type=secret,id=a,required make",
        "RUN --mount=type=secret,id=a,mode=0444 make",
        "RUN --mount=type=secret,id=a,uid=1 make",
        "RUN --mount=type=secret,id=a,gid=1 make",
        "RUN --mount=type=ssh make",
        "RUN --mount=type=ssh,id=a make",
        "RUN --mount=type=ssh,target=/a make",
        "RUN --mount=type=ssh,required make",
        "RUN --mount=type=ssh,mode=0666 make",
        "RUN --mount=type=ssh,uid=1 make",
        "RUN --mount=type=ssh,gid=1 make",
        "RUN <<E\nmake\nE",
        "RUN <<E\nmake all\nE",
    ]);
}

#[test]
fn what_a_run_finds() {
    all_differ(&[
        "RUN make",
        "ENV A=1\nRUN make",
        "ENV A=2\nRUN make",
        "ENV B=1\nRUN make",
        "ARG A=1\nRUN make $A",
        "ARG A=2\nRUN make $A",
        "USER 1\nRUN make",
        "USER 1:2\nRUN make",
        "WORKDIR /a\nRUN make",
        "WORKDIR /b\nRUN make",
        "SHELL [\"/bin/ash\", \"-c\"]\nRUN make",
    ]);
    // A build argument is a variable of the steps behind it.
    assert_ne!(built(&with("ARG A=1\nRUN make")).0, built(&with("ARG A=2\nRUN make")).0);
}

#[test]
fn copy() {
    all_differ(&[
        "COPY a /x",
        "COPY b /x",
        "COPY a b /x/",
        "COPY a /y",
        "COPY a /x/",
        "COPY --from=other a /x",
        "COPY --from=z a /x",
        "COPY --chown=1 a /x",
        "COPY --chown=1:2 a /x",
        "COPY --chmod=0700 a /x",
        "COPY --chmod=u+x a /x",
        "COPY --link a /x",
        "COPY --parents a /x",
        "COPY --exclude=b a /x",
        "COPY --exclude=c a /x",
        "COPY <<E /x\na\nE",
        "COPY <<E /x\nb\nE",
        "COPY <<E /y\na\nE",
    ]);
}

#[test]
fn add() {
    let sum = "24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d";
    let lines = [
        "ADD a /x".to_owned(),
        "ADD b /x".to_owned(),
        "ADD a /y".to_owned(),
        "ADD --unpack=false a /x".to_owned(),
        "ADD --chown=1 a /x".to_owned(),
        "ADD --chmod=0700 a /x".to_owned(),
        "ADD --link a /x".to_owned(),
        "ADD --exclude=b a /x".to_owned(),
        "ADD https://h/a /x".to_owned(),
        "ADD https://h/a /y".to_owned(),
        // The name of the file goes into the layer; where it comes from does not.
        "ADD https://h/b /x".to_owned(),
        format!("ADD --unpack --checksum=sha256:{sum} https://h/a /x"),
        "ADD --chmod=0700 https://h/a /x".to_owned(),
        "ADD --chown=1 https://h/a /x".to_owned(),
        "ADD https://h/a.git /x".to_owned(),
        "ADD https://h/a.git#:sub /x".to_owned(),
        "ADD --keep-git-dir https://h/a.git /x".to_owned(),
        "ADD --keep-git-dir https://h/a.git#v1 /x".to_owned(),
    ];
    all_differ(&lines.each_ref().map(String::as_str));
}

#[test]
fn from_and_onbuild() {
    let target = |text: &str| built(text).0;
    let base = target("FROM x\nRUN make\n");
    for changed in [
        "FROM --platform=linux/arm64 x\nRUN make\n",
        "FROM scratch\nRUN make\n",
        "FROM x AS a\nFROM a\nRUN ls\n",
    ] {
        assert_ne!(target(changed), base, "{changed}");
    }
    // The name of an image is no key: who it is its layers say.
    assert_eq!(target("FROM y\nRUN make\n"), base);
    assert_ne!(built(&with("ONBUILD RUN a")).1, built(&with("ONBUILD RUN b")).1);
    let inherited = |trigger: &str| target(&format!("FROM x AS a\nONBUILD {trigger}\nFROM a\n"));
    assert_ne!(inherited("RUN a"), inherited("RUN b"));
}

#[test]
fn what_is_about_the_image_alone_is_no_step() {
    all_differ_in_the_config(&[
        "LABEL a=1",
        "LABEL a=2",
        "LABEL b=1",
        "ENV A=1",
        "ENV A=2",
        "ENV B=1",
        "CMD a",
        "CMD [\"a\"]",
        "ENTRYPOINT a",
        "ENTRYPOINT [\"a\"]",
        "EXPOSE 80",
        "EXPOSE 80/udp",
        "EXPOSE 81",
        "VOLUME /a",
        "VOLUME /b",
        "USER a",
        "USER b",
        "STOPSIGNAL 9",
        "STOPSIGNAL 15",
        "SHELL [\"/bin/ash\"]",
        "SHELL [\"/bin/bash\"]",
        "HEALTHCHECK NONE",
        "HEALTHCHECK CMD a",
        "HEALTHCHECK CMD b",
        "HEALTHCHECK --interval=1s CMD a",
        "HEALTHCHECK --timeout=1s CMD a",
        "HEALTHCHECK --start-period=1s CMD a",
        "HEALTHCHECK --start-interval=1s CMD a",
        "HEALTHCHECK --retries=1 CMD a",
        "ONBUILD RUN a",
    ]);
    all_differ(&["WORKDIR /a", "WORKDIR /b"]);
    // Who made an image is no part of how it runs.
    assert_eq!(built(&with("MAINTAINER a")).0, built(&with("")).0);
}

#[test]
fn what_says_the_same_is_the_same() {
    for (one, other) in [
        ("RUN make", "run   make"),
        ("RUN make && \\\n  make install", "RUN make && \\\n# why\n  make install"),
        ("COPY a /x", "COPY [\"a\", \"/x\"]"),
        ("ENV A=1 B=2\nRUN make", "ENV A=1\nENV B=2\nRUN make"),
        ("ARG A=1\nRUN make", "ARG A=1\nLABEL x=y\nEXPOSE 80\nRUN make"),
        ("WORKDIR /a/b\nRUN make", "WORKDIR /a/b/\nRUN make"),
    ] {
        assert_eq!(built(&with(one)).0, built(&with(other)).0, "`{one}` and `{other}`");
    }
}
