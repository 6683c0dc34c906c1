//! A backup under an ingest, restored where nothing is.

use serde_json::Value;

use super::{CONTENT, Gone, backups, documents, psql};
use crate::faults::program;
use crate::host::{Instance, User, ragpod, sh, shared};

/// All that Podman and systemd have of a user, and every file that is called `fresh` somehow.
const EVERYTHING: &str = "
    podman ps --all --format '{{.Names}}'
    for kind in pod network volume secret; do
        echo $kind
        podman $kind ls --format '{{.Name}}'
    done
    systemctl --user list-units --all --plain --no-legend | grep -E 'fresh|ragpod|failed' || true
    systemctl --user list-unit-files --plain --no-legend | grep -E 'fresh|ragpod' || true
    systemctl --user list-timers --all --plain --no-legend | grep fresh || true
    find ~ $XDG_RUNTIME_DIR /dev/shm -path '*/overlay/*' -prune -o -name '*fresh*' -print \
        2> /dev/null || true
    grep -rl fresh ~/.config ~/.local/state ~/.local/share/ragpod \
        ~/.local/share/containers/storage/secrets 2> /dev/null || true";

/// How many files, `RAGPOD_BACKUP_DOCS`.
fn many() -> usize {
    std::env::var("RAGPOD_BACKUP_DOCS").map_or(20, |n| n.parse().unwrap())
}

#[test]
fn under_an_ingest_and_onto_a_fresh_host() {
    let _host = shared();
    let name = "e2e-keepmany";
    let _gone = Gone::new(name);
    let one = Instance::create(name, &[("1.md", "")]);
    let write = |from: usize, to: usize| {
        let script = format!(
            "mkdir -p {0}; for i in $(seq {from} {to}); do
                echo \"Ship number $i is called Vessel$i. It sails from Harbour$((i % 17)) with Captain$((i % 29)).\" \
                    > {0}/$i.md
             done",
            one.folder()
        );
        sh(&script).ok();
    };
    let count = many();
    write(1, count);
    one.up();
    let ingest = one.ragpod("ingest", &[]).ok();
    eprintln!("{count} files ingested in {:.1?}", ingest.took);
    write(count + 1, count + count / 10 + 60);
    // Others go on being ingested, and asked, while the backup is made. They stand still while it
    // takes its snapshot: some are there then, and some come before it is dumped.
    let ran = sh(&format!(
        "at=/tmp/{name}-at; hold=/tmp/{name}-hold; rm -f $at $hold; mkfifo $hold
         query() {{ ragpod psql {name} -- -XqAtc \"$1\"; }}
         done_() {{ query \"select count(*) from lightrag_doc_status where status = 'processed'\"; }}
         more() {{ local n; n=$(done_) && [ $n -gt $1 ]; }}
         held() {{
             query \"select count(*) from pg_locks where mode = 'ShareLock' and granted
                 and relation = 'lightrag_doc_status'::regclass\" | grep -qx 1
         }}
         ragpod ingest {name} > /tmp/{name}-ingest 2>&1 & ingest=$!
         ragpod psql {name} -- -q < $hold > /dev/null & psql=$!
         exec 9> $hold
         soon $ingest more {count}
         echo 'begin; lock table lightrag_doc_status in share mode;' >&9
         soon $psql held
         there=$(done_)
         RAGPOD_FAULT=pause:snapshot:$at {} backup {name} 9>&- & backup=$!
         soon $backup test -e $at
         kill -0 $ingest && echo \"still ingesting, $there done\"
         echo 'commit;' >&9; exec 9>&-; wait $psql
         soon $ingest more $there
         rm $at; time wait $backup
         wait $ingest",
        program()
    ))
    .ok();
    eprintln!("backup: {}", ran.err.lines().filter(|l| l.starts_with("real")).collect::<String>());
    let then =
        ran.out.lines().find_map(|l| l.strip_prefix("still ingesting, ")?.strip_suffix(" done"));
    let then: u64 = then.expect("it was ingesting").parse().unwrap();
    let file = backups(name).pop().unwrap();
    let good = ragpod(&["backup", "--verify", &file, "--json"]).ok();
    eprintln!("verify: {:.1?}", good.took);
    let has = good.json()["documents"]["processed"].as_u64().unwrap();
    assert_eq!(has, then, "as many as there were at the moment of its snapshot");
    assert!(has > count as u64 && has < documents(name), "{has} of {}", documents(name));

    // The same moment twice: here, in an instance beside it, and for another user.
    let _beside = Gone::new("e2e-keepbeside");
    ragpod(&["restore", "e2e-keepbeside", &file]).ok();
    let questions = ["Which ship sails with Captain7?", "What is called Vessel3?", "Harbour11"];
    let ask = |instance: &str| -> Vec<Value> {
        questions
            .iter()
            .map(|q| {
                let json = ragpod(&["query", instance, q, "--json"]).ok().json();
                serde_json::json!([json["answer"], json["sources"]])
            })
            .collect()
    };
    let here = ask("e2e-keepbeside");
    assert_eq!(documents("e2e-keepbeside"), has);
    let content = psql("e2e-keepbeside", CONTENT);
    let Some(user) = User::create("e2ekeep") else { return };
    user.sh("ragpod rm fresh --data --yes || true; rm -rf ~/.config/ragpod ~/.local/share/ragpod")
        .ok();
    sh(&format!("cp {file} /tmp/e2e-keepmany.tar.zst; chmod 644 /tmp/e2e-keepmany.tar.zst")).ok();
    let before = user.sh(EVERYTHING).ok().out;
    let restored = user.sh("ragpod restore fresh /tmp/e2e-keepmany.tar.zst").ok();
    eprintln!("restored on a fresh host in {:.1?}", restored.took);
    restored.tells("is not on this host; an empty folder stands for it");
    let there: Vec<Value> = questions
        .iter()
        .map(|q| {
            let json = user.sh(&format!("ragpod query fresh '{q}' --json")).ok().json();
            serde_json::json!([json["answer"], json["sources"]])
        })
        .collect();
    assert_eq!(there, here);
    let psql =
        "podman exec -i hybridrag-postgres-fresh psql -XqAt -U postgres -d hybridrag <<'E'\n";
    assert_eq!(user.sh(&format!("{psql}{CONTENT}\nE")).ok().out, content);
    // What was not yet in the index when it was made comes with the next ingest.
    ragpod(&["ingest", "e2e-keepbeside"]).ok();
    assert_eq!(documents("e2e-keepbeside"), documents(name));
    assert_ne!(user.sh(EVERYTHING).ok().out, before);
    user.sh("ragpod rm fresh --data --yes").ok();
    assert_eq!(user.sh(EVERYTHING).ok().out, before, "it is removed without a trace");
    sh("rm /tmp/e2e-keepmany*").ok();
}
