//! Several commands at once: one after the other where they touch the same, and each says whom it
//! waits for.

use crate::host::{Instance, ragpod, sh, shared};

const TEXT: &str = "The ferry leaves from the eastern pier.\n";

/// Waits, in a script, until the process `$first` holds an instance's lock: it is in there itself, and
/// not one that held it before and was killed.
fn holds(name: &str) -> String {
    format!("soon $first grep -qs \"^$first \" ~/.local/state/ragpod/{name}/lock")
}

#[test]
fn two_ups_of_one_instance() {
    let _host = shared();
    let one = Instance::create("e2e-both", &[("a.md", TEXT)]);
    let ran = sh(&format!(
        "ragpod up e2e-both & first=$!
         {}; ragpod up e2e-both; wait $first",
        holds("e2e-both")
    ));
    ran.ok()
        .tells("waiting for e2e-both: held by pid ")
        .tells("(ragpod up e2e-both)")
        .tells("e2e-both is up; nothing has changed");
    assert_eq!(one.status()["state"], "running");
    assert_eq!(one.started().len(), 3, "app, postgres and the pod's own");
    let json = one.ragpod("generations", &["--json"]).ok().json();
    assert_eq!(json["generations"].as_array().map(Vec::len), Some(1), "{json}");
}

#[test]
fn an_up_and_a_removal() {
    let _host = shared();
    let one = Instance::create("e2e-updown", &[("a.md", TEXT)]);
    for (first, second) in [("up", "rm"), ("rm", "up")] {
        let verb = |verb| match verb {
            "rm" => "ragpod rm e2e-updown --data --yes",
            _ => "ragpod up e2e-updown",
        };
        let ran = sh(&format!(
            "{} & first=$!; {}; code=0; {} || code=$?; wait $first || exit 99; exit $code",
            verb(first),
            holds("e2e-updown"),
            verb(second)
        ));
        match first {
            "up" => drop(ran.ok().tells("waiting for e2e-updown: held by pid ")),
            _ => drop(
                ran.code(4)
                    .tells("waiting for e2e-updown: held by pid ")
                    .tells("there is no instance e2e-updown"),
            ),
        }
        let left = sh(
            "find ~/.config/ragpod ~/.config/containers ~/.local/state/ragpod -path '*e2e-updown*' \
                2> /dev/null || true
            podman ps -a --format '{{.Names}}' | grep -F e2e-updown || true
            podman secret ls --format '{{.Name}}' | grep -F e2e-updown || true
            podman volume ls --format '{{.Name}}' | grep -F e2e-updown || true",
        );
        assert_eq!(left.ok().out, "", "{first}, then {second}");
        let source = one.folder();
        ragpod(&["create", "e2e-updown", "--source", &source]).ok();
        one.up();
    }
}

#[test]
fn ten_creates_of_one_name_and_of_ten() {
    let _host = shared();
    let one = Instance::create("e2e-ten", &[("a.md", TEXT)]);
    ragpod(&["rm", "e2e-ten"]).ok();
    let script = |name: &str| {
        format!(
            "for i in 0 1 2 3 4 5 6 7 8 9; do
                 (code=0; ragpod create {name} --source {} >/dev/null 2>/tmp/e2e-ten.$i || code=$?
                  echo $code) &
             done; wait; rm -f /tmp/e2e-ten.*",
            one.folder()
        )
    };
    let same = sh(&script("e2e-ten")).ok().out;
    let codes = |out: &str, code: &str| out.lines().filter(|l| *l == code).count();
    assert_eq!((codes(&same, "0"), codes(&same, "2")), (1, 9), "{same}");
    let each = sh(&script("e2e-ten-$i")).ok().out;
    assert_eq!(codes(&each, "0"), 10, "{each}");
    let list = ragpod(&["list"]).ok().out;
    for i in 0..10 {
        assert!(list.contains(&format!("e2e-ten-{i} ")), "{list}");
        ragpod(&["rm", &format!("e2e-ten-{i}"), "--data", "--yes"]).ok();
    }
    let left = sh("find ~/.config/ragpod -name '*e2e-ten*.ragpod-*' 2> /dev/null || true").ok().out;
    assert_eq!(left, "");
}

#[test]
fn three_instances_start_at_once() {
    let _host = shared();
    let all = ["e2e-three-a", "e2e-three-b", "e2e-three-c"]
        .map(|name| Instance::create(name, &[("a.md", TEXT)]));
    sh("for i in a b c; do ragpod up e2e-three-$i & jobs=\"${jobs:-} $!\"; done
        for job in $jobs; do wait $job; done")
    .ok();
    for one in &all {
        assert_eq!(one.status()["state"], "running");
        one.ragpod("diff", &[]).ok();
    }
}

/// What reads lists what is there and looks at it a moment later: what goes between the two is none of
/// its business.
#[test]
fn what_reads_is_not_disturbed_by_instances_that_come_and_go() {
    let _host = shared();
    let one = Instance::create("e2e-stays", &[("a.md", TEXT)]);
    one.up();
    let comes = Instance::create("e2e-comes", &[("a.md", TEXT)]);
    let script = format!(
        r#"
        work=$(mktemp -d)
        churn() {{
            until [ -e $work/end ]; do
                ragpod create e2e-comes --source {} && ragpod up e2e-comes --no-wait &&
                    ragpod rm e2e-comes --data --yes || {{ touch $work/broken; break; }}
                echo round >> $work/rounds
            done > $work/churn 2>&1
        }}
        ragpod rm e2e-comes --data --yes
        churn & churning=$!
        reads() {{
            local code=0
            timeout 120 ragpod "$@" > $work/out 2> $work/err < /dev/null || code=$?
            [ $code -eq 0 ] || {{ echo "ragpod $*: $code"; cat $work/err; cat $work/out; }}
        }}
        end=$((SECONDS + 10))
        # Of those verbs that ask instances, only of its own: others' would be woken.
        while [ $SECONDS -lt $end ] || [ ! -e $work/rounds -a ! -e $work/broken ]; do
            reads list; reads list --json; reads status; reads status --json; reads image list
            reads audit e2e-stays --json; reads top --once; reads graph; reads logs --all -n 5
            reads diff e2e-stays; reads query e2e-stays ferry --json; reads secret list e2e-stays
            reads usage; reads generations e2e-stays; reads query --on e2e-stays ferry
        done
        touch $work/end
        wait $churning
        [ ! -e $work/broken ] || {{ echo "the other one:"; cat $work/churn; }}
        rm -r $work"#,
        comes.folder()
    );
    assert_eq!(sh(&script).ok().out, "");
}

/// The same in the very moment: between Podman's list and its description of what is listed.
#[test]
fn an_audit_of_one_while_another_goes() {
    let _host = shared();
    let one = Instance::create("e2e-audited", &[("a.md", TEXT)]);
    let goes = Instance::create("e2e-goes", &[("a.md", TEXT)]);
    one.up();
    goes.up();
    // Podman, with somebody else's command before its own.
    let script = r#"
        podman=$(command -v podman) bin=$(mktemp -d)
        printf one | podman secret create --label io.ragpod.instance=e2e-goes hybridrag-e2e-goes.extra.1 - > /dev/null
        cat > $bin/podman <<END
#!/bin/sh
case "\$1 \$2" in
    "container inspect") [ -e $bin/c ] || { : > $bin/c; ragpod stop e2e-goes; };;
    "secret inspect") [ -e $bin/s ] || { : > $bin/s; $podman secret rm hybridrag-e2e-goes.extra.1; };;
esac > $bin/said 2>&1
exec $podman "\$@"
END
        chmod +x $bin/podman
        code=0
        PATH=$bin:$PATH ragpod audit e2e-audited --json || code=$?
        # Both were gone before they were looked at.
        ls $bin/c $bin/s >&2
        rm -r $bin
        exit $code"#;
    let ran = sh(script).ok();
    let secrets = |c: &&serde_json::Value| c["id"] == "secret-values";
    let json = ran.json();
    let check = json["checks"].as_array().and_then(|all| all.iter().find(secrets)).cloned();
    assert_eq!(check.unwrap_or_default()["status"], "pass", "{ran}");
    assert_eq!(goes.status()["state"], "stopped");
}
