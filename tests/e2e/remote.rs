//! `--host`: every verb on another machine, over a real ssh. The other machine is another user of
//! the host: nothing of ours is shared but the kernel.

use serde_json::json;

use crate::host::{Ran, User, root, run, sh, shared};
use crate::terminal::at_terminal;

const THERE: &str = "e2ethere@localhost";

/// The other user, whom this one may log in as. It has an instance `away`, which runs.
fn there() -> Option<User> {
    let user = User::create("e2ethere")?;
    let key = sh("mkdir -p -m 700 ~/.ssh; cd ~/.ssh
        [ -e id_ed25519 ] || ssh-keygen -q -t ed25519 -N '' -f id_ed25519
        ssh-keyscan -t ed25519 localhost > known_hosts
        cat id_ed25519.pub")
    .ok()
    .out;
    root(&format!(
        "systemctl start ssh; cd ~e2ethere; install -d -m 700 -o e2ethere -g e2ethere .ssh
         printf '%s' '{key}' > .ssh/authorized_keys"
    ))?
    .ok();
    user.sh("ragpod rm away other --data --yes 2>/dev/null || true
        rm -rf ~/text /var/tmp/ragpod-files.*; mkdir -p ~/text
        echo 'The ferry leaves from the eastern pier.' > ~/text/a.md")
        .ok();
    Some(user)
}

fn remote(args: &[&str]) -> Ran {
    run(&[&["ragpod", "--host", THERE], args].concat())
}

/// The same as it is there: output, errors and exit code.
#[track_caller]
fn same(user: &User, args: &str) -> Ran {
    // Read by a shell, as it is there: words in quotes are one.
    let here = sh(&format!("exec ragpod --host {THERE} {args}"));
    let there = user.sh(&format!("exec ragpod {args}"));
    assert_eq!((&here.out, here.code), (&there.out, there.code), "{here}\n{there}");
    assert_eq!(here.err, there.err, "{args}");
    here
}

#[test]
fn every_verb_runs_there() {
    let _host = shared();
    let Some(user) = there() else { return };
    let source = user.sh("printf %s ~/text").ok().out;
    // A file of this machine: its secret arrives there, and nothing else does.
    sh("mkdir -p ~/ragpod-e2e/remote; cd ~/ragpod-e2e/remote
        printf 'TOP_K=17\\nOPENAI_API_KEY=sk-quite-secret\\n' > 'my own.env'")
    .ok();
    sh(&format!(
        "cd ~/ragpod-e2e/remote
         ragpod --host {THERE} create other --source {source} --env-file 'my own.env'
         ragpod --host {THERE} create away --source {source}"
    ))
    .ok()
    .tells("wrote /home/e2ethere/");
    assert!(user.sh("podman secret ls").ok().out.contains("hybridrag-other.api-key."));
    assert!(remote(&["render", "other"]).ok().out.contains("TOP_K=17"));
    remote(&["rm", "other", "--data", "--yes"]).ok();
    remote(&["up", "away"]).ok();
    remote(&["ingest", "away"]).ok();
    let answer = remote(&["query", "away", "Where does the ferry start?", "--json"]).ok().json();
    assert!(answer["answer"].as_str().unwrap().contains("eastern pier"), "{answer}");
    for args in [
        "list",
        "status away --json",
        "render away",
        "generations away",
        "diff away",
        "exec away -- sh -c 'printf \"%s|\" \"$@\"; exit 7' sh 'a b' \"it's\" '\\\\' '$HOME' ''",
        "status nobody",
        "status nobody --json",
        "up Not-A-Name",
        "no-such-verb",
    ] {
        same(&user, args);
    }
    assert_eq!(remote(&["exec", "away", "--", "sh", "-c", "exit 7"]).code, 7);

    // Standard input goes to what reads it, and to nothing else.
    let lines = sh(&format!(
        "printf 'one\\ntwo\\n' | while read -r line; do
             ragpod --host {THERE} exec away -- echo \"$line\"; done
         echo three | ragpod --host {THERE} exec away -i -- cat
         echo hunter2 | ragpod --host {THERE} secret set away api-key"
    ));
    assert_eq!(lines.ok().out, "one\ntwo\nthree\n");

    // What a verb writes arrives here.
    sh(&format!(
        "cd ~/ragpod-e2e/remote; rm -rf units
         ragpod --host {THERE} render away --output units 2>&1 | grep -q '^wrote units/hybridrag'
         test -s units/hybridrag-away.pod"
    ))
    .ok();
    let here = sh("cat ~/ragpod-e2e/remote/units/*").ok().out;
    assert_eq!(here, user.sh("ragpod render away --output u; cat u/*; rm -r u").ok().out);

    // By the environment, and not by it.
    let list = sh(&format!("RAGPOD_HOST={THERE} ragpod list --json")).ok().json();
    assert_eq!(list["instances"][0]["name"], "away");
    let here = sh(&format!("RAGPOD_HOST={THERE} ragpod --host '' list --json")).ok().out;
    assert!(!here.contains("\"away\""), "{here}");

    // A file is known by the name that was typed, and its text is told to nobody.
    sh("cd ~/ragpod-e2e/remote; printf 'a line of nothing\\n' > 'my own.env'").ok();
    let create = ["create", "bad", "--source", "/tmp", "--env-file"];
    let here = sh(&format!("ragpod {} nothing.env", create.join(" "))).code(1);
    assert!(here.err.contains("cannot read nothing.env"), "{here}");
    let local = sh(&format!("cd ~/ragpod-e2e/remote; ragpod {} 'my own.env'", create.join(" ")));
    let there = sh(&format!(
        "cd ~/ragpod-e2e/remote; ragpod --host {THERE} {} 'my own.env'",
        create.join(" ")
    ));
    assert_eq!((local.code, &local.err), (there.code, &there.err));
    assert_ne!(local.code, 0, "{local}");

    // A client of the Model Context Protocol reaches it through this program.
    let config = remote(&["mcp-config", "away", "--json"]).ok().json();
    let args = &config["mcpServers"]["ragpod-away-on-e2ethere-localhost"]["args"];
    assert_eq!(args, &json!(["--host", THERE, "mcp", "away"]), "{config}");
    remote(&["mcp-config", "nobody"]).code(4).tells("nobody");

    on_a_terminal(&user);
    let left = user.sh("find /var/tmp -maxdepth 1 -name 'ragpod-files.*'").ok();
    assert_eq!(left.out, "", "files of commands are left there");
    remote(&["rm", "away", "--data", "--yes"]).ok();
    sh("rm -rf ~/ragpod-e2e/remote").ok();
}

/// Nobody is asked without a terminal; with one, the question comes from there.
fn on_a_terminal(user: &User) {
    user.sh("ragpod create other --source ~/text").ok();
    remote(&["rm", "other", "--data"]).code(2).tells("--yes");
    let ran = at_terminal(
        &json!([["expect", "Go on? [y/N]"], ["type", "n\r"]]),
        &["--host", THERE, "rm", "other", "--data"],
    );
    assert_eq!(ran["code"], 1, "{ran}");
    let ran = at_terminal(
        &json!([["expect", "Go on? [y/N]"], ["type", "y\r"]]),
        &["--host", THERE, "rm", "other", "--data"],
    );
    assert_eq!(ran["code"], 0, "{ran}");
}

#[test]
fn machines_that_are_none() {
    let _host = shared();
    run(&["ragpod", "--host", "-oProxyCommand=touch /tmp/x", "list"]).code(2);
    run(&["ragpod", "--host", "a b", "list"]).code(2).tells("no blanks");
    sh("RAGPOD_HOST='a b' ragpod list").code(2).tells("RAGPOD_HOST");
    // This program's own affairs are no other machine's.
    sh("RAGPOD_HOST=nowhere.invalid ragpod completions bash | head -n 1").ok();
    if sh("command -v ssh").code != 0 {
        return;
    }
    let nowhere = ["ragpod", "--host", "nobody@127.0.0.1", "create", "away", "--env-file"];
    run(&[&nowhere[..], &["nothing/.env"]].concat()).code(1).tells("cannot read nothing/.env");
    let ran = run(&[&nowhere[..], &["/dev/null"]].concat()).code(3);
    ran.tells("cannot send files to nobody@127.0.0.1").tells("ssh nobody@127.0.0.1 true");
    let ran = run(&["ragpod", "--host", "nobody@127.0.0.1", "list"]);
    assert_eq!(ran.code, 255, "ssh's own: {ran}");
}
