//! Ways out of an instance and into another, opened on purpose.

use super::{DropIns, audit, instance};
use crate::host::{alone, ragpod, root, sh, shared};

/// An instance that is on another's network, whose database listens there and lets everybody in.
#[test]
fn ways_to_another_instance_are_found() {
    let _host = shared();
    let near = instance("aud-near", &[]);
    let far = instance("aud-far", &["egress.mode=allow", "egress.allow=[\"api.example.com:443\"]"]);
    sh("printf 'local all all peer map=ragpod\\nhost all all 0.0.0.0/0 trust\\n' > ~/open_hba.conf").ok();
    let _far = DropIns::write(
        "aud-far",
        &[
            (
                "-postgres.container",
                "[Container]\nExec=-c listen_addresses=*\n\
             Volume=%h/open_hba.conf:/usr/local/share/ragpod/pg_hba.conf:ro\n",
            ),
            ("-egress.container", "[Container]\nEnvironment=EGRESS_ALLOW=localhost:3128\n"),
        ],
    );
    let _near =
        DropIns::write("aud-near", &[(".pod", "[Pod]\nNetwork=hybridrag-aud-far.network\n")]);
    far.up();
    near.up();
    let v = audit("aud-near");
    assert_eq!(v.ran.code, 1, "{}", v.ran);
    v.are(
        "fail",
        &[
            ("egress-mode", "the pod is on the network hybridrag-aud-far-network too"),
            ("other-database", "app connects to hybridrag-aud-far:5432 (aud-far)"),
            ("other-database", "app connects to 10."),
            ("other-gateway", "app connects to hybridrag-aud-far-egress:3128"),
            ("drop-ins", "Network=hybridrag-aud-far.network"),
        ],
    );
    let v = audit("aud-far");
    assert_eq!(v.ran.code, 1, "{}", v.ran);
    v.are(
        "fail",
        &[
            ("database-loopback", "app connects to 10."),
            ("database-loopback", "egress connects to 10."),
            ("database-password", "a wrong password is let in"),
            ("database-password", "no password is let in"),
            ("database-password", "the superuser"),
            ("allowed-host", "CONNECT api.example.com:443: 403"),
            ("denied-host", "CONNECT localhost:3128: 200: let through"),
            ("drop-ins", "Environment=EGRESS_ALLOW"),
        ],
    );
}

/// A bridge that forwards what comes back from an internal network: the way from one gateway to
/// another instance is open.
#[test]
fn ways_from_one_gateway_to_another_instance_are_found() {
    let _host = alone();
    let allow = ["egress.mode=allow", "egress.allow=[\"api.example.com:443\"]"];
    let one = instance("aud-gate", &allow);
    let two = instance("aud-gate-too", &allow);
    ragpod(&["up", &one.name, &two.name]).ok();
    sh("podman unshare --rootless-netns sh -euc \
        'for f in /proc/sys/net/ipv4/conf/podman*/forwarding; do echo 1 > $f; done'")
    .ok();
    let v = audit("aud-gate");
    assert_eq!(v.ran.code, 1, "{}", v.ran);
    v.are(
        "fail",
        &[("other-gateway", "egress connects to 10."), ("other-gateway", "(aud-gate-too)")],
    );
    v.are(
        "warn",
        &[
            ("other-database", "nobody listens there, but its network is reached"),
            ("networks", "forwards packets"),
        ],
    );
}

/// Open egress is named, not claimed.
#[test]
fn open_egress_is_named() {
    let _host = shared();
    let one = instance("aud-open", &["egress.mode=open"]);
    one.up();
    let v = audit("aud-open");
    v.are("warn", &[("egress-mode", "egress.mode is open"), ("public-address", "app")]);
    v.are("skip", &[("allowed-host", "open"), ("denied-host", "open")]);
    assert_eq!(v.ran.code, 0, "{}", v.ran);
}

/// An address of the outside's on the host itself, with a service and a resolver there.
const OUTSIDE: &str = "
    ip address replace 192.0.2.1/32 dev lo
    cat > /run/outside.py <<'P'
import socket, threading
web = socket.create_server(('192.0.2.1', 443))
names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(('192.0.2.1', 53))
def answer():
    while True:
        query, who = names.recvfrom(512)
        end = query.index(0, 12) + 5
        record = b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\xc0\\0\\2\\x01'
        head = query[:2] + b'\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0'
        names.sendto(head + query[12:end] + record, who)
threading.Thread(target=answer, daemon=True).start()
while True:
    web.accept()[0].close()
P
    systemctl reset-failed e2e-outside 2>/dev/null || true
    systemd-run --quiet --unit e2e-outside python3 /run/outside.py";

#[test]
fn ways_out_are_found() {
    // The host's own address changes meanwhile.
    let _host = alone();
    let one = instance("aud-out", &[]);
    let _drop_ins = DropIns::write(
        "aud-out",
        &[
            (".pod", "[Pod]\nPublishPort=127.0.0.1:18432:5432\n[Service]\nExecStartPost=\n"),
            (".network", "[Network]\nInternal=false\nDNS=192.0.2.1\nOptions=isolate=false\n"),
        ],
    );
    let outside = root(OUTSIDE);
    if let Some(ran) = &outside {
        assert_eq!(ran.code, 0, "{ran}");
    }
    one.up();
    let v = audit("aud-out");
    root("systemctl stop e2e-outside; ip address del 192.0.2.1/32 dev lo");
    assert_eq!(v.ran.code, 1, "{}", v.ran);
    v.are(
        "fail",
        &[
            ("egress-mode", "the pod has a default route through eth0 (IPv4)"),
            ("published-ports", "pod publishes 5432/tcp as 127.0.0.1:18432"),
            ("networks", "hybridrag-aud-out-network is not internal"),
            ("networks", "does not isolate strictly"),
            ("drop-ins", "PublishPort=127.0.0.1:18432:5432, ExecStartPost"),
            ("drop-ins", "Internal=false"),
            ("drop-ins", "Options=isolate=false"),
        ],
    );
    if outside.is_some() {
        v.are(
            "fail",
            &[
                ("public-address", "app connects to 192.0.2.1:443"),
                ("outside-name", "example.com asked of 10."),
                ("outside-name", "resolved"),
                ("host-services", "where ragpod listened on the host"),
            ],
        );
    }
}
