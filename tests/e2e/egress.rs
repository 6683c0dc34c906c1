//! What an instance reaches: its provider through the gateway, and nothing else.

use crate::host::{Instance, Ran, ragpod, run, run_with, sh, shared};
use crate::standin::{self, ADDRESS};

const TEXT: &str = "# Codes\n\nThe launch code of the red team is marmalade.\n";
const KEY: &[u8] = b"egr-planted-key\n";

/// Tries each of `HOST:PORT` from the engine's container, by itself and through the gateway.
fn try_from(one: &Instance, targets: &[&str]) -> Ran {
    const PROBE: &str = "
import os, socket, sys
for target in sys.argv[1:]:
    host, port = target.rsplit(':', 1)
    try:
        socket.create_connection((host, int(port)), 3)
        print('direct', target, 'reached')
    except OSError as error:
        print('direct', target, 'failed:', error)
    gateway = os.environ.get('HTTPS_PROXY', '').rpartition('//')[2].partition(':')[0]
    if gateway:
        for line in (f'CONNECT {target} HTTP/1.1', f'GET http://{target}/ HTTP/1.1'):
            s = socket.create_connection((gateway, 3128), 3)
            s.sendall(f'{line}\\r\\nHost: {target}\\r\\n\\r\\n'.encode())
            print(line.split()[0], target, s.recv(100).split()[1].decode())
";
    one.ragpod("exec", &[&["--", "python", "-c", PROBE], targets].concat()).ok()
}

/// Tries each of `HOST:PORT` from the gateway's container.
fn try_from_gateway(one: &Instance, targets: &[String]) -> Ran {
    const PROBE: &str = "for target in \"$@\"; do
        timeout 2 bash -c \": < /dev/tcp/${target%:*}/${target##*:}\" 2> /dev/null && echo reached $target
    done; true";
    let mut args = vec!["--service", "egress", "--", "bash", "-c", PROBE, "probe"];
    args.extend(targets.iter().map(String::as_str));
    one.ragpod("exec", &args).ok()
}

fn provider(kind: &str, url: &str, more: &[&str]) -> Vec<String> {
    let mut options = standin::options(kind, url);
    for set in more {
        options.extend(["--set".to_owned(), (*set).to_owned()]);
    }
    options
}

fn create(name: &str, options: &[String]) -> Instance {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Instance::create_with(name, &[("a.md", TEXT)], &options)
}

#[test]
fn allow_reaches_the_provider_and_nothing_else() {
    let _host = shared();
    if !standin::ready() {
        return;
    }
    let ca = format!("provider.ca_file={}", standin::ca_file());
    let key = "provider.api_key={ secret = \"api-key\" }";
    let one = create("egr-tls", &provider("openai-compatible", "https://api.test/v1", &[&ca, key]));
    run_with(&["ragpod", "secret", "set", "egr-tls", "api-key"], KEY).ok();
    let before = standin::requests();
    one.up();
    one.ragpod("ingest", &[]).ok();
    let answer = one.ask("What is the launch code of the red team?");
    assert!(answer["answer"].as_str().unwrap().contains("marmalade"), "{answer}");
    assert_eq!(answer["sources"][0]["path"], "/data/projects/a.md", "{answer}");
    // It was the stand-in that answered, it saw the key, and over TLS.
    let asked = standin::since(&before);
    for path in ["/v1/embeddings", "/v1/chat/completions"] {
        let line = format!("443 api.test POST {path} {}", standin::proof(KEY.trim_ascii()));
        assert!(asked.lines().any(|l| l == line), "no {line:?} in\n{asked}");
    }

    // A second instance speaks plain HTTP, through a gateway that knows CONNECT alone.
    let two = create("egr-plain", &provider("ollama", "http://api.test:11434", &[]));
    let before = standin::requests();
    two.up();
    two.ragpod("ingest", &[]).ok();
    let answer = two.ask("What is the launch code of the red team?");
    assert!(answer["answer"].as_str().unwrap().contains("marmalade"), "{answer}");
    let asked = standin::since(&before);
    assert!(asked.contains("11434 api.test:11434 POST /api/chat"), "{asked}");

    // Directly nothing; through the gateway the listed pair alone, and CONNECT alone.
    let tried = try_from(
        &one,
        &["api.test:443", "other.test:443", "api.test:8443", "10.99.0.2:443", "169.254.1.2:22"],
    );
    assert!(!tried.out.contains("reached"), "{tried}");
    let through: Vec<&str> =
        tried.out.lines().filter(|l| l.ends_with(" 200") || l.ends_with(" 503")).collect();
    assert_eq!(through, ["CONNECT api.test:443 200"], "{tried}");
    assert_eq!(tried.out.lines().filter(|l| l.ends_with(" 403")).count(), 9, "{tried}");
    let unknown = try_from(&one, &["no-such-name.test:443"]);
    assert!(unknown.out.contains("not known") && unknown.out.contains(" 403"), "{unknown}");
    // Each refusal is told with the name that was asked for.
    let log = one.ragpod("logs", &["egress"]).ok();
    for refused in [
        "refused CONNECT other.test:443",
        "refused CONNECT api.test:8443",
        "refused CONNECT 10.99.0.2:443",
        "refused GET http://api.test:443/",
        "refused CONNECT no-such-name.test:443",
    ] {
        assert!(log.out.contains(refused), "no {refused:?} in\n{log}");
    }

    // Neither the other's gateway nor its pod, from the engine or from the gateway, by address or
    // by name.
    let mut targets = vec!["hybridrag-egr-plain-egress:3128".to_owned()];
    for (container, port) in
        [("hybridrag-egr-plain-egress", 3128), ("hybridrag-egr-plain-infra", 5432)]
    {
        let found = standin::addresses(container);
        assert!(!found.is_empty(), "{container}");
        targets.extend(found.into_iter().map(|address| format!("{address}:{port}")));
    }
    assert!(targets.len() >= 4, "{targets:?}");
    let texts: Vec<&str> = targets.iter().map(String::as_str).collect();
    let tried = try_from(&one, &texts);
    assert!(!tried.out.contains("reached") && !tried.out.contains(" 200"), "{tried}");
    // Not even its own database from its own gateway; the probe itself works.
    targets
        .extend(standin::addresses("hybridrag-egr-tls-infra").iter().map(|a| format!("{a}:5432")));
    targets.push(format!("{ADDRESS}:443"));
    let tried = try_from_gateway(&one, &targets);
    assert_eq!(tried.out.trim(), format!("reached {ADDRESS}:443"), "{tried}");
}

#[test]
fn a_changed_list_restarts_the_gateway_only() {
    let _host = shared();
    if !standin::ready() {
        return;
    }
    let one = Instance::create_with(
        "egr-edit",
        &[("a.md", TEXT)],
        &["--set", "egress.allow=api.test:443"],
    );
    one.up();
    let before = one.started();
    assert_eq!(before.len(), 4, "{before:?}");
    assert!(try_from(&one, &["other.test:443"]).out.contains("CONNECT other.test:443 403"));
    sh("sed -i 's/api.test:443/other.test:443/' ~/.config/ragpod/instances/egr-edit.toml").ok();
    one.up().tells("restarted with what changed: egress");
    let after = one.started();
    let changed: Vec<&String> = after.iter().filter(|line| !before.contains(line)).collect();
    assert_eq!(changed.len(), 1, "{before:?} {after:?}");
    assert!(changed[0].starts_with("hybridrag-egr-edit-egress "), "{changed:?}");
    let tried = try_from(&one, &["other.test:443", "api.test:443"]);
    assert!(tried.out.contains("CONNECT other.test:443 200"), "{tried}");
    assert!(tried.out.contains("CONNECT api.test:443 403"), "{tried}");
}

#[test]
fn none_has_no_gateway_and_open_is_isolated() {
    let _host = shared();
    if !standin::ready() {
        return;
    }
    let none = Instance::create("egr-none", &[("a.md", TEXT)]);
    let open =
        create("egr-open", &provider("ollama", "http://other.test:11434", &["egress.mode=open"]));
    ragpod(&["up", "egr-none", "egr-open"]).ok();
    for name in ["egr-none", "egr-open"] {
        let found = sh(&format!(
            "podman ps --all --format '{{{{.Names}}}}' | grep -F hybridrag-{name}-egress || true"
        ));
        assert_eq!(found.ok().out, "");
    }
    assert_eq!(
        sh("podman network ls --quiet | grep -cFx hybridrag-egr-none-egress-network || true")
            .ok()
            .out
            .trim(),
        "0"
    );
    let tried = try_from(&none, &["api.test:443", "10.99.0.2:443", "169.254.1.2:22"]);
    assert!(!tried.out.contains("reached"), "{tried}");

    open.ragpod("ingest", &[]).ok();
    let answer = open.ask("What is the launch code of the red team?");
    assert!(answer["answer"].as_str().unwrap().contains("marmalade"), "{answer}");
    assert!(try_from(&open, &["api.test:443"]).out.contains("reached"));
    // A second one that is open as well reaches the world, but not the first, nor the closed one.
    let other =
        create("egr-open2", &provider("ollama", "http://other.test:11434", &["egress.mode=open"]));
    other.up();
    let mut targets =
        vec!["hybridrag-egr-open:5432".to_owned(), "hybridrag-postgres-egr-open:5432".to_owned()];
    for pod in ["egr-open", "egr-none"] {
        let found = standin::addresses(&format!("hybridrag-{pod}-infra"));
        assert!(!found.is_empty(), "{pod}");
        // Somebody listens on all addresses there, so that only the networks can refuse.
        let listen = "import socket; s = socket.create_server(('', 7777)); s.accept()";
        let app = format!("hybridrag-{pod}-app");
        run(&["podman", "exec", "--detach", &app, "python", "-c", listen]).ok();
        targets.extend(found.into_iter().map(|address| format!("{address}:7777")));
    }
    let texts: Vec<&str> = targets.iter().map(String::as_str).collect();
    let tried = try_from(&other, &texts);
    assert!(!tried.out.contains("reached"), "{tried}");
    assert!(try_from(&open, &["127.0.0.1:7777"]).out.contains("reached"), "nobody listened");
}

#[test]
fn a_private_authority_must_be_named() {
    let _host = shared();
    if !standin::ready() {
        return;
    }
    let ca = standin::ca_file();
    let one = create("egr-ca", &provider("openai-compatible", "https://api.test/v1", &[]));
    one.up();
    let failed = one.ragpod("ingest", &[]).code(1);
    let all = format!("{}{}", failed.out, failed.err);
    assert!(all.contains("the certificate of api.test is not trusted"), "{failed}");

    let manifest = "~/.config/ragpod/instances/egr-ca.toml";
    let name = |file: &str| {
        sh(&format!("sed -i '/^ca_file/d; s|^base_url = .*|&\\nca_file = \"{file}\"|' {manifest}"))
            .ok();
    };
    sh("umask 077; openssl genpkey -algorithm ed25519 > ~/ragpod-e2e/key.pem; echo > ~/ragpod-e2e/empty.pem").ok();
    let before = one.started();
    for (file, why) in [
        ("~/ragpod-e2e/key.pem", "private key"),
        ("~/ragpod-e2e/empty.pem", "no certificate"),
        ("~/ragpod-e2e/gone.pem", "cannot be read"),
        ("~/ragpod-e2e", "cannot be read"),
        ("ca.pem", "relative"),
    ] {
        name(file);
        one.ragpod("up", &[]).code(2).tells(why);
    }
    assert_eq!(one.started(), before);
    name(&ca);
    one.up().tells("restarted with what changed: app");
    one.ragpod("ingest", &[]).ok();
    let answer = one.ask("What is the launch code of the red team?");
    assert!(answer["answer"].as_str().unwrap().contains("marmalade"), "{answer}");
}
