//! A Docker Compose deployment moves in: its folder becomes a manifest, its database comes over from
//! a running container, a data directory and a dump.

use crate::faults::with_fault;
use crate::host::{Instance, Ran, ragpod, run_with, sh, shared};

const DOCS: &[(&str, &str)] = &[
    ("day.md", "# Afternoon\n\nThe feline slept on the warm windowsill all afternoon.\n"),
    ("tax.md", "# Money\n\nProperty levies are due at the town hall before the end of March.\n"),
];
const COMPOSE: &str = r#"
services:
  postgres:
    image: localhost/ragpod/postgres:17
    container_name: e2e-move-old-postgres
    environment:
      POSTGRES_USER: rag_owner
      POSTGRES_PASSWORD: ${POSTGRES_PASSWORD}
      POSTGRES_DB: minutes
    volumes:
      - ./data/postgres:/var/lib/postgresql/data
    ports: ["5432:5432"]
  app:
    image: hybridrag:latest
    env_file: .env
    volumes:
      - ${HOST_PROJECTS_PATH}:/data/projects:ro
      - ./data/lightrag_db:/app/lightrag_db
    command: tail -f /dev/null
    privelege: none
"#;

/// A server as the image of a compose deployment makes it: the superuser is the deployment's own, its socket asks
/// for the password, and its locale is one that the instance's image lacks.
const OLD_SERVER: &str = r#"
set -eu
export PATH=/usr/lib/postgresql/17/bin:$PATH LOCPATH=/tmp/locales
mkdir -p /tmp/locales
cp -R /usr/lib/locale/C.utf8 /tmp/locales/en_US.utf8
cd /var/lib/postgresql/data
if [ ! -e PG_VERSION ]; then
    printf %s "$POSTGRES_PASSWORD" > /tmp/password
    initdb -D . -U "$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 --locale=en_US.UTF-8 \
        --encoding=UTF8 > /dev/null
fi
exec postgres -D . -c listen_addresses= -c unix_socket_directories=/run/postgresql \
    -c dynamic_shared_memory_type=sysv
"#;

/// The old deployment; gone when it is dropped.
struct Old(String);

impl Old {
    fn new() -> Self {
        let old = Self(sh("printf %s ~/ragpod-e2e/e2e-move-old").ok().out);
        old.remove();
        let env = format!(
            "POSTGRES_PASSWORD=s3cret-old\nHOST_PROJECTS_PATH={0}/docs\nBATCH_SIZE=7\n",
            old.0
        );
        for (file, text) in
            [("docker-compose.yaml", COMPOSE), (".env", &env), ("server.sh", OLD_SERVER)]
        {
            old.write(file, text);
        }
        for (file, text) in DOCS {
            old.write(&format!("docs/{file}"), text);
        }
        old
    }

    fn write(&self, file: &str, text: &str) {
        let write = r#"mkdir -p "$(dirname "$1")"; cat > "$1""#;
        let path = format!("{}/{file}", self.0);
        run_with(&["bash", "-euc", write, "write", &path], text.as_bytes()).ok();
    }

    /// Runs a script in its folder.
    fn sh(&self, script: &str) -> Ran {
        sh(&format!("cd {}\n{script}", self.0))
    }

    /// Starts its database, which is filled with what an instance has.
    fn start(&self, filled_from: &str) {
        self.sh(&format!(
            "mkdir -p data/postgres; podman unshare chown 999:999 data/postgres
             podman run --detach --name e2e-move-old-postgres --network none --tmpfs /run/postgresql:mode=1777 \
                 --env POSTGRES_USER=rag_owner --env POSTGRES_DB=minutes --env POSTGRES_PASSWORD=s3cret-old \
                 --volume $PWD/data/postgres:/var/lib/postgresql/data --entrypoint sh \
                 localhost/ragpod/postgres:17 -c \"$(cat server.sh)\" > /dev/null
             old() {{ podman exec --interactive --env PGPASSWORD=s3cret-old e2e-move-old-postgres \"$@\"; }}
             for i in $(seq 100); do
                 old psql -qU rag_owner -d postgres -c 'CREATE DATABASE minutes' 2> /dev/null && break
                 sleep 0.2
             done
             podman exec hybridrag-postgres-{filled_from} pg_dump -U hybridrag --no-owner hybridrag > filled.sql
             echo 'CREATE TABLE accounts (n int)' | old psql -qU rag_owner -d minutes
             old psql -qU rag_owner -d minutes < filled.sql > filled.log 2>&1
             old pg_dump -U rag_owner minutes | gzip > old.sql.gz"
        ))
        .ok();
    }

    /// What its files are, with owners and times.
    fn files(&self) -> String {
        self.sh("podman unshare find data/postgres -printf '%p %T@ %s %U %m\\n' | sort").ok().out
    }

    fn remove(&self) {
        drop(sh(&format!(
            "podman rm --force --time 0 e2e-move-old-postgres; podman unshare rm -rf {}",
            self.0
        )));
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Nothing of an import is left but what it brought.
fn no_leftovers(name: &str) {
    let left = sh(&format!(
        "podman ps --all --format '{{{{.Names}}}}' | grep ragpod-import-{name} || true
         podman exec hybridrag-postgres-{name} psql -XAtU postgres -c \
             \"SELECT datname FROM pg_database WHERE datname LIKE 'ragpod%'\""
    ));
    assert_eq!(left.ok().out, "");
}

#[test]
fn a_deployment_moves_in_with_its_data() {
    let _host = shared();
    let old = Old::new();
    {
        let source = Instance::create("e2e-move-src", DOCS);
        source.up();
        source.ragpod("ingest", &[]).ok();
        old.start("e2e-move-src");
    }
    let question = "Where did the cat nap?";

    // From the running container, in one go.
    let folder = old.0.as_str();
    let new = Instance { name: "e2e-move-new".to_owned() };
    let made =
        ragpod(&["create", &new.name, "--from-compose", folder, "--import-data", "--json"]).ok();
    assert!(!format!("{made}").contains("s3cret"), "{made}");
    let made = made.json();
    assert_eq!(made["imported"]["origin"], "container", "{made}");
    assert_eq!(made["imported"]["documents"], 2, "{made}");
    assert!(made["imported"]["entities"].as_u64().unwrap() > 0, "{made}");
    assert!(made["imported"]["notes"].to_string().contains("public.accounts"), "{made}");
    assert_eq!(made["secrets"][0], "postgres-password", "{made}");
    let outcome = |key: &str| {
        let all = made["compose"].as_array().unwrap();
        all.iter().find(|f| f["key"] == key).map(|f| f["outcome"].clone()).unwrap_or_default()
    };
    assert_eq!(outcome("services.postgres.ports"), "warning", "{made}");
    assert_eq!(outcome("services.app.privelege"), "not-understood", "{made}");
    assert_eq!(outcome("BATCH_SIZE"), "taken", "{made}");
    let answer = new.ask(question);
    assert!(answer["answer"].as_str().unwrap().contains("windowsill"), "{answer}");
    assert_eq!(answer["sources"][0]["path"], "/data/projects/day.md", "{answer}");
    // The graph is AGE's own again: Cypher finds it, and can write.
    let cypher = "SET search_path = ag_catalog, public; \
        SELECT count(*) FROM cypher('chunk_entity_relation', $$ MATCH (n)-[r]-(m) RETURN n $$) AS (n agtype)";
    let edges = new.ragpod("psql", &["--", "-qAtc", cypher]).ok().out;
    assert!(edges.trim().parse::<u32>().unwrap() > 0, "{edges}");
    // Its files are known: nothing is taken in twice.
    let again = new.ragpod("ingest", &["--json"]).ok().json();
    assert_eq!((&again["new"], &again["unchanged"]), (&0.into(), &2.into()), "{again}");
    no_leftovers(&new.name);

    // Documents are replaced only when that is wanted.
    new.ragpod("import", &[folder]).code(2).tells("--yes");

    // What is interrupted changes nothing, and what is no dump neither.
    interrupted(&new, &format!("{folder}/old.sql.gz"));
    old.write("no.sql", "no");
    new.ragpod("import", &[&format!("{folder}/no.sql"), "--yes"]).code(2).tells("is no dump");
    // An index of another model says what to set.
    old.write("other.sql", OTHER_MODEL);
    new.ragpod("import", &[&format!("{folder}/other.sql"), "--yes"])
        .code(2)
        .tells("embedding_dim = 3");
    assert_eq!(new.status()["documents"]["processed"], 2);
    no_leftovers(&new.name);

    // What a killed one has left is swept by the next, which is from a dump.
    let dump = format!("{folder}/old.sql.gz");
    let killed = with_fault("kill:filled", &["import", &new.name, &dump, "--yes"]);
    assert_ne!(killed.code, 0, "{killed}");
    let from_dump =
        new.ragpod("import", &[&format!("{folder}/old.sql.gz"), "--yes", "--json"]).ok().json();
    assert_eq!((&from_dump["origin"], &from_dump["documents"]), (&"dump".into(), &2.into()));

    other_dumps(&old, &new);
    what_goes_wrong_at_the_end(&old, &new);

    // From the data directory of what is stopped, which stays as it is.
    old.sh("podman stop --time 20 e2e-move-old-postgres").ok();
    let files = old.files();
    let from_files = new.ragpod("import", &[folder, "--yes", "--json"]).ok().json();
    assert_eq!(from_files["origin"], "data directory", "{from_files}");
    assert_eq!(old.files(), files);
    let answer = new.ask(question);
    assert_eq!(answer["sources"][0]["path"], "/data/projects/day.md", "{answer}");
    no_leftovers(&new.name);
}

/// Ctrl-C before the database is filled, and after it.
fn interrupted(new: &Instance, dump: &str) {
    for point in ["prepared", "filled"] {
        let ran = sh(&format!(
            "set -m; at=/tmp/e2e-move-at; rm -f $at
             # What it does when it hears of it: the database that it fills goes.
             heard() {{
                 podman exec hybridrag-postgres-{name} psql -XAtU postgres -c \
                     \"SELECT 'there' FROM pg_database WHERE datname = 'ragpod-import'\" > $at-there &&
                     [ ! -s $at-there ]
             }}
             RAGPOD_FAULT=pause:{point}:$at {} import {name} {dump} --yes & import=$!
             soon $import test -e $at
             if heard; then exit 98; fi
             kill -INT $import; soon $import heard
             rm $at $at-there; code=0; wait $import || code=$?; exit $code",
            crate::faults::program(),
            name = new.name
        ));
        ran.code(130).tells("nothing was imported");
        no_leftovers(&new.name);
    }
}

/// Dumps in other forms, and one that is a program.
fn other_dumps(old: &Old, new: &Instance) {
    old.sh(
        "old() { podman exec --env PGPASSWORD=s3cret-old e2e-move-old-postgres \"$@\"; }
         old pg_dump -U rag_owner -Ft minutes > old.tar
         old pg_dump -U rag_owner -Fc minutes > old.dump
         old pg_dump -U rag_owner -C minutes | zstd -q > old.sql.zst 2> /dev/null \\
             || old pg_dump -U rag_owner -C minutes > old.sql.zst
         old pg_dump -U rag_owner -Fc minutes | head -c 20000 > half.dump
         { zcat old.sql.gz | head -n 40; echo '\\! touch /tmp/was-here'; zcat old.sql.gz | tail -n +41; } > program.sql",
    )
    .ok();
    for file in ["old.tar", "old.dump", "old.sql.zst"] {
        let made = new.ragpod("import", &[&format!("{}/{file}", old.0), "--yes", "--json"]).ok();
        let made = made.json();
        assert_eq!((&made["origin"], &made["documents"]), (&"dump".into(), &2.into()), "{file}");
    }
    for (file, says) in
        [("half.dump", "the dump cannot be read"), ("program.sql", "a command of psql's")]
    {
        new.ragpod("import", &[&format!("{}/{file}", old.0), "--yes"]).code(1).tells(says);
        no_leftovers(&new.name);
    }
    assert_eq!(new.status()["documents"]["processed"], 2);
}

/// An engine that is not healthy with the new data, a kill when they are in use, and documents that
/// came meanwhile.
fn what_goes_wrong_at_the_end(old: &Old, new: &Instance) {
    let dump = format!("{}/old.dump", old.0);
    let psql = |sql: &str| new.ragpod("psql", &["--", "-qAtc", sql]).ok().out;
    psql("CREATE TABLE its_own AS SELECT 7 AS n");
    let failed = with_fault("fail:proved", &["import", &new.name, &dump, "--yes"]);
    failed.code(1).tells("proved");
    assert_eq!(psql("SELECT n FROM its_own"), "7\n");
    assert_eq!(new.status()["state"], "running");
    no_leftovers(&new.name);

    // What is asked waits for the change over, and what came meanwhile is not lost.
    let changed = sh(&format!(
        "at=/tmp/e2e-move-at; rm -f $at
         RAGPOD_FAULT=pause:filled:$at {} import {name} {dump} --yes & import=$!
         soon $import test -e $at
         ragpod psql {name} -- -qc \"UPDATE lightrag_doc_status SET content_summary = 'other'\"
         rm $at; wait $import",
        crate::faults::program(),
        name = new.name
    ));
    changed.code(1).tells("changed while the old ones came");
    assert_eq!(psql("SELECT DISTINCT content_summary FROM lightrag_doc_status"), "other\n");
    no_leftovers(&new.name);

    let killed = with_fault("kill:swapped", &["import", &new.name, &dump, "--yes"]);
    assert_ne!(killed.code, 0, "{killed}");
    new.up();
    assert_eq!(psql("SELECT to_regclass('its_own') IS NULL"), "t\n");
    new.ragpod("import", &[&dump, "--yes"]).ok();
    no_leftovers(&new.name);
}

/// The least that an index of LightRAG is, made with a model of three dimensions.
const OTHER_MODEL: &str = "--\n-- PostgreSQL database dump\n--\n
CREATE EXTENSION vector;
CREATE TABLE public.lightrag_doc_status (workspace text, id text);
INSERT INTO public.lightrag_doc_status VALUES ('default', '1');
CREATE TABLE public.lightrag_vdb_chunks_tiny_3d (workspace text, content_vector public.vector(3));
INSERT INTO public.lightrag_vdb_chunks_tiny_3d VALUES ('default', '[1,2,3]');
-- PostgreSQL database dump complete
";

#[test]
fn bad_folders_change_nothing() {
    let _host = shared();
    let everything = || {
        sh("ls ~/.config/ragpod/instances ~/.local/state/ragpod | grep e2e-move-bad || true
            podman secret ls --format '{{.Name}}' | grep e2e-move-bad || true")
        .ok()
        .out
    };
    sh("rm -rf ~/ragpod-e2e/e2e-move-bad; mkdir -p ~/ragpod-e2e/e2e-move-bad && cd ~/ragpod-e2e/e2e-move-bad
        mkdir none dir two yaml unreadable data
        mkdir dir/compose.yaml
        printf 'services:\\n  a: {image: postgres}\\n  b: {image: postgres}\\n' > two/compose.yaml
        printf 'services: [\\n' > yaml/compose.yaml
        printf 'services:\\n  a: {image: postgres, volumes: [\"./gone:/var/lib/postgresql/data\"]}\\n' \
            | tee unreadable/compose.yaml > data/compose.yaml
        echo A=1 > unreadable/.env; chmod 0 unreadable/.env")
    .ok();
    for (folder, says) in [
        ("gone", "No such file"),
        ("none", "there is no compose file"),
        ("dir", "it is no file"),
        ("two", "a and b are both databases"),
        ("yaml", "compose.yaml:2:1"),
        ("unreadable", ".env:1:1: it cannot be read"),
    ] {
        let ran = sh(&format!(
            "ragpod create e2e-move-bad --from-compose ~/ragpod-e2e/e2e-move-bad/{folder}"
        ));
        ran.code(2).tells(says);
    }
    // Nothing is made when its data cannot be found.
    sh("ragpod create e2e-move-bad --from-compose ~/ragpod-e2e/e2e-move-bad/data --import-data")
        .code(2)
        .tells("is no PostgreSQL data directory");
    assert_eq!(everything(), "");
    sh("rm -rf ~/ragpod-e2e/e2e-move-bad").ok();
}
