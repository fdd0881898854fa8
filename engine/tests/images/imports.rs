//! Images from tars of a root file system.

use std::io::{Read, Write as _};

use engine::images::{ImportOptions, find, history, import, inspect, read_config};

use crate::fixture::{EPOCH, Fixture, NO_PROGRESS, chain, tar_of};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn epoch() -> ImportOptions {
    ImportOptions { source_date_epoch: Some(EPOCH), ..ImportOptions::default() }
}

#[test]
fn changes_become_the_config() {
    let fixture = Fixture::new();
    let changes = [
        "ENV A=1 B=\"two words\"",
        "env C=$A",
        "CMD [\"serve\"]",
        "ENTRYPOINT /bin/app --flag",
        "EXPOSE 80 53/udp",
        "LABEL tier=web",
        "USER app:staff",
        "VOLUME /data",
        "WORKDIR /srv",
        "WORKDIR app",
        "STOPSIGNAL SIGINT",
        "HEALTHCHECK --interval=5s CMD true",
        "ONBUILD RUN true",
    ];
    let id = fixture.import("app", &[("a", "1")], &changes);
    let config = read_config(&fixture.store, &id).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&config).unwrap());
}

#[test]
fn a_path_is_there_only_when_a_change_sets_it() {
    let fixture = Fixture::new();
    let env = |change: &str| {
        let id = fixture.import("", &[("a", "1")], &[change]);
        read_config(&fixture.store, &id).unwrap().config.env.join(" ")
    };
    assert_eq!(env("USER app"), "");
    assert_eq!(env("ENV A=1"), "A=1");
    assert_eq!(env("ENV PATH=/bin:$PATH"), "PATH=/bin:");
}

#[test]
fn other_changes_are_refused_before_anything_is_read() {
    struct Untouchable;
    impl Read for Untouchable {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("read before the changes were checked")
        }
    }
    let fixture = Fixture::new();
    let error = |change: &str| {
        let options = ImportOptions { changes: vec![change.to_owned()], ..epoch() };
        import(&fixture.store, &mut Untouchable, &options, NO_PROGRESS).unwrap_err().to_string()
    };
    insta::assert_snapshot!(error("RUN true"), @"`RUN` is not a valid change command, expected one of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR");
    insta::assert_snapshot!(error("COPY a b"), @"`COPY` is not a valid change command, expected one of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR");
    insta::assert_snapshot!(error("FROM debian"), @"`FROM` is not a valid change command, expected one of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR");
    insta::assert_snapshot!(error("ENVV A=1"), @"invalid change: `ENVV A=1`: unknown instruction `ENVV` (did you mean `ENV`?)");
    insta::assert_snapshot!(error("ENV"), @"invalid change: `ENV`: `ENV` without a name and a value");
    insta::assert_snapshot!(error("CMD true\nRUN false"), @"`RUN` is not a valid change command, expected one of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR");
}

#[test]
fn compression_and_repetition_change_nothing() {
    let fixture = Fixture::new();
    let tar = tar_of(&[("etc/", ""), ("etc/a", "hello"), ("link", "-> etc/a")]);
    let once = import(&fixture.store, &mut &tar[..], &epoch(), NO_PROGRESS).unwrap();
    let again = import(&fixture.store, &mut &gzip(&tar)[..], &epoch(), NO_PROGRESS).unwrap();
    assert_eq!(once, again);
    let other = Fixture::new();
    assert_eq!(import(&other.store, &mut &tar[..], &epoch(), NO_PROGRESS).unwrap(), once);
    let image = fixture.store.image(&once).unwrap().unwrap();
    let upper = inspect(&fixture.store, &once.to_string()).unwrap().graph_driver.data.unwrap();
    assert!(upper["UpperDir"].contains(&image.layers[0].to_string()));
}

#[test]
fn an_import_says_where_it_came_from() {
    let fixture = Fixture::new();
    let tar = tar_of(&[("a", "hello")]);
    let id = import(&fixture.store, &mut &tar[..], &epoch(), NO_PROGRESS).unwrap();
    let steps = history(&fixture.store, &id.to_string()).unwrap();
    assert_eq!(steps.len(), 1);
    assert_eq!((steps[0].comment.as_str(), steps[0].size_bytes), ("Imported from -", 5));

    let options =
        ImportOptions { message: Some("by hand".into()), reference: Some("app".parse().unwrap()), ..epoch() };
    import(&fixture.store, &mut &tar[..], &options, NO_PROGRESS).unwrap();
    assert_eq!(inspect(&fixture.store, "app").unwrap().comment, "by hand");
}

#[test]
fn created_is_now_without_an_epoch() {
    let fixture = Fixture::new();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let options = ImportOptions { reference: Some("app".parse().unwrap()), ..ImportOptions::default() };
    let id = import(&fixture.store, &mut &tar_of(&[("a", "1")])[..], &options, NO_PROGRESS).unwrap();
    let created = fixture.store.image(&id).unwrap().unwrap().created_unix_s;
    assert!((now..now + 60).contains(&created));
}

#[test]
fn broken_tars_leave_nothing() {
    let fixture = Fixture::new();
    let tar = tar_of(&[("a", &"x".repeat(4000))]);
    let error = |bytes: &[u8]| {
        let options = ImportOptions { reference: Some("app".parse().unwrap()), ..epoch() };
        chain(&import(&fixture.store, &mut &bytes[..], &options, NO_PROGRESS).unwrap_err())
    };
    for bytes in
        [&tar[..1500], &gzip(&tar)[..30], b"this is not a tar, but it is long enough to be looked at as one"]
    {
        assert!(error(bytes).starts_with("cannot import the tar: "), "{}", error(bytes));
    }
    let error = error(
        &tar_of(&[("a", "1")])
            .iter()
            .enumerate()
            .map(|(i, b)| if i == 0 { b'/' } else { *b })
            .collect::<Vec<_>>(),
    );
    assert!(error.starts_with("cannot import the tar: "), "{error}");
    fixture.assert_nothing_visible();
    assert!(find(&fixture.store, "app").is_err());
}
