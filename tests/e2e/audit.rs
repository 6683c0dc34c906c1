//! `ragpod audit`: it passes where the claims hold, and says so where each of them is truly broken.
//!
//! Broken on purpose below, and found: `egress-mode`, `public-address`, `outside-name`,
//! `allowed-host`, `denied-host`, `other-database`, `other-gateway`, `host-services`,
//! `published-ports`, `database-loopback`, `database-password`, `database-role`, `secret-files`,
//! `secret-values`, `container-user`, `container-privileges`, `read-only-root`,
//! `running-containers`, `networks`, `units-match`, `units-loaded`, `drop-ins`: all there are.
//!
//! Not broken here: `label=disable` and `apparmor=unconfined` (`running-containers`), because the
//! host has neither of what they switch off; a system call filter that is off is broken, a kernel without one is not. IPv6: the
//! networks have none. Where root is not to be had (`RAGPOD_TEST_HOST=local`), the host has no
//! address of the outside's, and `public-address`, `outside-name` and `host-services` are not
//! broken.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::host::{Instance, Ran, alone, ragpod, run_with, sh, shared};

mod ways;

const TEXT: &str = "The pump house has three keys.\n";
/// Its probes run at once, and have some seconds; the rest is a slow machine's.
const QUICK: Duration = Duration::from_secs(20);
const UNITS: &str = "~/.config/containers/systemd/ragpod";

/// An audit's verdicts on one instance: status and detail of each check.
struct Verdicts {
    checks: BTreeMap<String, (String, String)>,
    ran: Ran,
}

impl Verdicts {
    fn of(ran: Ran, name: &str) -> Self {
        let json = ran.json();
        let text = |c: &Value, key: &str| c[key].as_str().unwrap_or_default().to_owned();
        let checks = json["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|c| c["instance"] == name)
            .map(|c| (text(c, "id"), (text(c, "status"), text(c, "detail"))))
            .collect();
        Self { checks, ran }
    }

    /// Fails the test unless this check came out so, with this in its detail.
    #[track_caller]
    fn are(&self, status: &str, expected: &[(&str, &str)]) -> &Self {
        for (id, detail) in expected {
            let (was, said) =
                self.checks.get(*id).unwrap_or_else(|| panic!("no {id}: {}", self.ran));
            assert!(
                was == status && said.contains(detail),
                "{id} is {was}, {said:?}, and not {status}, {detail:?}\n{}",
                self.ran
            );
        }
        self
    }

    /// The checks that came out so.
    fn that(&self, status: &str) -> Vec<&str> {
        self.checks.iter().filter(|(_, (s, _))| s == status).map(|(id, _)| id.as_str()).collect()
    }
}

fn audit(name: &str) -> Verdicts {
    Verdicts::of(ragpod(&["audit", name, "--json"]), name)
}

/// Makes an instance with settings of its own.
fn instance(name: &str, settings: &[&str]) -> Instance {
    let one = Instance::create(name, &[("a.md", TEXT)]);
    if !settings.is_empty() {
        let source = one.folder();
        let mut args = vec!["create", name, "--force", "--source", &source];
        for setting in settings {
            args.extend(["--set", setting]);
        }
        ragpod(&args).ok();
    }
    one
}

/// Drop-ins of a test's own; gone when it ends.
struct DropIns(String);

impl DropIns {
    /// Writes a drop-in for a unit of the instance: `write("-app.container", "[Container]…")`.
    fn write(name: &str, files: &[(&str, &str)]) -> Self {
        for (unit, text) in files {
            let dir = format!("{UNITS}/hybridrag-{name}{unit}.d");
            let script = format!("mkdir -p {dir}; cat > {dir}/50-test.conf");
            run_with(&["bash", "-euc", &script], text.as_bytes()).ok();
        }
        Self(name.to_owned())
    }
}

impl Drop for DropIns {
    fn drop(&mut self) {
        sh(&format!("rm -rf {UNITS}/hybridrag-{0}.*.d {UNITS}/hybridrag-{0}-*.d", self.0));
    }
}

#[test]
fn two_healthy_instances_pass_every_check_that_can_be_tried() {
    // Others' instances are weak on purpose.
    let _host = alone();
    let one = instance("aud-well", &[]);
    // The gateway itself is somebody that can be reached without a network.
    let two = instance(
        "aud-well-too",
        &["egress.mode=allow", "egress.allow=[\"localhost:3128\", \"api.example.com:443\"]"],
    );
    ragpod(&["up", "aud-well", "aud-well-too"]).ok();
    let first = audit(&one.name);
    assert_eq!(first.ran.code, 0, "{}", first.ran);
    assert!(first.ran.took < QUICK, "{}", first.ran);
    first.are("skip", &[("allowed-host", "no gateway"), ("denied-host", "no gateway")]);
    assert_eq!(first.that("skip").len(), 2, "{}", first.ran);
    assert_eq!(first.that("pass").len(), 20, "{}", first.ran);
    first.are(
        "pass",
        &[
            ("public-address", "1.1.1.1:443: Network is unreachable"),
            ("outside-name", "example.com"),
            ("other-database", "hybridrag-postgres-aud-well-too:5432: Name or service not known"),
            ("other-gateway", "hybridrag-aud-well-too-egress:3128"),
            ("host-services", "169.254.1.2"),
            ("database-password", "a wrong password: password authentication failed"),
        ],
    );

    let second = audit(&two.name);
    assert_eq!(second.ran.code, 0, "{}", second.ran);
    assert!(second.ran.took < QUICK, "{}", second.ran);
    second.are(
        "pass",
        &[
            ("egress-mode", "allow"),
            ("denied-host", "CONNECT 1.1.1.1:443: 403"),
            ("denied-host", "GET http://ragpod-audit.example/: 403"),
            ("denied-host", "CONNECT api.example.com:22: 403"),
            ("container-user", "egress"),
            // Its gateway's network came after the other's, and opened no way there.
            ("other-database", "egress to 10."),
        ],
    );
    // Nobody resolves the other name here; that it cannot be told is no pass.
    second.are("skip", &[("allowed-host", "CONNECT api.example.com:443")]);

    // All that run, for people; nothing that is secret.
    let secret = sh("podman secret inspect --showsecret --format '{{.SecretData}}' \
        hybridrag-aud-well.postgres-password.1")
    .ok();
    let all = ragpod(&["audit"]);
    assert!(all.out.contains("aud-well\n") && all.out.contains("aud-well-too\n"), "{all}");
    assert!(!all.to_string().contains(secret.out.trim()), "{all}");

    // What was not tried does not pass.
    one.ragpod("stop", &[]).ok();
    let stopped = audit(&one.name);
    assert_eq!(stopped.ran.code, 4, "{}", stopped.ran);
    for id in stopped.that("pass") {
        let on_disk = ["secret-values", "networks", "units-match", "units-loaded", "drop-ins"];
        assert!(on_disk.contains(&id), "{id} passes\n{}", stopped.ran);
    }
    assert_eq!(stopped.that("fail"), [""; 0], "{}", stopped.ran);
    ragpod(&["audit", "aud-wel"]).code(4).tells("did you mean aud-well?");
}

#[test]
fn weak_containers_are_found() {
    let _host = shared();
    let one = instance("aud-weak", &[]);
    let _drop_ins = DropIns::write(
        "aud-weak",
        &[
            (
                "-app.container",
                "[Container]\nUser=0\nGroup=0\nReadOnly=false\nNoNewPrivileges=false\n\
             AddCapability=CAP_DAC_OVERRIDE CAP_NET_ADMIN\nSeccompProfile=unconfined\n\
             Volume=%h:/mnt/home\n\
             Secret=hybridrag-aud-weak.postgres-password.1,type=mount,target=open,mode=0444\n",
            ),
            // One for a part that it has not.
            ("-egress.container", "[Container]\nUser=0\n"),
        ],
    );
    one.up().tells("50-test.conf");
    let v = audit("aud-weak");
    assert_eq!(v.ran.code, 1, "{}", v.ran);
    v.are(
        "fail",
        &[
            ("container-user", "app: process 1"),
            ("container-privileges", "CAP_DAC_OVERRIDE"),
            ("container-privileges", "CAP_NET_ADMIN"),
            ("container-privileges", "can gain privileges"),
            ("container-privileges", "no filter for system calls"),
            ("read-only-root", "app: / is mounted with rw"),
            ("running-containers", "app: its root file system is not read-only"),
            ("running-containers", "app: it keeps capabilities"),
            ("running-containers", "app: it may write to /"),
            ("running-containers", "its system calls are not filtered"),
            ("secret-files", "app: /run/secrets/open has mode 0444"),
            ("drop-ins", "hybridrag-aud-weak-app.container.d/50-test.conf: User=0, ReadOnly=false"),
            ("drop-ins", "AddCapability=CAP_DAC_OVERRIDE CAP_NET_ADMIN"),
            ("drop-ins", "SeccompProfile=unconfined"),
            ("drop-ins", "mode=0444"),
        ],
    );
    assert!(!v.checks["drop-ins"].1.contains("egress"), "told only with the weak ones gone");
    v.are("pass", &[("units-match", ""), ("published-ports", "")]);
    // People see it too, with what to do.
    one.ragpod("audit", &[]).code(1).says("fail").says("cure:").tells("broken");
}

/// What lies on disk and in the database: broken without a restart, one after the other.
#[test]
fn files_units_and_roles_are_looked_at() {
    let _host = shared();
    let one = instance("aud-disk", &[]);
    one.up();
    let broken = |script: &str, id: &str, detail: &str, undo: &str| {
        sh(script).ok();
        let v = audit("aud-disk");
        sh(undo).ok();
        assert_eq!(v.ran.code, 1, "{}", v.ran);
        v.are("fail", &[(id, detail)]);
        v
    };
    let reload = "systemctl --user daemon-reload";
    let unit = format!("{UNITS}/hybridrag-aud-disk-app.container");
    let v = broken(
        &format!("cp {unit} ~/kept; sed -i s/NoNewPrivileges=true// {unit}; {reload}"),
        "units-match",
        "update hybridrag-aud-disk-app.container",
        &format!("cp ~/kept {unit}; {reload}"),
    );
    v.are("pass", &[("units-loaded", "")]);
    let hidden = "~/.config/systemd/user/hybridrag-aud-disk-app.service";
    broken(
        &format!(
            "mkdir -p ~/.config/systemd/user; printf '[Service]\\nExecStart=true\\n' > {hidden}; {reload}"
        ),
        "units-loaded",
        "hides",
        &format!("rm {hidden}; {reload}"),
    );
    broken(
        &format!(
            "mkdir -p {hidden}.d; printf '[Service]\\nExecStart=\\nExecStart=true\\n' > {hidden}.d/x.conf; {reload}"
        ),
        "drop-ins",
        "x.conf: ExecStart",
        &format!("rm -r {hidden}.d; {reload}"),
    );
    let manifest = "~/.config/ragpod/instances/aud-disk.toml";
    let v = broken(
        &format!(
            "cp {manifest} ~/kept; printf '# %s\\n' \"$(podman secret inspect --showsecret \
             --format '{{{{.SecretData}}}}' hybridrag-aud-disk.postgres-password.1)\" >> {manifest}"
        ),
        "secret-values",
        "the value of postgres-password is in",
        &format!("cp ~/kept {manifest}"),
    );
    v.are("fail", &[("secret-values", "aud-disk.toml")]);
    let store = "~/.local/share/containers/storage/secrets/filedriver/secretsdata.json";
    broken(
        &format!("chmod 644 {store}"),
        "secret-values",
        "mode 0644",
        &format!("chmod 600 {store}"),
    );
    let role = |word: &str| {
        format!(
            "podman exec hybridrag-postgres-aud-disk psql -qU postgres -c 'alter role hybridrag {word}'"
        )
    };
    broken(&role("superuser"), "database-role", "superuser", &role("nosuperuser"));
    broken(&role("createrole"), "database-role", "createrole", &role("nocreaterole"));
    // A drop-in that nothing is changed by any more, and a harmless one: told, no breach.
    let _drop_ins = DropIns::write(
        "aud-disk",
        &[
            ("-egress.container", "[Container]\nUser=0\n"),
            ("-app.container", "[Service]\nMemoryMax=1G\n"),
        ],
    );
    let v = audit("aud-disk");
    assert_eq!(v.ran.code, 0, "{}", v.ran);
    v.are(
        "warn",
        &[
            ("drop-ins", "egress.container.d/50-test.conf changes a unit that is not there"),
            ("drop-ins", "app.container.d/50-test.conf: MemoryMax"),
        ],
    );
}
