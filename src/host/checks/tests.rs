use super::*;
use crate::error::Kind;
use crate::host::{
    IdMap, Info, Manager, Namespaces, NetworkOnline, Published, Records, Remedy, Unfinished,
    remedies,
};
use crate::model::{ImageRef, PodmanVersion};

const INFO: &str = r#"{"host":{"networkBackend":"netavark","freeLocks":2048,
  "ociRuntime":{"name":"crun","path":"/usr/bin/crun"},"security":{"rootless":true},
  "idMappings":{"uidmap":[{"container_id":0,"host_id":1000,"size":1},
  {"container_id":1,"host_id":100000,"size":65536}],"gidmap":null}},
  "store":{"graphDriverName":"overlay","graphRoot":"/s"},"version":{}}"#;

/// A host on which everything is as it should be.
fn good() -> Facts {
    let programs =
        ["newuidmap", "newgidmap", "catatonit", "netavark", "aardvark-dns", "pasta", "nft"];
    Facts {
        uid: 1000,
        user: "ann".into(),
        podman: Ok(PodmanVersion::new(5, 4, 2)),
        info: Ok(serde_json::from_str::<Info>(INFO).unwrap()),
        generator: Ok("/usr/libexec/podman/quadlet".into()),
        generator_linked: true,
        generated: Ok(Vec::new()),
        manager: Ok(Manager { version: "257".into(), config_home: Some("/h/.config/".into()) }),
        bus_only_missing: false,
        network_online: Some(waits(true, &[], Some(90))),
        linger: true,
        subids: IdMap { uids: Some(65_536), gids: Some(65_536) },
        programs: programs.into_iter().map(|p| (p, Some(format!("/usr/bin/{p}").into()))).collect(),
        may_map: true,
        namespaces: Namespaces { most: Some(100), ..Namespaces::default() },
        controllers: Some(vec!["memory".into(), "pids".into()]),
        host_controllers: vec!["memory".into(), "pids".into()],
        first_port: 1024,
        keys: Some((20, 200)),
        listeners: [22].into(),
        selinux: false,
        unlabelled: Vec::new(),
        read_only: Vec::new(),
        now: 2_000_000_000,
        newest: Some(("/f".into(), 2_000_000_060)),
        records: Records::default(),
        journal: Ok(()),
        missing_images: Ok(Vec::new()),
        free_state: Some(10 << 30),
        free_storage: Some(10 << 30),
        free_inodes: Some(1_000_000),
        config_home: "/h/.config".into(),
    }
}

fn waits(reached: bool, who: &[&str], patience: Option<u64>) -> NetworkOnline {
    NetworkOnline { reached, waiting: who.iter().map(|w| (*w).to_owned()).collect(), patience }
}

fn of(id: &str, change: impl FnOnce(&mut Facts)) -> Check {
    let mut facts = good();
    change(&mut facts);
    checks(&facts).into_iter().find(|c| c.id == id).unwrap()
}

fn status(id: &str, change: impl FnOnce(&mut Facts)) -> Status {
    let check = of(id, change);
    let needs_fix = matches!(check.status, Status::Warn | Status::Fail);
    assert_eq!(check.fix.is_some(), needs_fix, "{check:?}");
    assert!(!check.detail.is_empty());
    check.status
}

fn no() -> Error {
    Error::host("no").hint("cure")
}

#[test]
fn a_good_host_passes_and_ids_are_unique() {
    let all = checks(&good());
    assert!(all.iter().all(|c| c.status == Status::Pass && c.fix.is_none()), "{all:#?}");
    let ids: std::collections::BTreeSet<&str> = all.iter().map(|c| c.id).collect();
    assert_eq!(ids.len(), all.len());
}

#[test]
fn podman_and_its_generator() {
    assert_eq!(status("podman", |f| f.podman = Ok(PodmanVersion::new(4, 9, 3))), Status::Fail);
    assert_eq!(status("podman", |f| f.podman = Err(no())), Status::Fail);
    assert_eq!(status("quadlet", |f| f.generator = Err(no())), Status::Fail);
    let neither = |f: &mut Facts| {
        f.podman = Err(no());
        f.generator = Err(no());
    };
    assert_eq!(status("quadlet", neither), Status::Skip);
    assert_eq!(status("oci-runtime", |f| f.info = Err(no())), Status::Fail);
    let configured = |f: &mut Facts| {
        f.info = Err(Error::failed("x").cause("Error: default OCI runtime \"kata\" not found"));
        f.programs.insert("crun", Some("/x".into()));
    };
    assert_eq!(status("oci-runtime", configured), Status::Fail);
    assert_eq!(status("storage-driver", configured), Status::Skip);
    for name in ["crun", "runc"] {
        let with = |f: &mut Facts| {
            f.info = Err(no());
            f.programs.insert(name, Some("/x".into()));
        };
        assert_eq!(of("oci-runtime", with).detail, name);
    }
}

#[test]
fn systemd_and_the_user() {
    assert_eq!(status("user", |f| f.uid = 0), Status::Fail);
    assert_eq!(status("user-systemd", |f| f.manager = Err(no())), Status::Fail);
    assert_eq!(status("linger", |f| f.linger = false), Status::Warn);
    let home = |dir: Option<&str>| {
        let manager = Manager { version: String::new(), config_home: dir.map(Into::into) };
        move |f: &mut Facts| f.manager = Ok(manager)
    };
    assert_eq!(status("config-home", home(Some("/elsewhere"))), Status::Fail);
    assert_eq!(status("config-home", home(None)), Status::Skip);
    assert_eq!(status("config-home", |f| f.manager = Err(no())), Status::Skip);
    assert_eq!(status("journal", |f| f.journal = Err(no())), Status::Warn);
}

#[test]
fn ids_and_programs() {
    let ids = |uids, gids| move |f: &mut Facts| f.subids = IdMap { uids, gids };
    assert_eq!(status("subordinate-ids", ids(Some(0), Some(1))), Status::Fail);
    assert_eq!(status("subordinate-ids", ids(Some(1), Some(0))), Status::Fail);
    assert_eq!(status("subordinate-ids", ids(Some(100), Some(70_000))), Status::Warn);
    assert_eq!(status("subordinate-ids", ids(None, Some(1))), Status::Skip);
    assert_eq!(status("newuidmap", |f| drop(f.programs.insert("newgidmap", None))), Status::Fail);
    for name in ["catatonit", "netavark", "aardvark-dns", "pasta", "nft"] {
        assert_eq!(status(name, |f| drop(f.programs.remove(name))), Status::Fail, "{name}");
    }
}

#[test]
fn limits_space_and_images() {
    assert_eq!(status("cgroups", |f| f.controllers = None), Status::Fail);
    let only_memory = |f: &mut Facts| f.controllers = Some(vec!["memory".into()]);
    assert_eq!(status("cgroups", only_memory), Status::Warn);
    let vfs = |f: &mut Facts| f.info.as_mut().unwrap().store.graph_driver_name = "vfs".into();
    assert_eq!(status("storage-driver", vfs), Status::Warn);
    let broken = |f: &mut Facts| f.info = Err(Error::new(Kind::Failed, "x"));
    assert_eq!(status("storage-driver", broken), Status::Fail);
    let absent = |f: &mut Facts| {
        f.info = Err(no());
        f.podman = Err(no());
    };
    assert_eq!(status("storage-driver", absent), Status::Skip);
    let few = |n| move |f: &mut Facts| f.info.as_mut().unwrap().host.free_locks = n;
    assert_eq!(status("podman-locks", few(Some(3))), Status::Fail);
    assert_eq!(status("podman-locks", few(None)), Status::Skip);
    assert_eq!(status("state-space", |f| f.free_state = Some(1 << 30)), Status::Warn);
    assert_eq!(status("storage-space", |f| f.free_storage = None), Status::Skip);
    let images = |f: &mut Facts| f.missing_images = Ok(vec![ImageRef::engine()]);
    assert_eq!(status("images", images), Status::Warn);
    assert_eq!(status("images", |f| f.missing_images = Err(no())), Status::Skip);
}

#[test]
fn a_generator_that_is_not_run_or_says_no() {
    assert_eq!(status("quadlet", |f| f.generator_linked = false), Status::Fail);
    assert_eq!(status("quadlet", |f| f.generated = Err(no())), Status::Fail);
    let said = |f: &mut Facts| f.generated = Ok(vec!["it makes no x.service".into()]);
    assert_eq!(status("quadlet", said), Status::Fail);
    assert!(of("quadlet", said).detail.ends_with("/quadlet: it makes no x.service"));
}

#[test]
fn a_bus_without_its_systemd() {
    let only_bus = |f: &mut Facts| {
        f.manager = Err(no());
        f.bus_only_missing = true;
    };
    assert_eq!(status("user-systemd", only_bus), Status::Fail);
    assert!(of("user-systemd", only_bus).fix.unwrap().contains("start dbus.socket"));
}

#[test]
fn who_waits_for_the_network() {
    let net = |w: NetworkOnline| move |f: &mut Facts| f.network_online = Some(w);
    let who = ["a.service"];
    assert_eq!(status("network-online", net(waits(false, &[], None))), Status::Pass);
    assert_eq!(status("network-online", net(waits(true, &who, Some(90)))), Status::Pass);
    assert_eq!(status("network-online", net(waits(false, &who, Some(5)))), Status::Pass);
    assert_eq!(status("network-online", net(waits(false, &who, None))), Status::Warn);
    let check = of("network-online", net(waits(false, &who, Some(90))));
    assert_eq!(check.status, Status::Warn);
    assert!(check.detail.ends_with("a.service waits 1min at each boot"), "{}", check.detail);
    assert_eq!(status("network-online", |f| f.network_online = None), Status::Skip);
}

#[test]
fn what_the_kernel_and_its_guards_allow() {
    let with = |n: Namespaces| move |f: &mut Facts| f.namespaces = n;
    let none = Namespaces::default();
    assert_eq!(status("user-namespaces", with(none)), Status::Pass);
    let most = Namespaces { most: Some(0), ..none };
    assert_eq!(status("user-namespaces", with(most)), Status::Fail);
    let root_only = Namespaces { allowed: Some(false), ..none };
    assert_eq!(status("user-namespaces", with(root_only)), Status::Fail);
    let restricted = Namespaces { restricted: true, ..none };
    assert_eq!(status("user-namespaces", with(restricted)), Status::Fail);
    let profile = Namespaces { restricted: true, has_profile: true, ..none };
    assert_eq!(status("user-namespaces", with(profile)), Status::Pass);
    assert_eq!(status("newuidmap", |f| f.may_map = false), Status::Fail);
    assert_eq!(status("selinux", |f| f.selinux = true), Status::Pass);
    let label = |f: &mut Facts| {
        f.selinux = true;
        f.unlabelled = vec!["/n".into()];
    };
    assert_eq!(status("selinux", label), Status::Warn);
    // The host has what the user was not given, or has it not.
    let user_only = |f: &mut Facts| f.controllers = Some(vec!["pids".into()]);
    assert!(of("cgroups", user_only).fix.unwrap().contains("Delegate=cpu cpuset io memory pids"));
    let nobody = |f: &mut Facts| {
        f.controllers = Some(Vec::new());
        f.host_controllers = Vec::new();
    };
    assert!(of("cgroups", nobody).fix.unwrap().contains("cgroup_enable=memory"));
}

#[test]
fn podmans_namespace_and_the_ids_by_now() {
    let more = |f: &mut Facts| f.subids.uids = Some(131_072);
    assert_eq!(status("podman-ids", more), Status::Warn);
    let none_then = |f: &mut Facts| {
        f.info.as_mut().unwrap().host.id_mappings.uidmap.truncate(1);
    };
    assert_eq!(status("podman-ids", none_then), Status::Fail);
    assert_eq!(status("podman-ids", |f| f.info = Err(no())), Status::Skip);
    let busy = |f: &mut Facts| {
        none_then(f);
        f.info.as_mut().unwrap().store.container_store.running = 1;
    };
    assert!(of("podman-ids", busy).fix.unwrap().contains("stops all of your containers"));
    assert_eq!(mends(none_then), ["podman-ids"]);
    assert!(mends(busy).is_empty());
}

#[test]
fn little_and_no_space() {
    for (id, change) in [
        ("state-space", (|f, n| f.free_state = n) as fn(&mut Facts, Option<u64>)),
        ("storage-space", |f, n| f.free_storage = n),
    ] {
        assert_eq!(status(id, |f| change(f, Some(1 << 30))), Status::Warn, "{id}");
        assert_eq!(status(id, |f| change(f, Some(1 << 10))), Status::Fail, "{id}");
        assert_eq!(status(id, |f| change(f, None)), Status::Skip, "{id}");
    }
    assert_eq!(status("storage-inodes", |f| f.free_inodes = Some(7)), Status::Fail);
    assert_eq!(status("storage-inodes", |f| f.free_inodes = Some(700)), Status::Warn);
    assert_eq!(status("storage-inodes", |f| f.free_inodes = None), Status::Skip);
    let few = |f: &mut Facts| f.info.as_mut().unwrap().host.free_locks = Some(20);
    assert_eq!(status("podman-locks", few), Status::Warn);
    assert_eq!(status("kernel-keys", |f| f.keys = Some((190, 200))), Status::Warn);
    assert_eq!(status("kernel-keys", |f| f.keys = Some((198, 200))), Status::Fail);
    assert_eq!(status("kernel-keys", |f| f.keys = Some((300, 200))), Status::Fail);
    assert_eq!(status("kernel-keys", |f| f.keys = None), Status::Skip);
}

#[test]
fn a_clock_that_went_back() {
    let later = |by| move |f: &mut Facts| f.newest = Some(("/f".into(), f.now + by));
    assert_eq!(status("clock", later(100)), Status::Pass);
    assert_eq!(status("clock", later(7200)), Status::Warn);
    assert_eq!(
        of("clock", later(7200)).detail,
        "2033-05-18T03:33:20Z is 2h 0min before /f was written"
    );
    assert_eq!(status("clock", |f| f.newest = None), Status::Pass);
}

#[test]
fn ports_that_cannot_be_had() {
    let with = |port, running| {
        move |f: &mut Facts| {
            f.records.published = vec![Published { file: "/d".into(), port, running }];
            f.listeners = [8080].into();
        }
    };
    assert_eq!(status("ports", with(80, false)), Status::Fail);
    assert_eq!(status("ports", with(8080, false)), Status::Fail);
    assert_eq!(status("ports", with(8080, true)), Status::Pass);
    assert_eq!(status("ports", with(8081, false)), Status::Pass);
}

/// What `--fix` would do: the checks' ids.
fn mends(change: impl FnOnce(&mut Facts)) -> Vec<&'static str> {
    let mut facts = good();
    change(&mut facts);
    remedies(&facts).iter().map(Remedy::id).collect()
}

#[test]
fn what_needs_no_root_is_mended() {
    assert!(mends(|_| {}).is_empty(), "on a good host there is nothing to do");
    let all = move |f: &mut Facts| {
        f.bus_only_missing = true;
        f.linger = false;
        f.read_only = vec!["/x".into()];
        f.network_online = Some(waits(false, &["a.service"], None));
        f.missing_images = Ok(vec![ImageRef::engine()]);
        f.records.leftovers = vec!["/y".into()];
        let begun = |name: &str, redo: &str| Unfinished {
            name: name.parse().unwrap(),
            doing: redo.into(),
            redo: redo.into(),
        };
        f.records.unfinished = vec![begun("a", "ragpod up a"), begun("b", "ragpod rm b --data")];
    };
    let ids = ["user-systemd", "linger", "folders", "network-online", "leftovers", "images"];
    assert_eq!(mends(all), [&ids[..], &["unfinished"]].concat());
    let mut facts = good();
    all(&mut facts);
    // What deletes is left to its user.
    assert_eq!(remedies(&facts).last(), Some(&Remedy::Finish(vec!["a".parse().unwrap()])));
    for id in ["folders", "unfinished", "leftovers"] {
        assert!(checks(&facts).iter().any(|c| c.id == id && c.fix.is_some()), "{id}");
    }
    facts.uid = 0;
    assert!(remedies(&facts).is_empty());
}
