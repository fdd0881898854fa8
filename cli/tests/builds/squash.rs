//! `build --squash` and `--max-layers`: fewer layers, the same files, the same cache.

use crate::support::Home;

/// Everything that layers do to one another: replaced and removed files, directories that begin again, links.
const DOCKERFILE: &str = "FROM base
RUN echo 1 > /a && mkdir /d && echo 1 > /d/x && echo 1 > /d/y && ln /d/x /d/link
RUN rm -r /old && mkdir /old && echo new > /old/file
RUN rm -r /d && echo file > /d
RUN rm /d && mkdir /d && echo 2 > /d/z && ln -s z /d/s && rm /bin/od
RUN echo 3 > /a && rm -r /tmp && mkdir /bin/od && echo x > /bin/od/x
ENV X=y
RUN rm /bin/true && chmod 700 /etc && touch /bin/false
";

fn layers(home: &Home, name: &str) -> usize {
    home.ok(&["inspect", "--format", "{{len .RootFS.Layers}}", name]).trim().parse().unwrap()
}

#[test]
fn squashed_images_have_the_same_files() {
    let home = Home::new();
    let context = home.context(DOCKERFILE, &[]);
    home.ok(&["build", "-q", "-t", "plain", &context]);
    let expected = home.unpack("plain").listing();
    assert!(expected.contains("d/z") && !expected.contains("d/x") && !expected.contains("old/deep"));
    assert_eq!(layers(&home, "plain"), 7);
    for (flag, expected_layers) in [
        ("--squash", 2),
        ("--squash=all", 1),
        ("--squash=4", 4),
        ("--max-layers=3", 3),
        ("--max-layers=1", 1),
        ("--max-layers=70", 7),
    ] {
        let log = home.log(&[flag, "-t", "fewer", &context]);
        assert!(!log.contains("run "), "{flag}: {log}");
        assert_eq!(layers(&home, "fewer"), expected_layers, "{flag}");
        // By other people's tools: what a layer hides of the base has to be said in it.
        assert_eq!(home.unpack("fewer").listing(), expected, "{flag}");
        assert_eq!(home.ok(&["run", "fewer", "cat", "/a", "/d/z"]), "3\n2\n");
        let history = home.ok(&["history", "-q", "--no-trunc", "fewer"]);
        assert_eq!(history.lines().count(), 8, "{flag}: {history}");
    }
    let digest = |name: &str| home.ok(&["inspect", "--format", "{{.Id}}", name]);
    home.ok(&["build", "-q", "--squash", "-t", "again", &context]);
    home.ok(&["build", "-q", "--squash=new", "-t", "fewer", &context]);
    assert_eq!(digest("again"), digest("fewer"));
}

#[test]
fn a_step_that_there_is_not_is_no_beginning() {
    let home = Home::new();
    let context = home.context("FROM base\nRUN true\n", &[]);
    let (code, error) = home.fails(&["build", "-q", "--squash=3", &context]);
    assert_eq!((code, error.lines().last()), (1, Some("ERROR: the stage has no step 3 with a layer")));
    let (_, error) = home.fails(&["build", "-q", "--squash=some", &context]);
    assert!(error.contains("expected all, new or the number of a step"), "{error}");
}
