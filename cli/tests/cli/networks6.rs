//! Networks with IPv6 addresses, as root, with subordinate ids and with a single one.

use std::process::Command;

use crate::rootless::is_root;
use crate::sharing::everybody;
use crate::support::{Ran, World, binary};

#[test]
fn containers_have_ipv6_addresses_beside_the_others() {
    everybody(
        "slipway network create --ipv6 --subnet fd00:abc::/64 six > id
        slipway network inspect -f '{{.EnableIPv6}} {{with index .IPAM.Config 1}}{{.Subnet}} {{.Gateway}}{{end}}' six
        slipway run -d --name one --network six -p '[::1]::80' bb \\
            sh -c 'mkdir /www; echo hello > /www/file; echo ready; exec busybox httpd -f -p 80 -h /www' > id
        slipway run -d --name two --network name=six,ip6=fd00:abc::77 bb sleep 1000 > id
        until slipway logs one | grep -q ready; do sleep 0.05; done
        slipway inspect -f '{{with .NetworkSettings.Networks.six}}{{.IPv6Gateway}} {{.GlobalIPv6Address}}/{{.GlobalIPv6PrefixLen}}{{end}}' one two
        slipway network inspect -f '{{range .Containers}}{{.IPv6Address}} {{end}}' six | tr ' ' '\\n' | sort | grep .
        until slipway exec two busybox wget -qO- 'http://[fd00:abc::2]/file' 2> /dev/null; do sleep 0.05; done
        slipway exec two busybox ping6 -c 1 -w 60 one | head -n 1
        slipway exec two busybox nslookup -type=aaaa one.six | sed -n 's/^Address: //p'
        slipway exec two busybox nslookup fd00:abc::2 | sed -n 's/.*name = //p'
        slipway exec one sed -n '/^fd00/s/\\t.*//p' /etc/hosts
        busybox wget -qO- http://$(slipway port one 80)/file
        slipway network create --ipv6 own > id
        slipway network inspect -f '{{with index .IPAM.Config 1}}{{.Subnet}}{{end}}' own | grep -c '^fd.*/64$'
        slipway network connect own one
        slipway inspect -f '{{.NetworkSettings.Networks.own.GlobalIPv6Address}}' one | grep -c '^fd.*::2$'
        slipway rm -f one two && slipway network rm six own",
        "true fd00:abc::/64 fd00:abc::1\nfd00:abc::1 fd00:abc::2/64\nfd00:abc::1 fd00:abc::77/64\n\
         fd00:abc::2/64\nfd00:abc::77/64\nhello\nPING one (fd00:abc::2): 56 data bytes\nfd00:abc::2\none.six\n\
         fd00:abc::2\nhello\n1\n1\none\ntwo\nsix\nown\n",
    );
}

/// A host that has IPv6, and an Internet that is another namespace, with a server.
const HOST: &str = r#"
    mount -t tmpfs run /run && ip link set lo up && mkdir /run/www && echo hello > /run/www/file || exit 90
    unshare --net sh -c 'ip link set lo up && echo up && exec sleep 1000' > /run/internet &
    internet=$!
    until grep -q up /run/internet; do sleep 0.01; done
    ip link add up0 type veth peer name eth0 netns $internet && ip addr add 192.0.2.2/24 dev up0 &&
    ip addr add 2001:db8::2/64 dev up0 nodad && ip link set up0 up && ip route add default via 192.0.2.1 || exit 91
    nsenter --net=/proc/$internet/ns/net sh -c '
        ip addr add 192.0.2.1/24 dev eth0 && ip addr add 2001:db8::1/64 dev eth0 nodad && ip link set eth0 up &&
        ip addr add 198.51.100.7/32 dev lo && ip addr add 2001:db8:1::7/128 dev lo nodad || exit 92
        exec busybox httpd -f -p 80 -h /run/www' < /dev/null > /dev/null 2>&1 &
    until nsenter --net=/proc/$internet/ns/net grep -q ':0050 ' /proc/net/tcp6; do sleep 0.01; done
    eval "$1"
"#;

#[test]
fn ipv6_leads_out_as_root_where_the_host_has_it() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let script = r#"
        get() { "$SLIPWAY" run --rm --network "$1" bb busybox wget -qO- "http://$2/file" 2> /dev/null || echo none; }
        "$SLIPWAY" network create --ipv6 before > /run/id && "$SLIPWAY" network create plain > /run/id
        get before 198.51.100.7; get before '[2001:db8:1::7]'
        ip route add default via 2001:db8::1
        "$SLIPWAY" network create --ipv6 six > /run/id && "$SLIPWAY" network create --ipv6 --internal inside > /run/id
        for network in six plain inside; do get $network 198.51.100.7; get $network '[2001:db8:1::7]'; done
        cat /proc/sys/net/ipv6/conf/all/forwarding
        "$SLIPWAY" network rm before plain six inside > /run/id"#;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--mount-proc", "--pid", "--fork", "--kill-child=KILL"]);
    command.args(["sh", "-c", HOST, "sh", script]).current_dir(world.path("")).env_clear();
    command.env("SLIPWAY", binary()).env("SLIPWAY_ROOT", world.path("store")).env("HOME", world.path(""));
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let ran = Ran::of(&command.output().unwrap());
    let expected = "hello\nnone\nhello\nhello\nhello\nnone\nnone\nnone\n0\n";
    assert_eq!((ran.code, ran.stdout.as_str()), (0, expected), "{ran}");
}

#[test]
fn mistakes_with_ipv6_addresses_are_told() {
    let world = World::new();
    world.ok(["network", "create", "--ipv6", "--subnet", "fd00:abc::/64", "six"]);
    world.ok(["network", "create", "--ipv6", "own"]);
    world.ok([
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "six",
        "--ip6",
        "fd00:abc::5",
        "bb",
        "sleep",
        "1000",
    ]);
    let run = |network, address| ["run", "--rm", "--network", network, "--ip6", address, "bb", "true"];
    let create = |subnet| ["network", "create", "--ipv6", "--subnet", subnet, "other"];
    let cases: [(&[&str], i32, &str); 8] = [
        (&run("six", "fd00:abc::5"), 125, "Address already in use: fd00:abc::5"),
        (&run("six", "fd00::1"), 125, "no configured subnet or ip range contain the IP address fd00::1"),
        (&run("own", "fd00::1"), 125, "only when connecting to networks with user configured subnets"),
        (&create("fd00:abc::1:0/112"), 1, "Pool overlaps with other one on this address space"),
        (&create("fd00::/127"), 1, "invalid subnet fd00::/127: expected an IPv6 address"),
        (&["network", "create", "--subnet", "fd01::/64", "other"], 1, "IPv6 is not enabled"),
        (
            &["network", "create", "--ipv6", "--gateway", "fd00::1", "other"],
            1,
            "no matching subnet for gateway",
        ),
        (
            &["network", "create", "--subnet", "10.7.0.0/24", "--subnet", "10.8.0.0/24", "other"],
            1,
            "--subnet is given twice",
        ),
    ];
    for (arguments, code, expected) in cases {
        let ran = world.run(arguments);
        assert!(ran.code == code && ran.stderr.contains(expected), "{arguments:?}: {ran}");
    }
    assert_eq!(world.ok(["network", "ls", "-q", "-f", "type=custom"]).lines().count(), 2);
    world.ok(["rm", "-f", "web"]);
}
