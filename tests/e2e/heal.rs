//! What dies comes back by itself: containers, and the instance after a reboot.

use crate::host::{Instance, alone, is_local, ragpod, reboot, run, shared, wait};

const TEXT: &str = "The lighthouse keeper is called Ada.\n";

#[test]
fn a_killed_container_comes_back_and_answers() {
    let _host = shared();
    let one = Instance::create("e2e-heal", &[("a.md", TEXT)]);
    one.up();
    one.ragpod("ingest", &[]).ok();
    for container in
        ["hybridrag-postgres-e2e-heal", "hybridrag-e2e-heal-app", "hybridrag-e2e-heal-infra"]
    {
        let before = one.started();
        run(&["podman", "kill", container]).ok();
        wait(&format!("{container} started again"), 20, || one.started() != before);
        let took = one.wait_running(60);
        wait(&format!("an answer after {container} was killed"), 20, || {
            one.ragpod("query", &["Who keeps the lighthouse?", "--json"]).out.contains("Ada")
        });
        eprintln!("healed in {took:.1?} after {container} was killed");
        // A kill is not a failure that stays.
        let failed = run(&[
            "systemctl",
            "--user",
            "list-units",
            "--failed",
            "--plain",
            "--no-legend",
            "hybridrag-e2e-heal*",
        ]);
        assert_eq!(failed.ok().out, "");
    }
}

#[test]
fn autostart_brings_instances_back_after_a_reboot() {
    if is_local() {
        eprintln!("not tried: this machine is not rebooted");
        return;
    }
    let _host = alone();
    let on = Instance::create("e2e-boot-on", &[("a.md", TEXT)]);
    let off = Instance::create("e2e-boot-off", &[("a.md", TEXT)]);
    let source = format!("{}:**/*.md", off.folder());
    let manual = "instance.autostart=false";
    ragpod(&["create", "e2e-boot-off", "--force", "--source", &source, "--set", manual]).ok();
    on.up();
    off.up();
    on.ragpod("ingest", &[]).ok();
    reboot();
    on.wait_running(60);
    wait("an answer after the reboot", 30, || {
        on.ragpod("query", &["Who keeps the lighthouse?", "--json"]).out.contains("Ada")
    });
    assert_eq!(off.status()["state"], "stopped");
}
