//! Files that cannot be restored, and commands that are killed.

use std::io::Read;

use serde_json::Value;

use super::{
    CONTENT, MORE, answer, backup, backups, bytes, files, instance, nothing_beside, psql, put_files,
};
use crate::faults::{points, was_killed, with_fault};
use crate::host::{Instance, ragpod, run_with, sh, shared};

#[test]
fn files_that_cannot_be_restored_and_commands_that_are_killed() {
    let _host = shared();
    let name = "e2e-keepkill";
    let (_gone, one) = instance(name);
    put_files(name, "old");
    let old = psql(name, CONTENT);
    let file = backup(name);
    one.write(&[MORE]);
    one.ragpod("ingest", &[]).ok();
    put_files(name, "new");
    let later = backup(name);
    let new = psql(name, CONTENT);
    assert_ne!(new, old);
    let new_files = files(name);
    let whole = bytes(&file);
    let put = |content: &[u8]| {
        run_with(&["bash", "-euc", "cat > /tmp/e2e-keepkill-bad"], content).ok();
    };
    let pack = |tar: &[u8]| zstd::encode_all(tar, 1).unwrap();
    let plain = zstd::decode_all(&whole[..]).unwrap();
    let flipped = {
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        bytes
    };
    let newer = {
        let text = String::from_utf8_lossy(&plain[..4096]).into_owned();
        let at = text.find("\"format\": 1").unwrap() + 10;
        let mut bytes = plain.clone();
        bytes[at] = b'9';
        pack(&bytes)
    };
    for (content, words) in [
        (&whole[..whole.len() / 2], "is damaged"),
        (&whole[..whole.len() - 1], "is damaged"),
        (&flipped[..], "is damaged"),
        (&newer[..], "newer ragpod"),
        (&pack(b"hello, this is no tar")[..], "no backup of ragpod's"),
        (b"PGDMP", "no backup of ragpod's"),
        (b"", "no backup of ragpod's"),
    ] {
        put(content);
        one.ragpod("restore", &["/tmp/e2e-keepkill-bad", "--yes"]).code(1).tells(words);
        ragpod(&["restore", "e2e-keepnone", "/tmp/e2e-keepkill-bad"]).code(1).tells(words);
        ragpod(&["backup", "--verify", "/tmp/e2e-keepkill-bad"]).code(1).tells(words);
    }
    ragpod(&["status", "e2e-keepnone"]).code(4);
    assert_eq!(psql(name, CONTENT), new);
    // Checksums that are right over what cannot be restored.
    put(&unrestorable(&plain));
    let ran = one.ragpod("restore", &["/tmp/e2e-keepkill-bad", "--yes"]).code(1);
    ran.tells("is there with the data that it had");
    ragpod(&["backup", "--verify", "/tmp/e2e-keepkill-bad"]).code(1);
    assert_eq!((psql(name, CONTENT), files(name)), (new.clone(), new_files.clone()));
    nothing_beside(name);
    sh("rm /tmp/e2e-keepkill-bad").ok();
    // A disk that is full when the restore is noted, and when the change over is.
    for n in [1, 2] {
        let ran = with_fault(&format!("full:{n}"), &["restore", name, &file, "--yes"]);
        ran.code(1).tells("df -h");
        one.up();
        assert_eq!((psql(name, CONTENT), files(name)), (new.clone(), new_files.clone()));
        nothing_beside(name);
    }

    killed_backups(name);
    killed_restores(&one, [&file, &later], &new);
}

/// The backup with a dump that ends too early, and an index that says so.
fn unrestorable(plain: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut members: Vec<(String, Vec<u8>)> = tar::Archive::new(plain)
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        })
        .collect();
    let dump = &mut members.iter_mut().find(|(name, _)| name == "database.dump").unwrap().1;
    dump.truncate(dump.len() * 3 / 4);
    let sum = Sha256::digest(&*dump).iter().fold(String::new(), |s, b| s + &format!("{b:02x}"));
    let length = dump.len();
    let mut index: Value = serde_json::from_slice(&members[0].1).unwrap();
    index["members"]["database.dump"] = serde_json::json!({ "bytes": length, "sha256": sum });
    members[0].1 = serde_json::to_vec(&index).unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in &members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, &content[..]).unwrap();
    }
    zstd::encode_all(&tar.into_inner().unwrap()[..], 1).unwrap()
}

fn killed_backups(name: &str) {
    let before = backups(name);
    let dir = format!("~/.local/share/ragpod/backups/{name}");
    for point in ["snapshot", "staged", "written"] {
        assert!(was_killed(&with_fault(&format!("kill:{point}"), &["backup", name])), "{point}");
        assert_eq!(backups(name), before, "{point}");
    }
    // A disk that is full, early and late: nothing of it is left.
    for n in [1, 3, 5, 9] {
        let ran = with_fault(&format!("full:{n}"), &["backup", name]);
        if ran.code != 0 {
            ran.code(1).tells("df -h");
        }
    }
    let file = backup(name);
    let there = sh(&format!("ls -A {dir}")).ok().out;
    assert_eq!(there.lines().count(), backups(name).len(), "{there}");
    assert!(backups(name).contains(&file));
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'";
    assert_eq!(psql(name, idle).trim(), "0", "a snapshot is held by nobody");
}

/// Which of two states it is.
#[track_caller]
fn which(states: &[(String, String); 2], now: &(String, String), when: &str) -> usize {
    states.iter().position(|state| state == now).unwrap_or_else(|| panic!("{when}: {now:?}"))
}

/// At every step: what is there is the old data or the new, whole, in the database and on the
/// engine's volume, and the next command knows.
fn killed_restores(one: &Instance, backups: [&str; 2], new: &str) {
    let name = one.name.as_str();
    let both = || (psql(name, CONTENT), files(name));
    let later = both();
    one.ragpod("restore", &[backups[0], "--yes"]).ok();
    let states = [both(), later];
    assert_eq!(states[1].0, new);
    assert!(states[0].1.contains("test-old/only") && states[1].1.contains("test-new/only"));
    let mut at = 0;
    let all = points("e2e-keepkill", &["restore", name, backups[1], "--yes"]);
    at = 1 - at;
    // All of them with RAGPOD_KILLS: each takes some seconds.
    let few = [
        "database-restored",
        "engine-stopped",
        "database-exchanged",
        "volume-exchanged",
        "volume-tidied",
    ];
    assert!(few.iter().all(|few| all.iter().any(|p| p == few)) && all.len() > 8, "{all:?}");
    let every = std::env::var("RAGPOD_KILLS").is_ok();
    let all: Vec<String> = all.into_iter().filter(|p| every || few.contains(&&**p)).collect();
    for (round, point) in all.iter().enumerate() {
        let other = 1 - at;
        let fault = format!("kill:{point}");
        let ran = with_fault(&fault, &["restore", name, backups[other], "--yes"]);
        assert!(was_killed(&ran), "{point}: {ran}");
        if one.status()["state"] == "running" {
            assert!(states.iter().any(|state| state.0 == psql(name, CONTENT)), "after {point}");
            answer(name);
        }
        match round % 3 {
            0 => drop(one.ragpod("start", &[]).ok()),
            1 => drop(one.ragpod("restore", &[backups[other], "--yes"]).ok()),
            _ => drop(one.up()),
        }
        at = which(&states, &both(), point);
        assert!(round % 3 != 1 || at == other, "after {point} and a restore");
        nothing_beside(name);
        one.nothing_is_left_over(point);
    }
    answer(name);

    // New data that were in use, with the restore cut off after them: a start that fails later is no
    // reason to go back.
    for point in ["volume-exchanged", "volume-tidied"] {
        let other = 1 - at;
        let fault = format!("kill:{point}");
        let ran = with_fault(&fault, &["restore", name, backups[other], "--yes"]);
        assert!(was_killed(&ran), "{point}: {ran}");
        // Not by ragpod.
        sh(&format!("systemctl --user start hybridrag-{name}-app.service")).ok();
        psql(name, "CREATE TABLE since ()");
        one.ragpod("restart", &["--timeout", "100ms"]).code(1);
        one.up();
        at = which(&states, &both(), point);
        assert_eq!(at, other, "{point}");
        psql(name, "DROP TABLE since");
        nothing_beside(name);
        one.nothing_is_left_over(point);
    }

    // New data that no engine becomes healthy with: the old ones are in use again.
    let other = 1 - at;
    let ran = with_fault("kill:database-exchanged", &["restore", name, backups[other], "--yes"]);
    assert!(was_killed(&ran), "{ran}");
    sh(&format!(
        "podman unshare bash -euc 'cd \"$1/.ragpod-restoring\"; rm -rf lightrag; echo no > lightrag' x \
             $(podman volume inspect -f '{{{{.Mountpoint}}}}' hybridrag-{name}-engine)"
    ))
    .ok();
    let ran = one.ragpod("up", &["--timeout", "45s"]).ok().tells("going back to those that it had");
    // What may have been in use is kept, and told.
    let aside =
        psql(name, "SELECT datname FROM pg_database WHERE datname LIKE 'ragpod-set-aside-%'");
    let drop = format!("exec hybridrag-postgres-{name} dropdb -U postgres {}", aside.trim());
    ran.tells(&format!("podman {drop}"));
    sh(&format!("podman {drop}")).ok();
    assert_eq!(which(&states, &both(), "an engine that is not healthy"), at);
    answer(name);
    nothing_beside(name);
    one.nothing_is_left_over("after data that cannot be used");
}
