//! An instance in which every claim holds, for the tests of each judgement.

use super::facts::*;
use super::*;
use crate::model::Part;
use crate::podman::{Attachment, HostConfig, Inspected, NetworkInfo};
use std::collections::BTreeMap;

/// An instance `a` that runs, with nothing wrong, and another one beside it.
pub(super) fn facts(mode: &'static str) -> Facts {
    let name: Name = "a".parse().unwrap();
    let mut parts = vec![Part::Network, Part::Pod, Part::Postgres, Part::App];
    if mode == "allow" {
        parts.extend([Part::EgressNetwork, Part::Egress]);
    }
    let containers = parts
        .iter()
        .filter(|p| p.is_running_service())
        .map(|p| (*p, container(*p, &name)))
        .collect();
    let network = |part: Part| NetworkInfo {
        name: part.podman_name(&name),
        driver: "bridge".into(),
        network_interface: String::new(),
        internal: part == Part::Network,
        options: BTreeMap::from([("isolate".into(), "strict".into())]),
    };
    let own = SelfReport {
        root: vec!["ro".into(), "relatime".into()],
        processes: vec![Process {
            pid: 1,
            name: "init".into(),
            uids: vec![1000; 4],
            caps: 0,
            no_new_privileges: true,
            seccomp: 2,
        }],
        secrets: vec![SecretFile { name: "postgres-password".into(), mode: 0o400, uid: 1000 }],
    };
    Facts {
        mode,
        allowed: Vec::new(),
        images: BTreeMap::from([(Part::App, "localhost/x:1".to_owned())]),
        selves: parts.iter().filter(|p| p.is_container()).map(|p| (*p, Ok(own.clone()))).collect(),
        containers,
        networks: vec![network(Part::Network), network(Part::EgressNetwork)],
        forwarding: Ok(BTreeMap::new()),
        app: Ok(Answers::default()),
        gateway: if mode == "allow" { Ok(Vec::new()) } else { Err("no gateway".into()) },
        database: Ok(Database {
            role: "super=false createrole=false".into(),
            wrong_password: "psql: FATAL:  password authentication failed for user".into(),
            superuser: "psql: FATAL:  pg_hba.conf rejects connection for host".into(),
            no_password: "psql: fe_sendauth: no password supplied".into(),
        }),
        listener: Ok(40000),
        others: vec![Other {
            name: "b".into(),
            pod: vec!["10.89.9.2".into(), "hybridrag-b".into()],
            gateway: vec!["10.89.9.3".into()],
        }],
        scan: Ok(Scan { values: 1, places: 3, ..Scan::default() }),
        units: Units {
            installed: true,
            changes: Ok(Vec::new()),
            loaded: Ok(Vec::new()),
            unread: Vec::new(),
            drop_ins: Vec::new(),
        },
        parts,
        name,
    }
}

fn container(part: Part, name: &Name) -> Inspected {
    let mut c = Inspected {
        name: part.podman_name(name),
        image_name: "localhost/x:1".into(),
        host_config: HostConfig {
            readonly_rootfs: true,
            network_mode: if part == Part::Egress { "bridge" } else { "container:9" }.into(),
            security_opt: vec!["no-new-privileges".into()],
            ..HostConfig::default()
        },
        ..Inspected::default()
    };
    let networks = match part {
        Part::Pod => &[Part::Network][..],
        Part::Egress => &[Part::Network, Part::EgressNetwork],
        _ => &[],
    };
    for network in networks {
        c.network_settings.networks.insert(network.podman_name(name), Attachment::default());
    }
    c
}

/// An attempt of the app's.
pub(super) fn tried(host: &str, port: u16, outcome: Outcome) -> Connection {
    Connection { host: host.into(), port, outcome, said: "said".into(), token: false }
}

/// An answer of the gateway's.
pub(super) fn reply(line: &str, code: Option<u16>) -> Reply {
    Reply { line: line.into(), code, error: code.is_none().then(|| "no answer".into()) }
}

#[test]
fn nothing_that_was_not_tried_passes() {
    let mut idle = facts("allow");
    idle.containers.clear();
    idle.selves.clear();
    idle.networks.clear();
    idle.app = Err("app of a is not running".into());
    idle.gateway = Err("egress of a is not running".into());
    idle.database = Err("postgres of a is not running".into());
    let checks = judge(&idle, &Targets::default());
    for check in &checks {
        // What lies on disk can be looked at all the same.
        let on_disk = ["secret-values", "units-match", "units-loaded", "drop-ins"];
        let expected = if on_disk.contains(&check.id) { Status::Pass } else { Status::Skip };
        assert_eq!(check.status, expected, "{check:?}");
        assert!(!check.detail.is_empty());
    }
    // A probe that ran and answered nothing has tried nothing.
    let mut mute = facts("allow");
    mute.app = Ok(Answers::default());
    for check in judge(&mute, &Targets::default()) {
        if ["public-address", "host-services", "denied-host"].contains(&check.id) {
            assert_eq!(check.status, Status::Skip, "{check:?}");
        }
    }
}

#[test]
fn identifiers_are_unique_and_breaches_have_a_cure() {
    let checks = judge(&facts("none"), &Targets::default());
    let ids: std::collections::BTreeSet<&str> = checks.iter().map(|c| c.id).collect();
    assert_eq!(ids.len(), checks.len());
    for id in ids {
        let broken = with_cure(Check::new(id, Status::Fail, "x"), &"a".parse().unwrap());
        assert!(broken.fix.is_some_and(|f| f.contains(':')), "{id}");
    }
}

#[test]
fn one_document() {
    let check = Check::new("drop-ins", Status::Fail, "why").fix("what");
    let audit = Audit { checks: vec![Audited { instance: "a".into(), check }], idle: Vec::new() };
    assert_eq!(audit.breaches(), 1);
    assert_eq!(
        serde_json::to_value(&audit).unwrap(),
        serde_json::json!({"checks": [{"instance": "a", "id": "drop-ins", "status": "fail",
            "detail": "why", "fix": "what"}]})
    );
}
