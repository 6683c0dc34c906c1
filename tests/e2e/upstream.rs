//! Upstream HybridRAG, as it is. Its image is built from a checkout of its source, with packages
//! that the test host has no network for, so that these tests run only where somebody has built it:
//! see tests/host/README.md.

use serde_json::Value;

use crate::host::{Instance, run, sh, shared};
use crate::standin;

const IMAGE: &str = "localhost/ragpod/hybridrag:latest";

/// An instance of upstream's with the stand-in for a provider.
fn create(name: &str, files: &[(&str, &str)]) -> Option<Instance> {
    if run(&["podman", "image", "exists", IMAGE]).code != 0 {
        eprintln!("not tried: there is no {IMAGE} in the host");
        return None;
    }
    if !standin::ready() {
        return None;
    }
    let mut options = standin::options("openai-compatible", "https://api.test/v1");
    let more = [
        "engine.profile=hybridrag".to_owned(),
        "provider.embedding_model=text-embedding-3-small".to_owned(),
        format!("provider.ca_file={}", standin::ca_file()),
    ];
    options.extend(more.into_iter().flat_map(|option| ["--set".to_owned(), option]));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Some(Instance::create_with(name, files, &options))
}

#[test]
fn its_flags_its_files_and_what_the_database_says() {
    let _host = shared();
    let files = [("a.md", "# Ferry\n\nThe ferry leaves from the eastern pier at noon.\n")];
    let Some(one) = create("e2e-prof-up", &files) else { return };
    one.up();
    // Registered by its own command line, and not with the password.
    let shown = "python hybridrag.py db show e2e-prof-up --json";
    let entry = one.ragpod("exec", &["--", "sh", "-c", shown]).ok().json();
    assert_eq!(entry["backend_type"], "postgres", "{entry}");
    assert_eq!(entry["backend_config"]["postgres_password"], Value::Null, "{entry}");
    let look = "cd /var/lib/hybridrag; stat -c %a .hybridrag/registry.yaml; \
                grep -cF -f /run/secrets/postgres-password .hybridrag/registry.yaml || true";
    assert_eq!(one.ragpod("exec", &["--", "sh", "-c", look]).ok().out, "600\n0\n");
    one.ragpod("init", &[]).ok();

    // Whatever it says of itself, ragpod says what the database has.
    let ran = one.ragpod("ingest", &["--json"]);
    let summary = ran.json();
    assert_eq!(summary["runs"][0]["exit_code"], 0, "{ran}");
    let rows = "SELECT count(*) FROM lightrag_doc_status WHERE status = 'processed'";
    let processed = one.ragpod("psql", &["--", "-At", "-c", rows]).ok().out;
    assert_eq!(summary["documents"]["processed"].to_string(), processed.trim(), "{ran}");
    let good = processed.trim() == "1" && summary["documents"]["failed"] == 0;
    assert_eq!(ran.code, i32::from(!good), "{ran}");
    assert_eq!(summary["notes"].as_array().unwrap().is_empty(), good, "{ran}");
    assert_eq!(one.status()["documents"], summary["documents"]);

    one.ragpod("query", &["Where does the ferry leave? '; $(id)"])
        .tells("never PostgreSQL")
        .says("Query: Where does the ferry leave? '; $(id)");
    let kept = "cd /var/lib/hybridrag; ls -d lightrag_db ingestion_queue logs processed_files.db";
    one.ragpod("exec", &["--", "sh", "-c", kept]).ok();
    sh("! grep -rE 'POSTGRES_PASSWORD=|OPENAI_API_KEY=' ~/.config/containers/systemd/ragpod").ok();
}
