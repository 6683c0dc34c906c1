//! Backups that begin while something else is under way, and such as are interrupted.

use super::{DOCUMENTS, Gone, backup, backups, instance, nothing_beside};
use crate::faults::program;
use crate::host::{Instance, ragpod, sh, shared};

#[test]
fn what_others_start_is_not_stopped_and_what_is_interrupted_leaves_nothing() {
    let _host = shared();
    let name = "e2e-keepbegun";
    let (_gone, one) = instance(name);

    // Its jobs are queued, and nothing of it is active yet.
    one.ragpod("stop", &[]).ok();
    let ran = sh(&format!("ragpod start {name} --no-wait && ragpod backup {name}")).ok();
    assert!(!ran.err.contains("is stopped"), "{ran}");
    // It waited for the database alone.
    one.wait_running(60);

    // Somebody brings it up, and has not even queued the jobs.
    one.ragpod("stop", &[]).ok();
    let ran = sh(&format!(
        "at=/tmp/{name}-at; rm -f $at
         RAGPOD_FAULT=pause:loaded:$at {} up {name} > /dev/null 2>&1 & up=$!
         soon $up test -e $at
         rm -f /tmp/{name}-said; ragpod backup {name} > /tmp/{name}-said 2>&1 & backup=$!
         soon $backup grep -qs 'on its way' /tmp/{name}-said
         rm $at; wait $up; wait $backup; cat /tmp/{name}-said >&2; rm /tmp/{name}-said",
        program()
    ))
    .ok();
    assert!(!ran.err.contains("is stopped"), "{ran}");
    // It waited for the database alone.
    one.wait_running(60);

    // On its way down, which still counts as active.
    let stop = "systemctl --user stop --no-block";
    sh(&format!("{stop} hybridrag-{name}-app.service hybridrag-{name}-postgres.service")).ok();
    one.ragpod("backup", &[]).ok();

    // Stopped, and started by its owner while the backup that had started it is made.
    one.ragpod("stop", &[]).ok();
    sh(&format!(
        "at=/tmp/{name}-at; rm -f $at
         RAGPOD_FAULT=pause:snapshot:$at {} backup {name} > /dev/null 2>&1 & backup=$!
         soon $backup test -e $at
         ragpod start {name}; rm $at; wait $backup",
        program()
    ))
    .ok();
    assert_eq!(one.status()["state"], "running");

    // One restore at a time, and none beside a backup.
    let file = backups(name).pop().unwrap();
    let ran = sh(&format!(
        "at=/tmp/{name}-at; rm -f $at
         RAGPOD_FAULT=pause:snapshot:$at {} backup {name} > /dev/null 2>&1 & backup=$!
         soon $backup test -e $at
         rm -f /tmp/{name}-said; ragpod restore {name} {file} --yes > /tmp/{name}-said 2>&1 & restore=$!
         soon $restore grep -qs 'waiting for the backups' /tmp/{name}-said
         rm $at; wait $backup; wait $restore; rm /tmp/{name}-said",
        program()
    ));
    ran.ok();

    for signal in ["INT", "TERM"] {
        for point in ["snapshot", "staged", "written"] {
            let ran = sh(&format!(
                "set -m; dir=/tmp/{name}-cut; at=/tmp/{name}-at
                 rm -rf $dir $at; mkdir $dir; echo before > $dir/f
                 RAGPOD_FAULT=pause:{point}:$at {} backup {name} -o $dir/f > /dev/null & pid=$!
                 soon $pid test -e $at
                 kill -{signal} $pid
                 # Heard by the process; what it does then is told to a thread that is held up.
                 soon $pid grep -q '^ShdPnd:.*0000000000000000' /proc/$pid/status
                 sleep 1; rm $at; code=0; wait $pid || code=$?
                 echo $code; ls -A $dir; cat $dir/f; rm -r $dir",
                program()
            ))
            .ok();
            assert_eq!(ran.out, "130\nf\nbefore\n", "{signal} at {point}: {ran}");
        }
    }
    ragpod(&["backup", "--verify", name]).ok();
}

#[test]
fn what_is_used_meanwhile_stays_and_what_waits_is_interrupted() {
    let _host = shared();
    let name = "e2e-keepused";
    let _gone = Gone::new(name);
    let one = Instance::create_with(name, &DOCUMENTS, &["--set", "schedule.idle_stop=1h"]);
    one.up();
    let file = backup(name);

    // Stopped by its owner, and this done while it is backed up.
    let meanwhile = |this: &str| {
        one.ragpod("stop", &[]).ok();
        sh(&format!(
            "at=/tmp/{name}-at; rm -f $at; gate=~/.local/state/ragpod/{name}/gate
             RAGPOD_FAULT=pause:snapshot:$at {} backup {name} > /dev/null 2>&1 & backup=$!
             soon $backup test -e $at
             {this}
             rm $at; wait $backup",
            program()
        ))
        .ok();
        one.status()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(meanwhile(&format!("ragpod scheduled idle {name}")), "stopped", "a look is no use");
    assert_eq!(meanwhile(&format!("ragpod start {name}")), "running");
    let hold = "set -m; flock -s $gate sleep 1h & hold=$!; soon $hold eval '! flock -n $gate true'";
    assert_eq!(meanwhile(hold), "running", "who is on the way through the gate");

    // A restore that waits for what is being done.
    for signal in ["INT", "TERM"] {
        let ran = sh(&format!(
            "set -m; said=/tmp/{name}-said; gate=~/.local/state/ragpod/{name}/gate
             flock -s $gate sleep 1h & hold=$!
             soon $hold eval '! flock -n $gate true'
             rm -f $said; ragpod restore {name} {file} --yes > $said 2>&1 & restore=$!
             soon $restore grep -qs 'waiting for what it is doing' $said
             kill -{signal} $restore; code=0; wait $restore || code=$?
             kill -- -$hold; cat $said >&2; rm $said; echo $code"
        ))
        .ok();
        assert_eq!(ran.out, "130\n", "{signal}: {ran}");
        ran.tells("interrupted; no data were replaced");
        nothing_beside(name);
    }

    // The file of a backup that is being written stays.
    let before = backups(name).len();
    sh(&format!(
        "at=/tmp/{name}-at; said=/tmp/{name}-said; rm -f $at $said
         RAGPOD_FAULT=pause:written:$at {} backup {name} > /dev/null 2>&1 & backup=$!
         soon $backup test -e $at
         ragpod rm {name} --data --yes > $said 2>&1 & rm=$!
         soon $rm grep -qs 'waiting for the backups' $said
         rm $at; wait $backup; wait $rm; rm $said",
        program()
    ))
    .ok();
    let dir = format!("~/.local/share/ragpod/backups/{name}");
    let there = sh(&format!("ls -A {dir} | wc -l")).ok().out;
    assert_eq!(there.trim(), (before + 1).to_string());
}
