use super::*;
use crate::error::Kind;
use crate::host::facts::{IdMap, Info, Manager};
use crate::model::{ImageRef, PodmanVersion};

const INFO: &str = r#"{"host":{"networkBackend":"netavark","freeLocks":2048,
  "ociRuntime":{"name":"crun","path":"/usr/bin/crun"},"security":{"rootless":true}},
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
        manager: Ok(Manager { version: "257".into(), config_home: Some("/h/.config/".into()) }),
        linger: true,
        subids: IdMap { uids: Some(65_536), gids: Some(65_536) },
        programs: programs.into_iter().map(|p| (p, Some(format!("/usr/bin/{p}").into()))).collect(),
        controllers: Some(vec!["memory".into(), "pids".into()]),
        journal: Ok(()),
        missing_images: Ok(Vec::new()),
        free_state: Some(10 << 30),
        free_storage: Some(10 << 30),
        config_home: "/h/.config".into(),
    }
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
    assert_eq!(status("podman-locks", few(Some(3))), Status::Warn);
    assert_eq!(status("podman-locks", few(None)), Status::Skip);
    assert_eq!(status("state-space", |f| f.free_state = Some(1 << 30)), Status::Warn);
    assert_eq!(status("storage-space", |f| f.free_storage = None), Status::Skip);
    let images = |f: &mut Facts| f.missing_images = Ok(vec![ImageRef::engine()]);
    assert_eq!(status("images", images), Status::Warn);
    assert_eq!(status("images", |f| f.missing_images = Err(no())), Status::Skip);
}
