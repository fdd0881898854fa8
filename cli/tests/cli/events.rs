//! What happens in a store, as those see it who follow it.

use std::io::{BufRead, BufReader};

use crate::containers::start;
use crate::rootless::{SUBORDINATE, as_user, user};
use crate::support::{World, signal, spawn};

/// All that has happened and passes the filters.
fn all(world: &World, filters: &[&str]) -> String {
    world.ok([&["events", "--since", "0", "--until", "0s"], filters].concat())
}

#[test]
fn everything_that_happens_is_told() {
    let world = World::new();
    world.ok(["network", "create", "net"]);
    let options = ["--name", "web", "--network", "net", "-v", "data:/data"];
    start(&world, &options, "trap 'exit 4' TERM; echo ready; while true; do sleep 0.05; done");
    world.ok(["exec", "web", "true"]);
    world.ok(["pause", "web"]);
    world.ok(["unpause", "web"]);
    world.ok(["rename", "web", "old"]);
    world.ok(["stop", "old"]);
    world.ok(["rm", "old"]);
    assert_eq!(world.run(["run", "--rm", "--network", "none", "--name", "short", "bb", "false"]).code, 1);
    world.ok(["volume", "rm", "data"]);
    world.ok(["network", "rm", "net"]);
    world.ok(["tag", "bb", "other"]);
    world.ok(["rmi", "other"]);
    let _guard = settings(&world).bind_to_scope();
    insta::assert_snapshot!(all(&world, &[]), @"
    image import sha256:<digest> (name=sha256:<digest>)
    network create <id> (name=net, type=bridge)
    volume create data (driver=local)
    container create <id> (image=bb, name=web)
    network connect <id> (container=<id>, name=net, type=bridge)
    volume mount data (container=<id>, destination=/data, driver=local, propagation=, read/write=true)
    container start <id> (image=bb, name=web)
    container exec_create: true <id> (execID=<id>, image=bb, name=web)
    container exec_start: true <id> (execID=<id>, image=bb, name=web)
    container exec_die <id> (execID=<id>, exitCode=0, image=bb, name=web)
    container pause <id> (image=bb, name=web)
    container unpause <id> (image=bb, name=web)
    container rename <id> (image=bb, name=old, oldName=/web)
    container kill <id> (image=bb, name=old, signal=15)
    container die <id> (execDuration=<s>, exitCode=4, image=bb, name=old)
    network disconnect <id> (container=<id>, name=net, type=bridge)
    volume unmount data (container=<id>, driver=local)
    container stop <id> (image=bb, name=old)
    container destroy <id> (image=bb, name=old)
    container create <id> (image=bb, name=short)
    container attach <id> (image=bb, name=short)
    network connect <id> (container=<id>, name=none, type=null)
    container start <id> (image=bb, name=short)
    container die <id> (execDuration=<s>, exitCode=1, image=bb, name=short)
    network disconnect <id> (container=<id>, name=none, type=null)
    container destroy <id> (image=bb, name=short)
    volume destroy data (driver=local)
    network destroy <id> (name=net, type=bridge)
    image tag sha256:<digest> (name=other:latest)
    image untag sha256:<digest> (name=other:latest)
    ");
    insta::assert_snapshot!(all(&world, &["-f", "type=container", "-f", "event=die", "-f", "container=old"]), @"container die <id> (execDuration=<s>, exitCode=4, image=bb, name=old)");
    assert_eq!(world.run(["events", "-f", "nope=1"]).stderr, "ERROR: invalid filter 'nope'\n");
}

/// Without what differs from run to run.
fn settings(world: &World) -> insta::Settings {
    let mut settings = world.settings();
    settings.add_filter("(sha256:)?[0-9a-f]{64}", "<id>");
    settings.add_filter(r"(?m)^\S+ ", "");
    settings.add_filter(r"execDuration=\d+", "execDuration=<s>");
    settings.add_filter(r"reclaimed=[1-9]\d*", "reclaimed=<bytes>");
    settings
}

#[test]
fn files_images_and_what_is_pruned_are_told() {
    let world = World::new();
    std::fs::write(world.path("file"), "text").unwrap();
    world.ok(["create", "--name", "web", "-v", "/data", "bb", "true"]);
    world.ok(["cp", "file", "web:/tmp/file"]);
    world.ok(["cp", "web:/tmp/file", "copied"]);
    world.ok(["commit", "-m", "of web", "web", "committed"]);
    world.ok(["save", "-o", "saved.tar", "committed"]);
    world.ok(["load", "-q", "-i", "saved.tar"]);
    world.ok(["export", "-o", "exported.tar", "web"]);
    world.ok(["update", "--restart", "no", "web"]);
    world.ok(["network", "create", "net"]);
    world.ok(["container", "prune", "-f"]);
    world.ok(["network", "prune", "-f"]);
    world.ok(["volume", "prune", "-f"]);
    world.ok(["image", "prune", "-a", "-f"]);
    world.ok(["builder", "prune", "-f"]);
    let _guard = settings(&world).bind_to_scope();
    insta::assert_snapshot!(all(&world, &[]), @"
    image import sha256:<digest> (name=sha256:<digest>)
    volume create <id> (driver=local)
    container create <id> (image=bb, name=web)
    container extract-to-dir <id> (image=bb, name=web)
    container archive-path <id> (image=bb, name=web)
    container commit <id> (comment=of web, image=bb, imageID=sha256:<digest>, imageRef=committed:latest, name=web)
    image save sha256:<digest> (name=sha256:<digest>)
    image load sha256:<digest> (name=sha256:<digest>)
    container export <id> (image=bb, name=web)
    container update <id> (image=bb, name=web)
    network create <id> (name=net, type=bridge)
    container destroy <id> (image=bb, name=web)
    container prune  (reclaimed=<bytes>)
    network destroy <id> (name=net, type=bridge)
    network prune  (reclaimed=0)
    volume destroy <id> (driver=local)
    volume prune  (reclaimed=0)
    image untag sha256:<digest> (name=committed:latest)
    image delete sha256:<digest> (name=sha256:<digest>)
    image untag sha256:<digest> (name=bb:latest)
    image delete sha256:<digest> (name=sha256:<digest>)
    image prune  (reclaimed=<bytes>)
    builder prune  (reclaimed=<bytes>)
    ");
    insta::assert_snapshot!(all(&world, &["-f", "type=builder"]), @"builder prune  (reclaimed=<bytes>)");
}

#[test]
fn events_have_dockers_forms() {
    let world = World::new();
    world.ok(["create", "--name", "web", "--label", "tier=front", "bb", "true"]);
    let mut settings = world.settings();
    settings.add_filter("[0-9a-f]{64}", "<container>");
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+00:00", "<time>");
    settings.add_filter(r#"("time(Nano)?"):\d+"#, "$1:<time>");
    let _guard = settings.bind_to_scope();
    let wanted = ["--since", "1h", "--until", "0s", "-f", "event=create", "-f", "label=tier=front"];
    insta::assert_snapshot!(world.ok([&["events"][..], &wanted].concat()), @"<time> container create <container> (image=bb, name=web, tier=front)");
    insta::assert_snapshot!(world.ok([&["system", "events", "--format", "json"][..], &wanted].concat()), @r#"{"Action":"create","Actor":{"Attributes":{"image":"bb","name":"web","tier":"front"},"ID":"<container>"},"Type":"container","from":"bb","id":"<container>","scope":"local","status":"create","time":<time>,"timeNano":<time>}"#);
}

#[test]
fn who_follows_hears_what_comes() {
    let world = World::new();
    world.ok(["volume", "create", "before"]);
    let mut command = world.command(["events", "--format", "{{.Action}} {{.Actor.ID}}", "-f", "type=volume"]);
    let mut child = spawn(&mut command);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // It may not have begun to look: so one after the other, until one is heard.
    let mut heard = None;
    std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let world = &world;
        scope.spawn(move || {
            for number in 0.. {
                world.ok(["volume", "create", &format!("v{number}")]);
                if receiver.try_recv().is_ok() {
                    break;
                }
            }
        });
        heard = lines.next();
        sender.send(()).unwrap();
    });
    assert!(heard.unwrap().unwrap().starts_with("create v"));
    signal(child.id(), "TERM");
    child.wait().unwrap();
}

#[test]
fn a_user_has_events() {
    let Some(world) = user() else { return };
    let script = "slipway import rootfs.tar bb > id && slipway run --rm --network none --name web bb true &&
        slipway events --since 1h --until 0s --format '{{.Action}}' -f container=web | tr '\\n' ' '";
    let ran = as_user(&world, SUBORDINATE, script);
    assert_eq!(ran.stdout, "create attach start die destroy ", "{ran}");
}
