//! The test host, and what tests do in it.

use std::fmt;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Tests share the host; one that reboots it has it alone.
static HOST: RwLock<()> = RwLock::new(());

/// The host is shared with other tests while this lives.
pub fn shared() -> RwLockReadGuard<'static, ()> {
    HOST.read().unwrap_or_else(PoisonError::into_inner)
}

/// The host is this test's alone while this lives.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    HOST.write().unwrap_or_else(PoisonError::into_inner)
}

fn script(name: &str) -> Command {
    Command::new(format!("{}/tests/host/{name}", env!("CARGO_MANIFEST_DIR")))
}

/// What a command in the host did.
pub struct Ran {
    pub line: String,
    pub code: i32,
    pub out: String,
    pub err: String,
    pub took: Duration,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}\nexit code {} after {:.2?}", self.line, self.code, self.took)?;
        write!(f, "--- stdout\n{}--- stderr\n{}", self.out, self.err)
    }
}

impl Ran {
    /// Fails the test unless the command ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n{self}");
        self
    }

    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// Fails the test unless standard output has this in it.
    #[track_caller]
    pub fn says(self, what: &str) -> Self {
        assert!(self.out.contains(what), "no {what:?} in\n{self}");
        self
    }

    /// Fails the test unless standard error has this in it.
    #[track_caller]
    pub fn tells(self, what: &str) -> Self {
        assert!(self.err.contains(what), "no {what:?} in\n{self}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e} in\n{self}"))
    }
}

fn finish(line: String, mut command: Command, input: &[u8]) -> Ran {
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tests/host/run starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let bytes = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    drop(writer.join());
    Ran {
        line,
        code: status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
        took: began.elapsed(),
    }
}

/// Runs a command in the host as the unprivileged user.
pub fn run(args: &[&str]) -> Ran {
    run_with(args, b"")
}

/// The same with something on standard input.
pub fn run_with(args: &[&str], input: &[u8]) -> Ran {
    let mut command = script("run");
    command.arg("--").args(args);
    finish(args.join(" "), command, input)
}

/// Runs ragpod in the host.
pub fn ragpod(args: &[&str]) -> Ran {
    run(&[&["ragpod"], args].concat())
}

/// What each shell script has before its first line.
///
/// `soon PID COMMAND…` waits until the command succeeds; the script ends where the process ends before
/// that, and after two minutes: nothing is waited for that cannot come. And what a script has begun and
/// not waited for ends with it, or it would keep the test waiting for its output.
pub const SOON: &str = r#"soon() {
    local pid=$1 end=$((SECONDS + 120)); shift
    until "$@"; do
        if [ $SECONDS -lt $end ] && kill -0 "$pid" 2> /dev/null; then
            sleep 0.02
        # It may have come to it with its last breath.
        elif "$@"; then
            return
        else
            echo "it did not come to this: $*" >&2
            exit 97
        fi
    done
}
leave() {
    local job
    for job in $(jobs -p); do
        kill -KILL -- "-$job" 2> /dev/null || kill -KILL "$job" 2> /dev/null || true
    done
}
trap leave EXIT
"#;

/// Runs a shell script in the host as the unprivileged user; it has `soon` (see [`SOON`]).
pub fn sh(script: &str) -> Ran {
    Ran { line: script.to_owned(), ..run(&["bash", "-euc", &format!("{SOON}{script}")]) }
}

/// Copies units, as the generators made them, into a folder of the host: those of one moment, all of
/// them. A reload empties their directory and fills it again, and any test may ask for one.
pub fn generated(units: &str, folder: &str) {
    sh(&format!(
        "from=$XDG_RUNTIME_DIR/systemd/generator
         copied() {{
             local before
             rm -rf {folder} && mkdir -p {folder} && before=$(stat -c '%i %z' $from) &&
                 # It answers when it does not reload.
                 systemctl --user show -P Version && cp $from/{units} {folder}/ &&
                 [ \"$before\" = \"$(stat -c '%i %z' $from)\" ]
         }} > /dev/null 2>&1
         soon $$ copied"
    ))
    .ok();
}

/// Runs a shell script in the host as root; `None` where the tests run on the machine itself.
pub fn root(text: &str) -> Option<Ran> {
    root_with(text, &[], b"")
}

/// The same with arguments, `$1` and so on, and something on standard input.
pub fn root_with(text: &str, args: &[&str], input: &[u8]) -> Option<Ran> {
    if is_local() {
        return None;
    }
    let mut command = script("run");
    command.args(["--root", "--", "bash", "-euc", text, "root"]).args(args);
    Some(finish(format!("(root) {text}"), command, input))
}

/// Another user of the host, with a service manager of its own: for tests that disturb it.
pub struct User(&'static str);

impl User {
    /// Makes the user, where there is none of that name; `None` where the tests run on the machine
    /// itself.
    pub fn create(name: &'static str) -> Option<Self> {
        if is_local() {
            return None;
        }
        let mut command = script("useradd");
        command.arg(name);
        finish(format!("useradd {name}"), command, b"").ok();
        Some(Self(name))
    }

    /// Runs a shell script as this user.
    pub fn sh(&self, text: &str) -> Ran {
        let mut command = script("run");
        command.args(["--user", self.0, "--", "bash", "-euc", &format!("{SOON}{text}")]);
        finish(format!("({}) {text}", self.0), command, b"")
    }
}

/// Whether the tests run on this machine instead of in a host of their own.
pub fn is_local() -> bool {
    std::env::var("RAGPOD_TEST_HOST").is_ok_and(|v| v == "local")
}

/// Reboots the host.
pub fn reboot() {
    finish("reboot".into(), script("reboot"), b"").ok();
}

/// Waits until something is true; fails the test when it does not become so.
#[track_caller]
pub fn wait(what: &str, seconds: u64, mut until: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < Duration::from_secs(seconds), "after {seconds} s: not {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
    began.elapsed()
}

/// Fails the test unless a script, which says what is left, comes to say nothing: systemd lets go of a
/// unit that nothing wants a moment later.
#[track_caller]
pub fn comes_to_nothing(when: &str, script: &str) {
    let began = Instant::now();
    let mut left = sh(script).ok().out;
    while !left.is_empty() && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(200));
        left = sh(script).ok().out;
    }
    assert_eq!(left, "", "{when}");
}

/// An instance of a test's own; gone with everything when it is dropped.
pub struct Instance {
    pub name: String,
}

impl Instance {
    /// Makes an instance whose source holds these files.
    pub fn create(name: &str, files: &[(&str, &str)]) -> Self {
        Self::create_with(name, files, &[])
    }

    /// The same with further options of `create`.
    pub fn create_with(name: &str, files: &[(&str, &str)], options: &[&str]) -> Self {
        let instance = Self { name: name.to_owned() };
        instance.remove();
        instance.write(files);
        let source = format!("{}:**/*.md", instance.folder());
        ragpod(&[&["create", name, "--source", &source], options].concat()).ok();
        instance
    }

    /// The folder that it takes its text from.
    pub fn folder(&self) -> String {
        static HOME: OnceLock<String> = OnceLock::new();
        // Not in /tmp, which a reboot empties.
        let home = HOME.get_or_init(|| sh("printf %s ~").ok().out);
        format!("{home}/ragpod-e2e/{}", self.name)
    }

    /// Writes files into its folder.
    pub fn write(&self, files: &[(&str, &str)]) {
        for (file, text) in files {
            let path = format!("{}/{file}", self.folder());
            let write = r#"mkdir -p "$(dirname "$1")"; cat > "$1""#;
            run_with(&["bash", "-euc", write, "write", &path], text.as_bytes()).ok();
        }
    }

    /// Runs a verb on it: `instance.ragpod("query", &["what?"])`.
    pub fn ragpod(&self, verb: &str, args: &[&str]) -> Ran {
        ragpod(&[&[verb, &self.name], args].concat())
    }

    /// `up`, which must succeed.
    pub fn up(&self) -> Ran {
        self.ragpod("up", &[]).ok()
    }

    /// Its entry in `status --json`.
    pub fn status(&self) -> Value {
        self.ragpod("status", &["--json"]).ok().json()["instances"][0].clone()
    }

    /// Waits until it is running.
    pub fn wait_running(&self, seconds: u64) -> Duration {
        wait(&format!("{} running", self.name), seconds, || self.status()["state"] == "running")
    }

    /// Asks it; the answer as JSON.
    pub fn ask(&self, question: &str) -> Value {
        self.ragpod("query", &[question, "--json"]).ok().json()
    }

    /// When each of its containers was started, by name.
    pub fn started(&self) -> Vec<String> {
        let filter = format!("label=io.ragpod.instance={}", self.name);
        let ran =
            run(&["podman", "ps", "--filter", &filter, "--format", "{{.Names}} {{.StartedAt}}"]);
        let mut lines: Vec<String> = ran.ok().out.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    fn remove(&self) {
        // It may not be there; what matters is that nothing is left, and `first` tests that.
        drop(ragpod(&["rm", &self.name, "--data", "--yes"]));
        drop(run(&["rm", "-rf", &self.folder()]));
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.ragpod("status", &[]));
            eprintln!("{}", self.ragpod("logs", &["-n", "60"]));
            let chores = r#"
                systemctl --user list-timers --all "ragpod-*@$1.timer"
                systemctl --user show -p Id,ActiveState,SubState,Result "ragpod-*@$1.*"
                journalctl --user -n 60 -o short-precise -u "ragpod-*@$1.*""#;
            eprintln!("{}", run(&["bash", "-c", chores, "chores", &self.name]));
        }
        self.remove();
    }
}
