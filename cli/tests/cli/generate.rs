//! Completions and man pages, which packages carry beside the binary.

use std::fs;
use std::process::Command;

#[test]
fn completions_and_man_pages_are_written() {
    let directory = tempfile::tempdir().unwrap();
    // The binary that users get does not have it.
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    let output = command.arg("__generate").arg(directory.path().join("out")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let names = |below: &str| {
        let entries = fs::read_dir(directory.path().join("out").join(below)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names.join(" ")
    };
    insta::assert_snapshot!(names("completions"), @"_slipway slipway.bash slipway.fish");
    insta::assert_snapshot!(names("man1"), @"slipway-attach.1 slipway-build.1 slipway-builder-build.1 slipway-builder-gc.1 slipway-builder-logs.1 slipway-builder-prune.1 slipway-builder.1 slipway-ci-init.1 slipway-ci.1 slipway-commit.1 slipway-container-attach.1 slipway-container-commit.1 slipway-container-cp.1 slipway-container-create.1 slipway-container-diff.1 slipway-container-exec.1 slipway-container-export.1 slipway-container-inspect.1 slipway-container-kill.1 slipway-container-logs.1 slipway-container-ls.1 slipway-container-pause.1 slipway-container-port.1 slipway-container-prune.1 slipway-container-rename.1 slipway-container-restart.1 slipway-container-rm.1 slipway-container-run.1 slipway-container-start.1 slipway-container-stats.1 slipway-container-stop.1 slipway-container-top.1 slipway-container-unpause.1 slipway-container-update.1 slipway-container-wait.1 slipway-container.1 slipway-cp.1 slipway-create.1 slipway-daemon.1 slipway-diff.1 slipway-doctor.1 slipway-events.1 slipway-exec.1 slipway-export.1 slipway-fmt.1 slipway-generate-systemd.1 slipway-generate.1 slipway-graph.1 slipway-history.1 slipway-image-build.1 slipway-image-cp.1 slipway-image-explore.1 slipway-image-history.1 slipway-image-import.1 slipway-image-inspect.1 slipway-image-load.1 slipway-image-ls.1 slipway-image-prune.1 slipway-image-pull.1 slipway-image-push.1 slipway-image-rm.1 slipway-image-save.1 slipway-image-tag.1 slipway-image.1 slipway-images.1 slipway-import.1 slipway-info.1 slipway-inspect.1 slipway-kill.1 slipway-load.1 slipway-login.1 slipway-logout.1 slipway-logs.1 slipway-manifest-create.1 slipway-manifest-inspect.1 slipway-manifest-push.1 slipway-manifest.1 slipway-network-connect.1 slipway-network-create.1 slipway-network-disconnect.1 slipway-network-inspect.1 slipway-network-ls.1 slipway-network-prune.1 slipway-network-rm.1 slipway-network.1 slipway-pause.1 slipway-port.1 slipway-ps.1 slipway-pull.1 slipway-push.1 slipway-rename.1 slipway-restart.1 slipway-rm.1 slipway-rmi.1 slipway-run.1 slipway-save.1 slipway-search.1 slipway-start.1 slipway-stats.1 slipway-stop.1 slipway-store-check.1 slipway-store.1 slipway-system-df.1 slipway-system-events.1 slipway-system-prune.1 slipway-system.1 slipway-tag.1 slipway-top.1 slipway-unpause.1 slipway-update.1 slipway-version.1 slipway-volume-create.1 slipway-volume-inspect.1 slipway-volume-ls.1 slipway-volume-prune.1 slipway-volume-rm.1 slipway-volume.1 slipway-wait.1 slipway-why.1 slipway.1");
    let page = fs::read_to_string(directory.path().join("out/man1/slipway-build.1")).unwrap();
    assert!(page.contains("build\\-arg"), "{page}");
    let completions = fs::read_to_string(directory.path().join("out/completions/slipway.bash")).unwrap();
    assert!(completions.contains("--build-arg") && !completions.contains(" __generate"), "{completions}");
}
