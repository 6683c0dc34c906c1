//! Copies, and other names.

use super::{CONTENT, Gone, MORE, answer, backup, backups, documents, instance, psql};
use crate::faults::{was_killed, with_fault};
use crate::host::{comes_to_nothing, ragpod, run_with, sh, shared};

#[test]
fn copies_and_other_names() {
    let _host = shared();
    let name = "e2e-keepname";
    let (_gone, one) = instance(name);
    let content = psql(name, CONTENT);
    let (_copy, _bare) = (Gone::new("e2e-keepcopy"), Gone::new("e2e-keepbare"));
    run_with(&["ragpod", "secret", "set", name, "api-key"], b"sk-copied").ok();
    ragpod(&["clone", name, "e2e-keepbare"]).ok().tells("next: ragpod up");
    ragpod(&["clone", name, "e2e-keepbare"]).code(2).tells("is taken");
    let started = one.started();
    ragpod(&["clone", name, "e2e-keepcopy", "--data"]).ok();
    assert_eq!(one.started(), started, "the original was left alone");
    assert_eq!(psql("e2e-keepcopy", CONTENT), content);
    let secret = "podman secret inspect --showsecret --format '{{.SecretData}}' hybridrag-";
    for copy in ["e2e-keepbare", "e2e-keepcopy"] {
        let value = sh(&format!("{secret}{copy}.api-key.1")).ok().out;
        assert_eq!(value.trim(), "sk-copied");
    }
    let password = |of: &str| sh(&format!("{secret}{of}.postgres-password.1")).ok().out;
    assert_ne!(password(name), password("e2e-keepcopy"));
    // Neither sees the other.
    ragpod(&["audit", "e2e-keepcopy"]).ok();
    one.write(&[MORE]);
    ragpod(&["ingest", "e2e-keepcopy"]).ok().tells("1 new");
    assert_eq!((documents(name), documents("e2e-keepcopy")), (3, 4));

    // Another name, and back, cut off on the way.
    let _new = Gone::new("e2e-keepother");
    let file = backup(name);
    ragpod(&["rename", name, "e2e-keepcopy"]).code(2).tells("is taken");
    ragpod(&["rename", "e2e-keepnone", "e2e-keepother"]).code(4);
    let ran = ragpod(&["rename", name, "e2e-keepother"]).ok();
    ran.tells("is called e2e-keepother now and runs");
    assert_eq!(psql("e2e-keepother", CONTENT), content);
    nothing_has(name);
    assert_eq!(backups("e2e-keepother").len(), 1);
    ragpod(&["backup", "--verify", "e2e-keepother"]).ok();
    assert!(!backups("e2e-keepother").contains(&file));
    let mut names = ["e2e-keepother", name];
    let all = [
        "renaming",
        "intent",
        "stopped",
        "volume-copied",
        "secrets-copied",
        "manifest-written",
        "copied",
        "renamed-runs",
        "backups-moved",
        "volumes",
        "off",
        "old-removed",
    ];
    // Each takes some seconds: of those after which the next command has the same to do, one.
    let few = [
        "intent",
        "volume-copied",
        "manifest-written",
        "copied",
        "renamed-runs",
        "backups-moved",
        "off",
    ];
    let every = std::env::var("RAGPOD_KILLS").is_ok();
    for point in all.iter().filter(|point| every || few.contains(point)) {
        let [from, to] = names;
        let ran = with_fault(&format!("kill:{point}"), &["rename", from, to]);
        if was_killed(&ran) {
            if *point == "volume-copied" {
                // Somebody goes on with the old one instead; what was half there is begun anew.
                ragpod(&["up", from]).ok();
                assert_eq!(psql(from, CONTENT), content);
            }
            if *point == "copied" {
                // Or uses it and stops it: what was copied is no copy any more.
                ragpod(&["up", from]).ok();
                psql(from, "CREATE TABLE since (n int)");
                ragpod(&["stop", from]).ok();
            }
            ragpod(&["rename", from, to]).ok();
            if *point == "copied" {
                ragpod(&["up", to]).ok();
                psql(to, "DROP TABLE since");
            }
        } else {
            ran.ok();
        }
        assert_eq!(psql(to, CONTENT), content, "{point}");
        nothing_has(from);
        names = [to, from];
    }
    answer(names[0]);
}

/// Nothing anywhere has the name any more.
#[track_caller]
fn nothing_has(name: &str) {
    let left = format!(
        "find ~/.config/ragpod ~/.config/containers ~/.local/state/ragpod ~/.local/share/ragpod \
            -path '*{name}*' 2> /dev/null || true
         for kind in secret volume network; do
             podman $kind ls --format '{{{{.Name}}}}' | grep -F {name} || true
         done
         podman ps -a --format '{{{{.Names}}}} {{{{.Labels}}}}' | grep -F {name} || true
         podman pod ls --format '{{{{.Name}}}}' | grep -F {name} || true
         systemctl --user list-units --all --plain --no-legend '*{name}*'
         systemctl --user list-unit-files --plain --no-legend '*{name}*' || true"
    );
    comes_to_nothing(name, &left);
}
