use super::*;

const YAML: &str = "\
cdiVersion: 0.6.0
kind: vendor.com/gpu
annotations: {org.mobyproject.buildkit.device.class: fast}
containerEdits: {env: [ALL=1]}
devices:
  - name: '1'
    containerEdits:
      env: [ONE=1]
      deviceNodes: [{path: /dev/gpu1, hostPath: /dev/null, type: c, major: 1, minor: 3, permissions: rw, uid: 3, fileMode: 432}]
  - name: '0'
    annotations: {org.mobyproject.buildkit.device.autoallow: 'true'}
    containerEdits:
      mounts: [{hostPath: /usr/lib/gpu, containerPath: /lib/gpu, options: [ro, nosuid, nodev, rbind]}]
";

/// The devices of two directories with these files.
fn load(files: &[(&str, &str)]) -> Devices {
    let dir = tempfile::tempdir().unwrap();
    let directories = ["a", "b"].map(|name| dir.path().join(name));
    directories.iter().for_each(|directory| fs::create_dir(directory).unwrap());
    files.iter().for_each(|(name, text)| fs::write(dir.path().join(name), text).unwrap());
    Devices::load(&directories)
}

fn ask(devices: &Devices, names: &[&str], grants: &[DeviceGrant]) -> String {
    let asked: Vec<_> =
        names.iter().map(|name| Device { name: (*name).to_owned(), required: true }).collect();
    match devices.edits(&asked, grants) {
        Ok(edits) => format!("{:?} {:?}", edits.env, edits.mounts),
        Err(error) => error.to_string(),
    }
}

#[test]
fn devices_bring_what_their_file_says() {
    let devices = load(&[("a/gpu.yaml", YAML)]);
    let all = [DeviceGrant::All];
    let one = ask(&devices, &["vendor.com/gpu=1"], &all);
    insta::assert_snapshot!(one, @r#"[("ALL", "1"), ("ONE", "1")] [Device { source: "/dev/null", target: "/dev/gpu1", owner: Some((3, 0)), mode: Some(432) }]"#);
    let first = ask(&devices, &["vendor.com/gpu"], &all);
    insta::assert_snapshot!(first, @r#"[("ALL", "1")] [Bind { source: "/usr/lib/gpu", subpath: "", target: "/lib/gpu", read_only: true, binding: Binding { below: All, propagation: Private } }]"#);
    let both = ask(&devices, &["vendor.com/gpu=*"], &all);
    assert_eq!(both, ask(&devices, &["vendor.com/gpu=fast"], &all));
    assert_eq!(both, ask(&devices, &["vendor.com/gpu=1", "vendor.com/gpu=0", "vendor.com/gpu"], &all));
    assert!(both.contains("/dev/gpu1") && both.contains("/lib/gpu"), "{both}");
}

#[test]
fn a_device_has_to_be_allowed() {
    let devices = load(&[("a/gpu.yaml", YAML)]);
    let refused = "device vendor.com/gpu=1 is requested by the build but not allowed";
    assert_eq!(ask(&devices, &["vendor.com/gpu=1"], &[]), refused);
    assert_eq!(ask(&devices, &["vendor.com/gpu=*"], &[]), refused);
    assert!(ask(&devices, &["vendor.com/gpu=0"], &[]).contains("/lib/gpu"), "it allows itself");
    let named = |name: &str| [DeviceGrant::Named(name.to_owned())];
    assert!(ask(&devices, &["vendor.com/gpu=1"], &named("vendor.com/gpu=1")).contains("/dev/gpu1"));
    assert!(ask(&devices, &["vendor.com/gpu=1"], &named("vendor.com/gpu=*")).contains("/dev/gpu1"));
    assert_eq!(ask(&devices, &["vendor.com/gpu=1"], &named("vendor.com/gpu=0")), refused);
    let aliased = [DeviceGrant::Aliased { name: "vendor.com/gpu=1".to_owned(), alias: "gpu".to_owned() }];
    assert!(ask(&devices, &["gpu"], &aliased).contains("/dev/gpu1"));
    assert_eq!(ask(&devices, &["vendor.com/gpu=1"], &aliased), refused);
}

#[test]
fn later_directories_go_before_earlier_ones() {
    let json = |name: &str| {
        format!(
            r#"{{"cdiVersion":"0.5.0","kind":"vendor.com/gpu","devices":[{{"name":"1","containerEdits":{{"env":["FROM={name}"]}}}}]}}"#
        )
    };
    let devices = load(&[("a/gpu.yaml", YAML), ("b/gpu.json", &json("b"))]);
    assert_eq!(ask(&devices, &["vendor.com/gpu=1"], &[DeviceGrant::All]), r#"[("FROM", "b")] []"#);
    let devices = load(&[("b/x.json", &json("x")), ("b/y.json", &json("y"))]);
    let error = ask(&devices, &["vendor.com/gpu=1"], &[DeviceGrant::All]);
    assert!(error.contains("vendor.com/gpu=1 is described twice in"), "{error}");
}

#[test]
fn what_is_missing_or_broken_is_told() {
    let device = |edits: &str| {
        format!("cdiVersion: 1.0.0\nkind: v.com/c\ndevices: [{{name: x, containerEdits: {edits}}}]\n")
    };
    let error = |text: &str, name: &str| {
        let error = ask(&load(&[("a/file.yaml", text)]), &[name], &[DeviceGrant::All]);
        error.split(" (`/").next().unwrap().split("/a/file.yaml` ").last().unwrap().to_owned()
    };
    for (edits, expected) in [
        ("{hooks: [{hookName: createContainer, path: /x}]}", "hooks, which would run outside of the sandbox"),
        ("{additionalGids: [1]}", "additional groups"),
        ("{netDevices: [{hostInterfaceName: a, name: b}]}", "network devices"),
        ("{env: [A]}", "the variable `A` without a value"),
        ("{deviceNodes: [{path: /dev/x, permissions: r}]}", "`/dev/x` with the permissions `r` alone"),
        ("{deviceNodes: [{path: /dev/null, type: p}]}", "`/dev/null` to be another device than it is"),
        ("{deviceNodes: [{path: /dev/null, type: b}]}", "`/dev/null` to be another device than it is"),
        (
            "{deviceNodes: [{path: /dev/null, type: c, major: 1, minor: 5}]}",
            "`/dev/null` to be another device than it is",
        ),
        ("{deviceNodes: [{path: /nonexistent}]}", "`/nonexistent`: No such file or directory (os error 2)"),
        ("{mounts: [{hostPath: /a, containerPath: /b, options: [noexec]}]}", "`/b` mounted with `noexec`"),
        ("{mounts: [{hostPath: /a, containerPath: /b, type: nfs}]}", "a file system `nfs` at `/b`"),
    ] {
        assert_eq!(error(&device(edits), "v.com/c=x"), format!("device v.com/c=x needs {expected}"));
    }
    assert_eq!(error(&device("{}"), "v.com/c=y"), "required device \"v.com/c=y\" is not registered");
    assert_eq!(error(&device("{}"), "gpu"), "invalid device `gpu`, expected VENDOR/CLASS=NAME");
    assert_eq!(error(&device("{}").replace("1.0.0", "7.0.0"), "v.com/c"), "has the unknown version `7.0.0`");
    assert_eq!(error(&device("{}").replace("v.com/c", "v.com"), "v.com/c"), "has the invalid kind `v.com`");
    assert!(error(&device("{new: 1}"), "v.com/c").contains("new"));
}

#[test]
fn an_optional_device_need_not_be_there() {
    let asked = [Device { name: "v.com/c=x".to_owned(), required: false }];
    let edits = Devices::load(&["/nonexistent"]).edits(&asked, &[]).unwrap();
    assert!(edits.env.is_empty() && edits.mounts.is_empty());
}
