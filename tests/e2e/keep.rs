//! Backups, restores, copies and other names.

use std::io::Read;

use serde_json::Value;

use crate::host::{Instance, ragpod, run, run_with, sh, shared};

mod begun;
mod broken;
mod fresh;
mod names;

const DOCUMENTS: [(&str, &str); 3] = [
    ("pier.md", "The ferry to Bergen leaves from the eastern pier at noon.\n"),
    ("owner.md", "Captain Olsen owns the ferry and the lighthouse of Stavanger.\n"),
    ("cat.md", "The lighthouse has a cat that is called Admiral.\n"),
];
const MORE: (&str, &str) = ("more.md", "The harbour master of Tromsø keeps a parrot.\n");

/// What must be the same after a restore: the graph, the documents and the passages.
const CONTENT: &str = "
    SET search_path = ag_catalog, public;
    SELECT 'v', agtype_out(properties)::text FROM chunk_entity_relation._ag_label_vertex ORDER BY 2;
    SELECT 'e', start_id, end_id, agtype_out(properties)::text FROM chunk_entity_relation._ag_label_edge ORDER BY 2, 3;
    SELECT * FROM cypher('chunk_entity_relation', $$ MATCH (n)-[e]->(m)
        RETURN n.entity_id, m.entity_id ORDER BY n.entity_id, m.entity_id $$) AS (n agtype, m agtype);
    SELECT id, status, content_summary FROM public.lightrag_doc_status ORDER BY id;
    SELECT id, md5(content) FROM public.lightrag_doc_chunks ORDER BY id;
    SELECT id, md5(content_vector::text) FROM public.lightrag_vdb_chunks_all_minilm_l6_v2_384d ORDER BY id;
    SELECT path, sha256 FROM public.ragpod_files ORDER BY path;";

/// psql as the superuser, in a shell.
fn psql(name: &str, sql: &str) -> String {
    let psql = ["podman", "exec", "-i"].map(str::to_owned);
    let container = format!("hybridrag-postgres-{name}");
    let args = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "hybridrag"];
    let line: Vec<&str> =
        psql.iter().map(String::as_str).chain([&*container]).chain(args).collect();
    run_with(&line, sql.as_bytes()).ok().out
}

/// What tests put on the engine's volume, with owners and contents: lines for each file.
fn files(name: &str) -> String {
    sh(&format!(
        "podman unshare bash -euc 'cd \"$1\"; find test-* -printf \"%p %y %m %U:%G\\n\" | sort
             find test-* -type f -print0 | sort -z | xargs -0 sha256sum' x \
             $(podman volume inspect -f '{{{{.Mountpoint}}}}' hybridrag-{name}-engine)"
    ))
    .ok()
    .out
}

/// Makes files on the engine's volume; others that tests put there go.
fn put_files(name: &str, content: &str) {
    sh(&format!(
        "podman unshare bash -euc 'cd \"$1\"; rm -rf test-*; mkdir -p \"test-$2\" test-both/inner
             echo \"$2\" | tee \"test-$2/only\" test-both/inner/file > test-file
             chmod 640 test-file; chown 7:7 test-file; ln -s \"$2\" test-both/link' x \
             $(podman volume inspect -f '{{{{.Mountpoint}}}}' hybridrag-{name}-engine) {content}"
    ))
    .ok();
}

fn answer(name: &str) -> Value {
    let json = ragpod(&["query", name, "Who owns the ferry?", "--json"]).ok().json();
    serde_json::json!([json["answer"], json["sources"]])
}

fn documents(name: &str) -> u64 {
    psql(name, "SELECT count(*) FROM lightrag_doc_status WHERE status = 'processed'")
        .trim()
        .parse()
        .unwrap()
}

fn backups(name: &str) -> Vec<String> {
    let json = ragpod(&["backup", "--list", name, "--json"]).ok().json();
    let file = |b: &Value| b["file"].as_str().unwrap().to_owned();
    json["backups"].as_array().unwrap().iter().map(file).collect()
}

fn backup(name: &str) -> String {
    let json = ragpod(&["backup", name, "--json"]).ok().json();
    json["file"].as_str().unwrap().to_owned()
}

fn bytes(file: &str) -> Vec<u8> {
    let hex = run(&["od", "-An", "-v", "-tx1", file]).ok().out;
    hex.split_whitespace().map(|b| u8::from_str_radix(b, 16).unwrap()).collect()
}

/// Nothing of a restore is beside what is in use.
#[track_caller]
fn nothing_beside(name: &str) {
    let left = psql(name, "SELECT datname FROM pg_database WHERE datname LIKE 'ragpod%'");
    assert_eq!(left, "", "databases");
    let left = sh(&format!(
        "podman unshare find $(podman volume inspect -f '{{{{.Mountpoint}}}}' hybridrag-{name}-engine) \
         -name '.ragpod-*'
         ls -A ~/.local/state/ragpod/{name} | grep -E 'restoring|renaming|intent' || true
         # Another test's belongs to a command that is at work.
         for c in $(podman ps -a --format '{{{{.Names}}}}' | grep ragpod-verify); do
             kill -0 ${{c#ragpod-verify-}} 2> /dev/null || echo $c
         done"
    ));
    assert_eq!(left.ok().out, "");
}

/// Removes an instance with its backups when the test ends.
struct Gone(&'static str);

impl Gone {
    fn new(name: &'static str) -> Self {
        drop(ragpod(&["rm", name, "--data", "--yes"]));
        drop(sh(&format!("rm -rf ~/.local/share/ragpod/backups/{name}")));
        Self(name)
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        drop(ragpod(&["rm", self.0, "--data", "--yes"]));
        drop(sh(&format!("rm -rf ~/.local/share/ragpod/backups/{}", self.0)));
    }
}

fn instance(name: &'static str) -> (Gone, Instance) {
    let gone = Gone::new(name);
    let one = Instance::create(name, &DOCUMENTS);
    one.up();
    one.ragpod("ingest", &[]).ok();
    (gone, one)
}

#[test]
fn a_backup_and_what_is_made_of_it() {
    let _host = shared();
    let name = "e2e-keep";
    let (_gone, one) = instance(name);
    let key = "sk-e2e-keep-0123456789";
    run_with(&["ragpod", "secret", "set", name, "api-key"], key.as_bytes()).ok();
    let password = sh(&format!(
        "podman secret inspect --showsecret --format '{{{{.SecretData}}}}' \
         $(podman secret ls --format '{{{{.Name}}}}' | grep '^hybridrag-{name}.postgres-password')"
    ));
    let password = password.ok().out.trim().to_owned();
    assert_eq!(password.len(), 32);
    // An engine that writes a secret where it should not.
    let place =
        sh(&format!("podman volume inspect -f '{{{{.Mountpoint}}}}' hybridrag-{name}-engine"));
    let place = place.ok().out.trim().to_owned();
    sh(&format!(
        "mkdir {place}/sub; echo 'p: {password}' > {place}/sub/leak; echo kept > '{place}/a b'"
    ))
    .ok();
    let (before, asked) = (psql(name, CONTENT), answer(name));

    let made = ragpod(&["backup", name, "--json"]).ok().json();
    let file = made["file"].as_str().unwrap().to_owned();
    assert_eq!(made["documents"]["processed"], 3, "{made}");
    assert_eq!(made["left_out"], serde_json::json!(["./sub/leak"]), "{made}");
    assert_eq!(sh(&format!("stat -c %a {file}")).ok().out, "600\n");
    assert_eq!(backups(name), std::slice::from_ref(&file));

    // Nothing secret is in it, looked at without ragpod.
    let plain = zstd::decode_all(&bytes(&file)[..]).unwrap();
    let holds = |text: &str| plain.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(holds("kept") && holds("PGDMP") && !holds(&password) && !holds(key));
    let mut members = Vec::new();
    let mut dump = Vec::new();
    let mut graphs = String::new();
    for entry in tar::Archive::new(&plain[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let member = entry.path().unwrap().display().to_string();
        match member.as_str() {
            "database.dump" => drop(entry.read_to_end(&mut dump).unwrap()),
            "graphs.sql" => drop(entry.read_to_string(&mut graphs).unwrap()),
            _ => {}
        }
        members.push(member);
    }
    assert_eq!(
        members,
        [
            "backup.json",
            "manifest.toml",
            "graphs.sql",
            "database.list",
            "database.dump",
            "engine.tar"
        ]
    );
    // And restored without it.
    let by_hand = format!("podman exec -i hybridrag-postgres-{name}");
    sh(&format!("{by_hand} createdb -U postgres by_hand")).ok();
    let restore = format!("{by_hand} pg_restore -U postgres --exit-on-error -d by_hand");
    run_with(&["bash", "-euc", &restore], &dump).ok();
    let fix = format!("{by_hand} psql -XqAt -U postgres -d by_hand -f -");
    run_with(&["bash", "-euc", &fix], [&graphs, CONTENT].concat().as_bytes())
        .ok()
        .says(before.trim());
    sh(&format!("{by_hand} dropdb -U postgres by_hand")).ok();

    let good = ragpod(&["backup", "--verify", name, "--json"]).ok().json();
    assert_eq!((&good["rows"], &good["documents"]["processed"]), (&made["rows"], &3.into()));
    nothing_beside(name);

    // Into the same instance: what came later is gone, and comes again.
    one.write(&[MORE]);
    one.ragpod("ingest", &[]).ok();
    sh(&format!("rm -r {place}/sub '{place}/a b'; echo later > {place}/later")).ok();
    assert_ne!(psql(name, CONTENT), before);
    one.ragpod("restore", &[&file]).code(2).tells("--yes");
    let restored = one.ragpod("restore", &[&file, "--yes"]).ok();
    restored.tells("has what e2e-keep had at").tells("3 documents");
    assert_eq!((psql(name, CONTENT), answer(name)), (before.clone(), asked.clone()));
    // On the volume too, and what came later is not there any more.
    sh(&format!("grep -qx kept '{place}/a b'; test -d {place}/sub; ! test -e {place}/sub/leak"))
        .ok();
    sh(&format!("! test -e {place}/later")).ok();
    assert_eq!(one.status()["documents"]["processed"], 3);
    nothing_beside(name);
    one.ragpod("ingest", &[]).ok().tells("1 new");

    // Into a new one, which has its own password.
    let _other = Gone::new("e2e-keep-new");
    ragpod(&["restore", "e2e-keep-new", &file]).ok();
    assert_eq!((psql("e2e-keep-new", CONTENT), answer("e2e-keep-new")), (before, asked));
    let other = sh("podman secret inspect --showsecret --format '{{.SecretData}}' \
        $(podman secret ls --format '{{.Name}}' | grep '^hybridrag-e2e-keep-new.postgres-password')");
    assert_ne!(other.ok().out.trim(), password);
    nothing_beside("e2e-keep-new");
    secrets_and_copies(name, key);
}

/// `--with-secrets`, where a backup goes, how many are kept.
fn secrets_and_copies(name: &str, key: &str) {
    let (mine, theirs) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
    let identity = |i: &age::x25519::Identity| {
        use secrecy::ExposeSecret;
        i.to_string().expose_secret().to_owned()
    };
    for (file, key) in [("mine", &mine), ("theirs", &theirs)] {
        run_with(&["tee", &format!("/tmp/e2e-keep-{file}")], identity(key).as_bytes()).ok();
    }
    let with = format!("--with-secrets={}", mine.to_public());
    let file = "/tmp/e2e-keep-sealed.tar.zst";
    ragpod(&["backup", name, &with, "-o", file]).ok();
    let plain = zstd::decode_all(&bytes(file)[..]).unwrap();
    assert!(!plain.windows(key.len()).any(|w| w == key.as_bytes()));
    assert!(plain.windows(11).any(|w| w == b"secrets.age"));
    let _gone = Gone::new("e2e-keep-sealed");
    let restore = ["restore", "e2e-keep-sealed", file, "--identity"];
    ragpod(&[&restore[..], &["/tmp/e2e-keep-theirs"]].concat()).code(1).tells("decrypted");
    ragpod(&["status", "e2e-keep-sealed"]).code(4);
    ragpod(&[&restore[..], &["/tmp/e2e-keep-mine"]].concat()).ok();
    let value = sh(
        "podman secret inspect --showsecret --format '{{.SecretData}}' hybridrag-e2e-keep-sealed.api-key.1",
    );
    assert_eq!(value.ok().out.trim(), key);
    ragpod(&["backup", name, "--with-secrets"]).code(2).tells("recipient");
    ragpod(&["backup", name, "--with-secrets=AGE-SECRET-KEY-1X"]).code(2).tells("age-keygen -y");

    sh(&format!(
        "ragpod backup {name} -o - > /tmp/e2e-keep-out; cmp -n 4 /tmp/e2e-keep-out {file}"
    ))
    .ok();
    ragpod(&["backup", "--verify", "/tmp/e2e-keep-out"]).ok().tells("is good");
    let dir = format!("~/.local/share/ragpod/backups/{name}");
    sh(&format!("touch {dir}/{name}-precious.tar.zst {dir}/{name}-2-20200101T000000Z.tar.zst"))
        .ok();
    let first = backups(name);
    let second = backup(name);
    let third = ragpod(&["backup", name, "--keep", "2", "--json"]).ok().json();
    assert_eq!(third["removed"], serde_json::json!(first));
    assert_eq!(backups(name), [second, third["file"].as_str().unwrap().to_owned()]);
    sh(&format!("ls {dir}/{name}-precious.tar.zst {dir}/{name}-2-20200101T000000Z.tar.zst")).ok();

    // Stopped, it is started for that time.
    ragpod(&["stop", name]).ok();
    ragpod(&["backup", name]).ok().tells("started for its backup");
    assert_eq!(ragpod(&["status", name, "--json"]).ok().json()["instances"][0]["state"], "stopped");
    sh("rm /tmp/e2e-keep-*").ok();
}
