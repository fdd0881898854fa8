//! What keeps a container apart, and what `exec` runs in it: the same for both, for root and for everybody else.

use crate::containers::{monitor, start};
use crate::rootless::is_root;
use crate::sharing::everybody;
use crate::support::{World, binary, spawn};

/// What a command in a container finds out about its walls. `$HOST` is a file of the host.
const PROBE: &str = r#"
    cd /proc/self; echo descriptors $(ls fd)
    sed -n 's/\t/ /; /^Cap[EBA]/p; /^NoNewPrivs/p; /^Seccomp:/p' status
    for file in sys/kernel/panic sys/kernel/core_pattern sysrq-trigger; do
        (echo 1 > /proc/$file) 2> /dev/null && echo wrote $file
    done
    for call in 'mount -t tmpfs none /tmp' 'unshare -U true' 'unshare -m true' 'unshare -n true' 'nsenter -t 1 -m true' \
        'hostname other' 'chroot / unshare -p true' 'dmesg' 'losetup /dev/loop0 /bin/busybox'; do
        busybox $call > /dev/null 2>&1 && echo "$call works"
    done
    busybox mknod /tmp/disk b 8 0 2> /dev/null; head -c 1 /tmp/disk 2> /dev/null && echo read a disk
    cat kcore /proc/kcore /proc/keys /proc/timer_list 2> /dev/null | head -c 1
    cat "$HOST" "/proc/1/root$HOST" "/proc/self/cwd$HOST" "/../..$HOST" 2> /dev/null
    for process in /proc/[0-9]*; do echo x 2> /dev/null > $process/exe; done
    kill -9 -1 2> /dev/null; echo the end
"#;

/// The same by `run`, and by `exec` in a container; and without the filter of system calls.
const PROBES: &str = "echo of the host > secret; export HOST=$PWD/secret
    slipway run --rm -i --network none -e HOST bb sh -s < probe
    slipway run -d --network none --name web bb sleep 1000 > id
    slipway exec -i -e HOST web sh -s < probe
    slipway rm -f web > id
    slipway run --rm --network none --security-opt seccomp=unconfined -e HOST bb \\
        sh -c 'cat \"$HOST\" \"/proc/1/root$HOST\" \"/proc/self/cwd$HOST\" || echo out of reach' 2> /dev/null";

#[test]
fn nothing_of_the_machine_is_in_reach() {
    let found = "descriptors 0 1 2 3\nCapEff: 00000000a80425fb\nCapBnd: 00000000a80425fb\nCapAmb: 0000000000000000\n\
                 NoNewPrivs: 1\nSeccomp: 2\nthe end\n";
    let script = format!("cat > probe <<'END'\n{PROBE}\nEND\n{PROBES}");
    everybody(&script, &format!("{found}{found}out of reach\n"));
}

#[test]
fn directories_and_users_are_those_of_the_image() {
    everybody(
        "slipway run -d --network none --name web bb sh -c 'ln -s /proc/self/fd/5 /link; echo ready; sleep 1000' > id
        until slipway logs web | grep -q ready; do sleep 0.05; done
        for directory in /proc/self/fd/5 /proc/1/cwd /bin/sh; do
            slipway run --rm --network none -w $directory bb pwd 2> /dev/null; echo $?
            slipway exec -w $directory web pwd 2> /dev/null; echo $?
        done
        for directory in /link /made/anew; do slipway exec -w $directory web pwd 2> /dev/null; echo $?; done
        slipway run --rm --network none -w /made/anew bb pwd; slipway run --rm --network none -w /tmp/../../etc bb pwd
        for user in 4294967296 -1 nobody 0:nobody; do
            slipway run --rm --network none -u $user bb id -u 2> /dev/null; echo $?
            slipway exec -u $user web id -u 2> /dev/null; echo $?
        done
        slipway exec -u +0 web id -u; slipway rm -f web",
        "125\n1\n125\n1\n125\n1\n1\n1\n/made/anew\n/etc\n125\n1\n125\n1\n125\n1\n125\n1\n0\nweb\n",
    );
}

#[test]
fn an_image_with_links_for_mount_points_changes_nothing() {
    everybody(
        "mkdir -p evil/bin evil/etc && cp /bin/busybox evil/bin/sh && echo untouched > canary && chmod 666 canary
        ln -s \"$PWD\" evil/dev; ln -s ../../../.. evil/proc; echo file > evil/sys
        for name in passwd group hosts resolv.conf hostname; do ln -s \"$PWD/canary\" evil/etc/$name; done
        tar cf evil.tar -C evil . && slipway import evil.tar evil > id
        for option in '-u 0' '-u root' '-w /dev' '--tmpfs /proc/x' '-v data:/etc/hosts'; do
            slipway run --rm --network none $option evil sh -c 'echo changed > /etc/hosts' > /dev/null 2>&1
        done
        slipway run -d --network none --name web evil sh -c 'while true; do sleep 1; done' > id 2>&1
        slipway exec web sh -c 'echo changed > /etc/resolv.conf' > /dev/null 2>&1
        slipway rm -f web > id 2>&1
        cat canary; ls -d evil/* | wc -l",
        "untouched\n5\n",
    );
}

#[test]
fn who_enters_a_container_leaves_no_way_to_the_binary() {
    let world = World::new();
    let before = std::fs::read(binary()).unwrap();
    let script = "echo ready; while true; do for process in /proc/[0-9]*; do
        echo x 2> /dev/null > $process/exe; cat /proc/${process##*/}/exe > /tmp/copy 2> /dev/null; done; done";
    start(&world, &["--name", "web"], script);
    for _ in 0..20 {
        assert_eq!(world.ok(["exec", "web", "echo", "entered"]), "entered\n");
    }
    world.ok(["rm", "-f", "web"]);
    assert!(std::fs::read(binary()).unwrap() == before);
}

#[test]
fn what_a_further_command_takes_is_limited_with_the_container() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let options = ["--name", "web", "--pids-limit", "20", "--memory", "64m"];
    start(&world, &options, "echo ready; sleep 1000");
    start(&world, &["--name", "other"], "echo ready; sleep 1000");
    let bomb = world.run(["exec", "web", "sh", "-c", "for i in $(seq 100); do sleep 1000 & done; echo all"]);
    assert!(bomb.code != 0 && bomb.stderr.contains("can't fork"), "{bomb}");
    let hog = world.run(["exec", "other", "echo", "goes on"]);
    assert_eq!(hog.stdout, "goes on\n", "{hog}");
    world.ok(["restart", "-t", "0", "web"]);
    let hog = world.run(["exec", "web", "sh", "-c", "x=x; while true; do x=$x$x; done"]);
    assert_eq!(hog.code, 137, "{hog}");
    assert_eq!(world.ok(["exec", "web", "echo", "goes on"]), "goes on\n");
    world.ok(["rm", "-f", "web", "other"]);
}

/// What a monitor may hold while nobody takes what its commands write, in kilobytes: far more than a few full buffers.
const MONITOR_KB_MAX: u64 = 64 << 10;

#[test]
fn endless_output_of_a_further_command_fills_nothing() {
    let world = World::new();
    start(&world, &["--name", "web"], "echo ready; sleep 1000");
    // One reader that stands still, and one that goes: then the command goes on for nobody, as with Docker.
    let mut slow = spawn(&mut world.command(["exec", "web", "yes"]));
    let mut client = spawn(&mut world.command(["exec", "web", "yes"]));
    let mut output = client.stdout.take().unwrap();
    std::io::Read::read_exact(&mut output, &mut vec![0; 10 << 20]).unwrap();
    drop(output);
    client.wait().unwrap();
    assert_eq!(world.ok(["exec", "web", "echo", "goes on"]), "goes on\n");
    let status = std::fs::read_to_string(format!("/proc/{}/status", monitor(&world, "web"))).unwrap();
    let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let held: u64 = held.trim_end_matches("kB").trim().parse().unwrap();
    assert!(held < MONITOR_KB_MAX, "{held} kB");
    world.ok(["rm", "-f", "web"]);
    drop(slow.stdout.take());
    slow.wait().unwrap();
}

#[test]
fn what_further_commands_leave_behind_ends_with_the_container() {
    everybody(
        "left() {
            for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $file; echo; done 2> /dev/null | grep -cx \"sleep 76543$1 \"
        }
        for how in stop kill; do
            slipway run -d --network none --name web bb sh -c 'trap exit TERM; sleep 765431 & wait' > id
            slipway exec -d web sh -c 'busybox setsid sleep 765432 & busybox setsid sleep 765433 & wait'
            until [ \"$(left 2) $(left 3)\" = '1 1' ]; do sleep 0.05; done
            if [ $how = stop ]; then slipway stop web; else
                pid=$(slipway inspect -f '{{.State.Pid}}' web)
                kill -9 $(sed -n 's/^PPid:\\t//p' /proc/$pid/status)
            fi
            until [ \"$(left 1) $(left 2) $(left 3)\" = '0 0 0' ]; do sleep 0.05; done
            slipway inspect -f '{{.State.Status}}' web; slipway rm web
        done",
        "web\nexited\nweb\nexited\nweb\n",
    );
}

/// Everything of ours that keeps containers of this store, and clients: killed at the same time.
const KILL_ALL: &str = r#"
    store=$(slipway info -f '{{.DockerRootDir}}')
    ours() { tr '\0' ' ' < /proc/$1/cmdline 2> /dev/null; }
    all() {
        for process in /proc/[0-9]*; do
            process=${process#/proc/}
            case "$(ours $process)" in slipway-monitor*"$store"*) ;; *) continue ;; esac
            echo $process
            for child in $(cat /proc/$process/task/$process/children); do
                case "$(ours $child)" in slipway-*) echo $child ;; esac
            done
        done
    }
"#;

#[test]
fn after_everything_was_killed_the_truth_is_told_and_all_goes_on() {
    let script = "slipway network create net > id
        for name in one two six; do
            slipway run -d --name $name --network net -v $name:/data -p 127.0.0.1::80 bb \\
                sh -c 'echo kept > /data/file; echo ready; exec sleep 654321' > id
            until slipway logs $name | grep -q ready; do sleep 0.05; done
        done
        slipway logs -f one > id & clients=$!; slipway attach two > id & clients=\"$clients $!\"
        slipway wait six > id & clients=\"$clients $!\"
        [ $(all | wc -l) -ge 6 ] || echo there is too little to kill
        kill -9 $(all) $clients
        left() { for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $file; echo; done 2> /dev/null | grep -x 'sleep 654321 '; }
        while [ -n \"$(left)\" ]; do sleep 0.05; done
        slipway ps -a --format '{{.Names}} {{.State}}' | sort
        slipway inspect -f '{{.State.ExitCode}} {{.State.Pid}}' one two six
        slipway network inspect -f '{{len .Containers}}' net
        grep -c \"$store\" /proc/self/mountinfo
        slipway start one two six && slipway exec one cat /data/file && slipway exec two busybox ping -c 1 -w 60 one > id && slipway port one 80 | wc -l
        slipway rm -f one two six && slipway network rm net && slipway volume rm one two six
        ls \"$store/containers\" \"$store/container-names\" | grep -v : | grep .
        slipway store check > id; echo $?";
    everybody(
        &format!("{KILL_ALL}{script}"),
        "one exited\nsix exited\ntwo exited\n137 0\n137 0\n137 0\n0\n0\none\ntwo\nsix\nkept\n1\none\ntwo\nsix\nnet\none\ntwo\nsix\n0\n",
    );
}
