//! The program with fault points, and what there must be after it was cut off.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::OnceLock;

use crate::host::{Instance, Ran, run, run_with, sh};

/// Lines of a manifest that change the engine's unit.
pub const SETTING: &str = "\\n[env]\\nTOP_K = \"17\"\\n";
/// Lines of a manifest that bring a gateway and its network.
pub const GATEWAY: &str = "\\n[egress]\\nmode = \"allow\"\\nallow = [\"example.com:443\"]\\n";

thread_local! {
    /// What this test's killed commands may have left of the directory that all instances share.
    /// Other tests are killed too, and what they leave is theirs to sweep.
    static STAGES: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes what a command that was cut off may have left in the directory of all instances.
fn note_stages() {
    let there = sh("ls -d ~/.config/ragpod/.stage-* ~/.config/ragpod/.before-* || true").ok();
    STAGES.with_borrow_mut(|stages| stages.extend(there.out.lines().map(str::to_owned)));
}

/// Whether it was killed: a shell tells of a signal in its exit code, a parent is told of it.
pub fn was_killed(ran: &Ran) -> bool {
    let killed = [137, -1].contains(&ran.code);
    if killed {
        note_stages();
    }
    killed
}

/// This crate's program with the feature `e2e`, in the host: it can be told where to end.
pub fn program() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let path = sh("mkdir -p ~/ragpod-e2e; printf %s ~/ragpod-e2e/ragpod-with-faults").ok().out;
        let program = std::fs::read(env!("CARGO_BIN_EXE_ragpod")).expect("the program is built");
        let write = "cat > \"$1.new\"; chmod +x \"$1.new\"; mv \"$1.new\" \"$1\"";
        run_with(&["bash", "-euc", write, "write", &path], &program).ok();
        path
    })
}

/// Runs it with a fault: see `src/fault.rs`.
pub fn with_fault(fault: &str, args: &[&str]) -> Ran {
    let ran = run(&[&["env", &format!("RAGPOD_FAULT={fault}"), program()], args].concat());
    if ran.code != 0 {
        note_stages();
    }
    ran
}

/// The names of the points that a command passes, in their order.
pub fn points(name: &str, args: &[&str]) -> Vec<String> {
    let file = format!("/tmp/{name}-trace");
    with_fault(&format!("trace:{file}"), args).ok();
    let trace = sh(&format!("cat {file}; rm {file}")).ok().out;
    let mut seen = BTreeSet::new();
    trace.lines().filter(|point| seen.insert(point.to_string())).map(str::to_owned).collect()
}

impl Instance {
    /// Its manifest with these lines at the end.
    pub fn rewrite(&self, more: &str) {
        sh(&format!(
            "file=~/.config/ragpod/instances/{}.toml
             sed -i '/^\\[egress\\]/,$d; /^\\[env\\]/,$d' $file
             printf '{more}' >> $file",
            self.name
        ))
        .ok();
    }

    /// Every installed unit with the hash of its text.
    pub fn units(&self) -> String {
        // A reader that has entered the directory stays in it when it is exchanged, and it is
        // emptied then: whoever was in the old one looks again.
        sh(&format!(
            "shopt -s nullglob
             while :; do
                 cd ~/.config/containers/systemd/ragpod
                 set -- hybridrag-{0}.* hybridrag-{0}-*
                 [ $# = 0 ] || sha256sum \"$@\" > /tmp/{0}.units || continue
                 [ . -ef ~/.config/containers/systemd/ragpod ] || continue
                 [ $# = 0 ] || cat /tmp/{0}.units
                 break
             done",
            self.name
        ))
        .ok()
        .out
    }

    /// What there must not be once a command has ended well: anything that the installed units do
    /// not account for.
    #[track_caller]
    pub fn nothing_is_left_over(&self, when: &str) {
        let name = &self.name;
        let stages = STAGES.take().into_iter().collect::<Vec<_>>().join(" ");
        let found = sh(&format!(
            "units=~/.config/containers/systemd/ragpod
             for f in {stages}; do [ ! -e \"$f\" ] || echo \"$f\"; done
             find ~/.config/ragpod/instances -name '.{name}.toml.*'
             find ~/.local/state/ragpod/{name} -name '.*ragpod-*' -o -name intent.json
             podman secret ls --format '{{{{.Name}}}}' | grep '^hybridrag-{name}\\.' | sort > /tmp/{name}.there
             (cat $units/hybridrag-{name}[.-]* || true) | grep -ho 'hybridrag-{name}\\.[^,]*' |
                grep -v '\\.\\(pod\\|network\\|volume\\|container\\)' | sort -u > /tmp/{name}.wanted
             diff /tmp/{name}.wanted /tmp/{name}.there | grep '^[<>]' || true
             rm /tmp/{name}.wanted /tmp/{name}.there
             allowed='hybridrag-{name}(-(app|infra))?|hybridrag-postgres-{name}|hybridrag-{name}-network'
             [ ! -e $units/hybridrag-{name}-egress.container ] ||
                allowed=\"$allowed|hybridrag-{name}-egress(-network)?\"
             (podman ps --all --format '{{{{.Names}}}}'; podman network ls --format '{{{{.Name}}}}') |
                grep -E -- '^hybridrag-(postgres-)?{name}(-(app|egress|network|infra|pod)|$)' |
                grep -vxE \"$allowed\" || true"
        ));
        assert_eq!(found.ok().out, "", "left over {when}");
        let status = self.status();
        assert!(status["unfinished"].is_null(), "{when}: {status}");
        let json = self.ragpod("generations", &["--json"]).ok().json();
        let all = json["generations"].as_array().expect("a list");
        let current = all.iter().filter(|g| g["current"] == true).count();
        let installed = usize::from(status["state"] != "not-installed");
        assert_eq!(current, installed, "{when}: the installed generation is one of {json}");
    }
}
