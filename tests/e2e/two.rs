//! Two instances side by side know nothing of each other.

use crate::host::{Instance, ragpod, shared};

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

    // Neither reaches the other's database, by name or by address.
    let reach = "import socket, sys\n\
        for host in sys.argv[1:]:\n\
        \ttry:\n\
        \t\ts = socket.create_connection((host, 5432), 3)\n\
        \t\tprint('reached', host)\n\
        \texcept OSError as e:\n\
        \t\tprint('not', host, e)\n";
    let network = crate::host::run(&[
        "podman",
        "container",
        "inspect",
        "hybridrag-e2e-blue-infra",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
    ]);
    let address = network.out.trim().to_owned();
    let tried = red
        .ragpod(
            "exec",
            &[
                "--",
                "python",
                "-c",
                reach,
                "hybridrag-postgres-e2e-blue",
                "hybridrag-e2e-blue",
                &address,
            ],
        )
        .ok();
    assert!(!address.is_empty(), "{network}");
    assert!(!tried.out.contains("reached"), "{tried}");

    let before = blue.started();
    assert!(before.len() >= 3, "{before:?}");
    ragpod(&["rm", "e2e-red", "--data", "--yes"]).ok();
    assert_eq!(blue.started(), before, "the other instance was touched");
    assert!(blue.ask("What is the launch code?").to_string().contains("pineapple"));
}
