//! What the containers may do, as the kernel and the database see it, and how it is relaxed.

use serde_json::Value;

use crate::host::{Instance, generated, is_local, run, sh, shared};

const TEXT: &str = "# Codes\n\nThe launch code of the red team is marmalade.\n";

/// What the kernel says of the program in a container: its user, whether it can gain privileges,
/// its capabilities, and whether its root can be written to.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    uid: String,
    no_new_privileges: bool,
    capabilities: bool,
    writable: bool,
}

fn seen(one: &Instance, service: &str) -> Seen {
    let script = "grep -E '^(Uid|NoNewPrivs|CapBnd|CapEff|CapPrm|CapInh|CapAmb):' /proc/self/status
        touch /usr/x 2> /dev/null && echo root written || echo root \"$(awk '$2 == \"/\" {print $4}' /proc/mounts)\"";
    let ran = one.ragpod("exec", &["--service", service, "--", "bash", "-c", script]).ok();
    let field = |name: &str| {
        let line = ran.out.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).unwrap_or_default().to_owned()
    };
    let none = |name: &str| field(name).chars().all(|c| c == '0');
    Seen {
        uid: field("Uid"),
        no_new_privileges: field("NoNewPrivs") == "1",
        capabilities: !["CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb"].into_iter().all(none),
        writable: !field("root").split(',').any(|o| o == "ro"),
    }
}

fn hardened(uid: &str) -> Seen {
    Seen { uid: uid.to_owned(), no_new_privileges: true, capabilities: false, writable: false }
}

fn inspect(container: &str) -> Value {
    run(&["podman", "container", "inspect", container]).ok().json()[0].clone()
}

#[test]
fn everything_is_hardened_from_the_start() {
    let _host = shared();
    let one = Instance::create_with(
        "hrd-all",
        &[("a.md", TEXT)],
        &["--set", "egress.allow=api.test:443"],
    );
    one.up();
    for (service, container, uid) in [
        ("app", "hybridrag-hrd-all-app", "1000"),
        ("postgres", "hybridrag-postgres-hrd-all", "999"),
        ("egress", "hybridrag-hrd-all-egress", "13"),
    ] {
        assert_eq!(seen(&one, service), hardened(uid), "{service}");
        let container = inspect(container);
        assert_eq!(container["HostConfig"]["ReadonlyRootfs"], true);
        assert_eq!(container["HostConfig"]["Privileged"], false);
        assert!(container["EffectiveCaps"].as_array().is_none_or(Vec::is_empty), "{container}");
    }
    // Images of this host are never looked for elsewhere.
    let units = one.ragpod("render", &[]).ok();
    let count = |line: &str| units.out.lines().filter(|l| *l == line).count();
    assert_eq!((count("Pull=never"), count("ReadOnly=true")), (3, 3), "{units}");

    // The engine's role can do nothing beyond its own database, and the superuser cannot log in
    // over TCP at all.
    let psql = |query: &str| one.ragpod("psql", &["--", "-Atc", query]);
    let role = psql(
        "select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
         from pg_roles where rolname = current_user",
    );
    assert_eq!(role.ok().out.trim(), "f");
    psql("copy (select 1) to program 'id'").code(1).tells("permission denied");
    psql("create role other superuser").code(1).tells("permission denied");
    psql("select pg_read_file('/run/secrets/postgres-password')")
        .code(1)
        .tells("permission denied");
    let login = |user: &str, database: &str| {
        let script = format!(
            "PGPASSWORD=$(cat /run/secrets/postgres-password) \
             psql -h 127.0.0.1 -U {user} -d {database} -Atc 'select 1'"
        );
        one.ragpod("exec", &["--service", "postgres", "--", "sh", "-c", &script])
    };
    login("hybridrag", "hybridrag").ok();
    login("postgres", "hybridrag").code(2).tells("rejects connection");
    login("hybridrag", "postgres").code(2).tells("permission denied");
}

#[test]
fn each_rule_can_be_relaxed_for_a_container() {
    let _host = shared();
    let one = Instance::create_with(
        "hrd-relax",
        &[("a.md", TEXT)],
        &[
            "--set",
            "egress.allow=api.test:443",
            "--set",
            "hardening.writable_root=app, postgres",
            "--set",
            "hardening.keep_capabilities=app",
            "--set",
            "hardening.new_privileges=egress, app",
            "--set",
            "hardening.root_user=app",
        ],
    );
    one.up();
    let relaxed =
        Seen { uid: "0".into(), no_new_privileges: false, capabilities: true, writable: true };
    assert_eq!(seen(&one, "app"), relaxed);
    assert_eq!(seen(&one, "postgres"), Seen { writable: true, ..hardened("999") });
    assert_eq!(seen(&one, "egress"), Seen { no_new_privileges: false, ..hardened("13") });
    one.ragpod("ingest", &[]).ok();
    assert!(one.ask("What is the launch code?").to_string().contains("marmalade"));

    // And back: only what had been relaxed is restarted, and the data is still its own.
    sh("sed -i '/^\\[hardening\\]/,/^$/d' ~/.config/ragpod/instances/hrd-relax.toml").ok();
    one.up().tells("restarted with what changed");
    for (service, uid) in [("app", "1000"), ("postgres", "999"), ("egress", "13")] {
        assert_eq!(seen(&one, service), hardened(uid), "{service}");
    }
    assert!(one.ask("What is the launch code?").to_string().contains("marmalade"));
}

/// systemd has nothing to say about what is generated, for each kind of instance.
#[test]
fn systemd_has_nothing_to_complain_about() {
    let _host = shared();
    let sets: [(&str, &[&str]); 4] = [
        ("hrd-none", &[]),
        ("hrd-gate", &["--set", "egress.allow=api.test:443", "--set", "postgres.memory=512M"]),
        ("hrd-open", &["--set", "egress.mode=open", "--set", "engine.memory=2G"]),
        (
            "hrd-nasty",
            &["--set", "env.TOP_K=1 %n $HOME ; \" ' \\", "--set", "hardening.root_user=app"],
        ),
    ];
    let all: Vec<Instance> = sets
        .iter()
        .map(|(name, set)| Instance::create_with(name, &[("a b/%n.md", TEXT)], set))
        .collect();
    for one in &all {
        // Installed and generated is enough.
        one.ragpod("up", &["--no-wait"]).ok();
        let folder = format!("/tmp/e2e-{}", one.name);
        generated(&format!("hybridrag-{}-*.service", one.name), &folder);
        let ran = sh(&format!(
            "ls {folder} | wc -l; systemd-analyze --user verify {folder}/*.service; rm -r {folder}"
        ))
        .ok();
        assert!(ran.out.trim().parse::<u32>().unwrap() >= 6, "{ran}");
        assert_eq!(ran.err, "", "{ran}");
    }
}

#[test]
fn a_limit_that_has_no_effect_is_told() {
    let _host = shared();
    let one = Instance::create_with(
        "hrd-limit",
        &[("a.md", TEXT)],
        &["--set", "postgres.memory=512M", "--set", "engine.memory=2G"],
    );
    let without = Instance::create("hrd-nolimit", &[("a.md", TEXT)]);
    assert_eq!(without.status()["note"], Value::Null);
    let controllers = sh(
        "cat /sys/fs/cgroup/user.slice/user-$(id -u).slice/user@$(id -u).service/cgroup.controllers",
    );
    if controllers.out.split_whitespace().any(|c| c == "memory") {
        assert!(is_local(), "the test host has got a memory controller: test that it limits");
        assert_eq!(one.status()["note"], Value::Null);
        return;
    }
    let note = one.status()["note"].as_str().unwrap().to_owned();
    assert!(note.starts_with("postgres.memory and engine.memory have no effect"), "{note}");
    one.ragpod("status", &[]).ok().says("note: postgres.memory");
    // They are written all the same, for the host that can.
    one.ragpod("render", &[]).ok().says("MemoryMax=512M").says("MemoryMax=2G");
}
