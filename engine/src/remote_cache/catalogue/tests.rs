use serde_json::{Value, json};

use super::draft::newest;
use super::*;
use crate::remote_cache::foreign::ForeignLink;

fn digest(number: u8) -> Digest {
    Digest([number; 32])
}

fn layer(number: u8) -> LayerEntry {
    let descriptor = Descriptor::new(MediaType::LayerGzip, BlobDigest(digest(number)), 7);
    let blob = Some(BlobEntry::new(&descriptor));
    LayerEntry { diff_id: DiffId(digest(number)), parent: None, epoch: None, blob }
}

fn record(key: u8, layer: Option<u32>, used: i64) -> RecordEntry {
    RecordEntry { key: digest(key), offered: None, layer, created: 5, took: None, used }
}

/// Two records, the second on top of the first.
fn catalogue() -> Catalogue {
    let mut draft = Draft::new(Catalogue::default(), 100, &BTreeSet::new());
    let one = draft.chain([layer(1)].into_iter());
    draft.record(record(10, one, 100), true);
    let two = draft.chain([layer(1), layer(2)].into_iter());
    draft.record(record(20, two, 100), true);
    draft.finish().expect("it is new")
}

#[test]
fn catalogue_v1_never_changes() {
    let json = String::from_utf8(catalogue().to_json()).unwrap();
    let short = json.replace(&digest(1).hex(), "<1>").replace(&digest(2).hex(), "<2>");
    let short = short.replace(&digest(10).hex(), "<10>").replace(&digest(20).hex(), "<20>");
    insta::assert_snapshot!(short, @r#"
    {"layers":[{"blob":{"digest":"sha256:<1>","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":7},"diffId":"sha256:<1>"},{"blob":{"digest":"sha256:<2>","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":7},"diffId":"sha256:<2>","parent":0}],"records":[{"created":5,"key":"sha256:<10>","layer":0,"used":100},{"created":5,"key":"sha256:<20>","layer":1,"used":100}],"states":[],"version":1}
    "#);
    assert_eq!(Catalogue::parse(json.as_bytes(), &[]).unwrap(), catalogue());
    assert_eq!(Catalogue::parse(&catalogue().to_buildkit_json(), &[]).unwrap(), catalogue());
}

#[test]
fn buildkit_finds_layers_and_records_where_it_looks() {
    let link = ForeignLink { selector: Some(digest(40)), record: 0 };
    let foreign = |key: u8, inputs, layer| ForeignRecord {
        key: digest(key),
        inputs,
        layer,
        created: layer.map_or(0, |_| 5),
    };
    let records = vec![foreign(30, Vec::new(), None), foreign(31, vec![vec![link]], Some(1))];
    let catalogue = catalogue().with_foreign(records);
    let document: Value = serde_json::from_slice(&catalogue.to_buildkit_json()).unwrap();
    assert_eq!(document["layers"][0]["parent"], -1);
    assert_eq!(document["layers"][1]["parent"], 0);
    assert_eq!(document["layers"][1]["annotations"]["diffID"], json!(digest(2)));
    assert_eq!(document["records"][1]["layers"][0]["layer"], 1);
    assert_eq!(document["records"][1]["digest"], json!(digest(31)));
    assert_eq!(document["records"][1]["inputs"], json!([[{"link": 0, "selector": digest(40)}]]));
    assert_eq!(Catalogue::parse(&catalogue.to_buildkit_json(), &[]).unwrap(), catalogue);
}

#[test]
fn what_cannot_be_is_refused() {
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut document: Value = serde_json::from_slice(&catalogue().to_json()).unwrap();
        change(&mut document);
        Catalogue::parse(&serde_json::to_vec(&document).unwrap(), &[]).unwrap_err().to_string()
    };
    let said = [
        wrong(&|it| it["version"] = json!(2)),
        wrong(&|it| it["layers"][1]["parent"] = json!(1)),
        wrong(&|it| it["layers"][0]["parent"] = json!(7)),
        wrong(&|it| it["layers"][0]["blob"]["mediaType"] = json!("text/html")),
        wrong(&|it| it["layers"][0]["blob"]["size"] = json!(1_u64 << 50)),
        wrong(&|it| it["layers"][0]["diffId"] = json!("../../etc/passwd")),
        wrong(&|it| it["records"][0]["layer"] = json!(2)),
        wrong(&|it| it["records"][0]["key"] = json!("sha512:00")),
        wrong(&|it| *it = json!({"layers": [], "records": [{}, {}]})),
        wrong(&|it| *it = json!({"layers": [{"blob": digest(1), "parent": 7}]})),
        wrong(&|it| {
            *it = json!({"layers": [{"blob": digest(1), "parent": -1}, {"blob": digest(2), "parent": 2},
                {"blob": digest(3), "parent": 1}]});
        }),
        wrong(&|it| *it = json!({"records": [{"digest": digest(1), "inputs": [[{"link": 1}]]}]})),
        wrong(&|it| *it = json!({"records": [{"digest": digest(1), "layers": [{"layer": 0}]}]})),
        wrong(&|it| *it = json!("text")),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    it has version 2, this slipway knows 1
    its layer 1 cannot be: it lies on one that follows
    its layer 0 cannot be: it lies on one that follows
    its layer 0 cannot be: its blob is no layer
    its layer 0 cannot be: its blob is no layer
    it is not the JSON of a catalogue
    its record 0 cannot be: its layer is not there
    it is not the JSON of a catalogue
    it is not the JSON of a catalogue
    its layer 0 cannot be: it lies on one that is not there
    its layer 1 cannot be: it lies on too many others
    its record 0 cannot be: what it was made from is not there
    its record 0 cannot be: its layer is not there
    it is not the JSON of a catalogue
    ");
}

#[test]
fn a_chain_has_an_end_that_is_near() {
    let mut long = catalogue();
    long.layers = (0..=CHAIN_MAX)
        .map(|at| LayerEntry { parent: at.checked_sub(1).map(|at| at as u32), ..layer(1) })
        .collect();
    let error = Catalogue::parse(&long.to_json(), &[]).unwrap_err().to_string();
    assert_eq!(error, format!("its layer {CHAIN_MAX} cannot be: it lies on too many others"));
}

#[test]
fn the_same_again_is_no_news() {
    let mut draft = Draft::new(catalogue(), 200, &BTreeSet::new());
    let two = draft.chain([layer(1), layer(2)].into_iter());
    draft.record(record(20, two, 200), false);
    assert!(draft.finish().is_none());
    // Another result of a key stays out, unless it was made on purpose.
    let other = |replaces| {
        let mut draft = Draft::new(catalogue(), 200, &BTreeSet::new());
        let three = draft.chain([layer(3)].into_iter());
        draft.record(record(20, three, 200), replaces);
        draft.finish().map(|catalogue| catalogue.chain(catalogue.records[1].layer)[0].diff_id)
    };
    assert_eq!((other(false), other(true)), (None, Some(DiffId(digest(3)))));
}

#[test]
fn records_on_what_is_broken_go_with_its_layers() {
    let draft = Draft::new(catalogue(), 100, &BTreeSet::from([DiffId(digest(2))]));
    let upper = draft.finish().expect("one is gone");
    assert_eq!((upper.records.len(), upper.layers.len()), (1, 1));
    assert_eq!(upper.records[0].key, digest(10));
    let draft = Draft::new(catalogue(), 100, &BTreeSet::from([DiffId(digest(1))]));
    let lower = draft.finish().expect("both are gone");
    assert_eq!((lower.records.len(), lower.layers.len()), (0, 0));
}

#[test]
fn what_is_too_much_leaves_the_oldest_out_first() {
    let mut large = catalogue();
    let parent = |at: usize| (!at.is_multiple_of(CHAIN_MAX)).then(|| at as u32 - 1);
    let chains = LAYERS_MAX / CHAIN_MAX + 1;
    large.layers = (0..chains * CHAIN_MAX).map(|at| LayerEntry { parent: parent(at), ..layer(1) }).collect();
    let top = |chain: usize| Some(((chain + 1) * CHAIN_MAX - 1) as u32);
    large.records = (0..chains).map(|chain| record(chain as u8, top(chain), 100 + chain as i64)).collect();
    let newest = newest(&large.layers, large.records);
    let keys: Vec<_> = newest.iter().map(|record| record.key).collect();
    let expected: Vec<_> = (1..chains as u8).rev().map(digest).collect();
    assert_eq!(keys, expected);
}

#[test]
fn what_nobody_uses_goes_with_its_layers() {
    let late = 100 + UNUSED_S_MAX;
    let mut draft = Draft::new(catalogue(), late, &BTreeSet::new());
    let one = draft.chain([layer(1)].into_iter());
    draft.record(record(10, one, late), false);
    let catalogue = draft.finish().expect("the time of the use is old");
    assert_eq!((catalogue.records.len(), catalogue.records[0].used), (2, late));
    let draft = Draft::new(catalogue, late + 1, &BTreeSet::new());
    let catalogue = draft.finish().expect("one is gone");
    assert_eq!((catalogue.records.len(), catalogue.layers.len()), (1, 1));
}
