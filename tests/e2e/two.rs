//! Two instances side by side know nothing of each other.

use crate::host::{Instance, ragpod, run, shared, wait};

#[test]
fn each_answers_from_its_own_text_and_outlives_the_other() {
    let _host = shared();
    let red =
        Instance::create("e2e-red", &[("a.md", "The launch code of the red team is marmalade.\n")]);
    let blue = Instance::create(
        "e2e-blue",
        &[("a.md", "The launch code of the blue team is pineapple.\n")],
    );
    ragpod(&["up", "e2e-red", "e2e-blue"]).ok();
    red.ragpod("ingest", &[]).ok();
    blue.ragpod("ingest", &[]).ok();
    let answer = red.ask("What is the launch code?").to_string();
    assert!(answer.contains("marmalade") && !answer.contains("pineapple"), "{answer}");
    let answer = blue.ask("What is the launch code?").to_string();
    assert!(answer.contains("pineapple") && !answer.contains("marmalade"), "{answer}");

    let list = ragpod(&["list", "--json"]).ok().json();
    for name in ["e2e-red", "e2e-blue"] {
        let entry = list["instances"].as_array().unwrap().iter().find(|i| i["name"] == name);
        assert_eq!(entry.unwrap()["state"], "running", "{list}");
    }

    // Neither reaches the other, by name or by address. Its database would not answer anyway, for
    // it listens on the pod's loopback; so something else listens in its pod, on every address.
    let listen = "import http.server as h; h.ThreadingHTTPServer(('0.0.0.0', 7777), h.SimpleHTTPRequestHandler).serve_forever()";
    run(&["podman", "exec", "--detach", "hybridrag-e2e-blue-app", "python", "-c", listen]).ok();
    let address = "import socket; print(socket.gethostbyname(socket.gethostname()))";
    let address = blue.ragpod("exec", &["--", "python", "-c", address]).ok().out.trim().to_owned();
    assert!(address.starts_with("10."), "{address}");
    let reach = "import socket, sys\n\
        for host in sys.argv[2:]:\n\
        \ttry:\n\
        \t\tsocket.create_connection((host, int(sys.argv[1])), 3)\n\
        \t\tprint('reached', host)\n\
        \texcept OSError as e:\n\
        \t\tprint('not', host, e)\n";
    let reach = |from: &Instance, port: &str, hosts: &[&str]| {
        let args = [&["--", "python", "-c", reach, port], hosts].concat();
        from.ragpod("exec", &args).ok()
    };
    wait("the listener", 10, || reach(&blue, "7777", &[&address]).out.contains("reached"));
    let names = ["hybridrag-e2e-blue", "hybridrag-postgres-e2e-blue", address.as_str()];
    for port in ["7777", "5432"] {
        let tried = reach(&red, port, &names);
        assert!(!tried.out.contains("reached"), "{tried}");
    }

    let before = blue.started();
    assert!(before.len() >= 3, "{before:?}");
    ragpod(&["rm", "e2e-red", "--data", "--yes"]).ok();
    assert_eq!(blue.started(), before, "the other instance was touched");
    assert!(blue.ask("What is the launch code?").to_string().contains("pineapple"));
}
