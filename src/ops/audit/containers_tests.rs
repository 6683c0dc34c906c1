use super::super::facts::Process;
use super::super::tests::facts;
use super::*;
use crate::podman::{Binding, Mount};

fn of_self(change: impl FnOnce(&mut SelfReport)) -> Facts {
    let mut facts = facts("none");
    change(facts.selves.get_mut(&Part::App).unwrap().as_mut().unwrap());
    facts
}

fn of_container(part: Part, change: impl FnOnce(&mut Inspected)) -> Facts {
    let mut facts = facts("allow");
    change(facts.containers.get_mut(&part).unwrap());
    facts
}

#[test]
fn users() {
    assert_eq!(container_user(&facts("none")).status, Status::Pass);
    let root = container_user(&of_self(|r| r.processes[0].uids[2] = 0));
    assert_eq!((root.status, &root.detail[..]), (Status::Fail, "app: process 1 (init) is root"));
    assert_eq!(container_user(&of_self(|r| r.processes.clear())).status, Status::Skip);
    let mut down = facts("none");
    down.selves.insert(Part::Postgres, Err("cannot run anything in it".into()));
    assert_eq!(container_user(&down).status, Status::Skip);
}

#[test]
fn privileges() {
    let of =
        |change: fn(&mut Process)| container_privileges(&of_self(|r| change(&mut r.processes[0])));
    assert_eq!(of(|_| {}).status, Status::Pass);
    let caps = of(|p| p.caps = 1 << 12 | 1 << 40);
    assert_eq!(caps.status, Status::Fail);
    assert!(caps.detail.contains("CAP_NET_ADMIN, capability 40"), "{}", caps.detail);
    assert!(of(|p| p.caps = u64::MAX).detail.contains("64 capabilities"));
    assert!(of(|p| p.no_new_privileges = false).detail.contains("gain"));
    assert!(of(|p| p.seccomp = 0).detail.contains("filter"));
}

#[test]
fn roots_and_secrets() {
    assert_eq!(read_only_root(&facts("none")).status, Status::Pass);
    assert_eq!(read_only_root(&of_self(|r| r.root = vec!["rw".into()])).status, Status::Fail);
    assert_eq!(read_only_root(&of_self(|r| r.root.clear())).status, Status::Skip);
    let mode = |mode| secret_files(&of_self(|r| r.secrets[0].mode = mode)).status;
    assert_eq!(mode(0o400), Status::Pass);
    assert_eq!(mode(0o440), Status::Warn);
    assert_eq!(mode(0o444), Status::Fail);
    let mut none = facts("none");
    none.selves.values_mut().for_each(|s| s.as_mut().unwrap().secrets.clear());
    assert_eq!(secret_files(&none).status, Status::Skip);
}

#[test]
fn ports() {
    assert_eq!(published_ports(&facts("none")).status, Status::Pass);
    let bound = vec![Binding { host_ip: String::new(), host_port: "15432".into() }];
    let pod = of_container(Part::Pod, |c| {
        c.network_settings.ports.insert("5432/tcp".into(), Some(bound));
        c.network_settings.ports.insert("80/tcp".into(), None);
    });
    let check = published_ports(&pod);
    assert_eq!(check.detail, "pod publishes 5432/tcp as 0.0.0.0:15432");
    let all = of_container(Part::App, |c| c.host_config.publish_all_ports = true);
    assert_eq!(published_ports(&all).status, Status::Fail);
    let mut down = facts("none");
    down.containers.clear();
    assert_eq!(published_ports(&down).status, Status::Skip);
}

#[test]
fn networks_as_made() {
    let of = |change: fn(&mut Facts)| {
        let mut facts = facts("allow");
        change(&mut facts);
        networks(&facts).status
    };
    assert_eq!(of(|_| {}), Status::Pass);
    assert_eq!(of(|f| f.networks[0].internal = false), Status::Fail);
    assert_eq!(of(|f| f.networks[1].options.clear()), Status::Fail);
    assert_eq!(of(|f| f.networks[1].driver = "macvlan".into()), Status::Fail);
    assert_eq!(of(|f| drop(f.networks.remove(0))), Status::Skip);
    let forwards = |f: &mut Facts| {
        f.forwarding = Ok(std::collections::BTreeMap::from([("podman1".to_owned(), true)]));
        f.networks[0].network_interface = "podman1".into();
    };
    assert_eq!(of(forwards), Status::Warn);
    assert_eq!(of(|f| f.forwarding = Err("podman failed".into())), Status::Skip);
}

#[test]
fn containers_as_they_run() {
    let of =
        |part, change: fn(&mut Inspected)| running_containers(&of_container(part, change)).status;
    assert_eq!(of(Part::App, |_| {}), Status::Pass);
    for weak in [
        (|c| c.host_config.privileged = true) as fn(&mut Inspected),
        |c| c.host_config.readonly_rootfs = false,
        |c| c.bounding_caps.push("CAP_NET_ADMIN".into()),
        |c| c.host_config.pid_mode = "host".into(),
        |c| c.host_config.ipc_mode = "host".into(),
        |c| c.host_config.userns_mode = "host".into(),
        |c| c.host_config.security_opt.clear(),
        |c| c.host_config.security_opt.push("seccomp=unconfined".into()),
        |c| c.host_config.security_opt.push("label=disable".into()),
        |c| c.host_config.network_mode = "host".into(),
        |c| c.host_config.devices.push(serde_json::json!({})),
        |c| c.mounts.push(mount("bind", "", "/home", true)),
        |c| c.mounts.push(mount("volume", "hybridrag-b-postgres", "/v", true)),
        |c| c.mounts.push(mount("bind", "", "/run/user/1000/podman/podman.sock", false)),
    ] {
        assert_eq!(of(Part::App, weak), Status::Fail);
    }
    assert_eq!(of(Part::Egress, |c| c.host_config.network_mode = "host".into()), Status::Fail);
    assert_eq!(of(Part::App, |c| c.image_name = "other:1".into()), Status::Warn);
    assert_eq!(of(Part::App, |c| c.mounts.push(mount("bind", "", "/s", false))), Status::Pass);
    assert_eq!(of(Part::App, |c| c.mounts.push(mount("volume", "mine", "/v", true))), Status::Pass);
    let mut down = facts("none");
    down.containers.remove(&Part::App);
    assert_eq!(running_containers(&down).status, Status::Skip);
}

fn mount(kind: &str, name: &str, source: &str, writable: bool) -> Mount {
    Mount {
        kind: kind.into(),
        name: name.into(),
        source: source.into(),
        destination: "/x".into(),
        writable,
    }
}
