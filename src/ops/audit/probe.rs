//! The attempts from inside: one `podman exec` for each container, all at once.

use serde::Serialize;

use super::facts::{
    Answers, Connection, Database, Outcome, Process, SecretFile, SelfReport, Untried,
};
use crate::model::Part;
use crate::podman::{ExecOptions, Podman};

const SELF: &str = include_str!("self.sh");
const POSTGRES: &str = include_str!("postgres.sh");
const GATEWAY: &str = include_str!("gateway.sh");
const PROBE: &str = include_str!("probe.py");
/// Runs the probe after the container's account of itself.
const APP: &str = "exec python3 -I -S -c \"$1\" \"$2\"\n";

/// What the app is to try; see `probe.py`.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Questions {
    pub token: String,
    pub tcp: Vec<(String, u16)>,
    pub lookups: Vec<String>,
    pub gateway: Option<(String, u16)>,
    pub requests: Vec<String>,
}

/// What one container is to do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub part: Part,
    pub container: String,
    script: String,
    args: Vec<String>,
}

impl Plan {
    /// The app: what it is, and everything that it must not reach.
    pub fn app(container: String, questions: &Questions) -> Self {
        // Strings and numbers can always be written.
        let questions = serde_json::to_string(questions).unwrap_or_default();
        let args = vec![PROBE.to_owned(), questions];
        Self { part: Part::App, container, script: format!("{SELF}{APP}"), args }
    }

    /// The database: what it is, and who gets in with a password that is not the role's.
    pub fn postgres(container: String, wrong: &str) -> Self {
        let args = vec![wrong.to_owned()];
        Self { part: Part::Postgres, container, script: format!("{SELF}{POSTGRES}"), args }
    }

    /// The gateway: what it is, and which of these addresses it reaches.
    pub fn gateway(container: String, targets: &[(String, u16)]) -> Self {
        let args = targets.iter().map(|(host, port)| format!("{host}/{port}")).collect();
        Self { part: Part::Egress, container, script: format!("{SELF}{GATEWAY}"), args }
    }

    /// Runs it; gives what it printed after the container's account of itself.
    fn run(&self, podman: &Podman) -> Result<(SelfReport, String), Untried> {
        let argv = ["sh", "-c", &self.script, "ragpod-audit"].map(str::to_owned);
        let argv = argv.into_iter().chain(self.args.iter().cloned());
        let output = podman
            .exec(&self.container, &ExecOptions::default(), argv)
            .output()
            .map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        if let Some((own, rest)) = text.split_once("self done\n") {
            return Ok((self_report(own), rest.to_owned()));
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("nothing came back");
        Err(format!("cannot run anything in {}: {last}", self.container))
    }
}

/// What came back from one container.
pub(super) type Outcomes = Vec<(Part, Result<(SelfReport, String), Untried>)>;

/// Runs all plans of an instance at once.
pub(super) fn run_all(podman: &Podman, plans: &[Plan]) -> Outcomes {
    std::thread::scope(|scope| {
        let running: Vec<_> =
            plans.iter().map(|plan| (plan.part, scope.spawn(|| plan.run(podman)))).collect();
        running
            .into_iter()
            .map(|(part, thread)| {
                let outcome = thread.join();
                (part, outcome.unwrap_or_else(|_| Err("the attempt broke off".to_owned())))
            })
            .collect()
    })
}

fn self_report(text: &str) -> SelfReport {
    let mut report = SelfReport::default();
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("root", options)) => {
                report.root = options.split(',').map(str::to_owned).collect();
            }
            Some(("secret", fields)) => {
                let mut words = fields.splitn(3, ' ');
                let mode = words.next().and_then(|m| u32::from_str_radix(m, 8).ok());
                let uid = words.next().and_then(|u| u.parse().ok());
                if let (Some(mode), Some(uid), Some(name)) = (mode, uid, words.next()) {
                    report.secrets.push(SecretFile { name: name.to_owned(), mode, uid });
                }
            }
            Some(("status", line)) => status_line(&mut report.processes, line),
            _ => {}
        }
    }
    report
}

/// `/proc/PID/status:KEY:<tab>VALUE`, as grep prints it.
fn status_line(processes: &mut Vec<Process>, line: &str) {
    let Some((pid, rest)) = line.strip_prefix("/proc/").and_then(|l| l.split_once("/status:"))
    else {
        return;
    };
    let (Ok(pid), Some((key, value))) = (pid.parse(), rest.split_once(':')) else { return };
    if processes.last().is_none_or(|p| p.pid != pid) {
        processes.push(Process { pid, ..Process::default() });
    }
    let Some(process) = processes.last_mut() else { return };
    let value = value.trim();
    match key {
        "Name" => value.clone_into(&mut process.name),
        "Uid" => process.uids = value.split_whitespace().filter_map(|u| u.parse().ok()).collect(),
        "NoNewPrivs" => process.no_new_privileges = value == "1",
        "Seccomp" => process.seccomp = value.parse().unwrap_or(0),
        _ if key.starts_with("Cap") => {
            // What cannot be read counts as everything.
            process.caps |= u64::from_str_radix(value, 16).unwrap_or(u64::MAX);
        }
        _ => {}
    }
}

/// The app's answers.
pub(super) fn answers(text: &str) -> Result<Answers, Untried> {
    serde_json::from_str(text.trim())
        .map_err(|e| format!("the app's container has no Python to try it with ({e})"))
}

/// The database's answers.
pub(super) fn database(text: &str) -> Database {
    let mut database = Database::default();
    for line in text.lines() {
        let (key, said) = line.split_once(' ').unwrap_or((line, ""));
        let said = said.trim().to_owned();
        match key {
            "role" => database.role = said,
            "wrong-password" => database.wrong_password = said,
            "superuser" => database.superuser = said,
            "no-password" => database.no_password = said,
            _ => {}
        }
    }
    database
}

/// The gateway's attempts.
pub(super) fn connections(text: &str) -> Vec<Connection> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix("connect ")?.splitn(3, ' ');
            let (host, port) = words.next()?.rsplit_once('/')?;
            let code: u8 = words.next()?.parse().ok()?;
            let said = words.next().unwrap_or_default().trim().to_owned();
            let outcome = match (code, said.as_str()) {
                (0, _) => Outcome::Connected,
                (124 | 137, _) => Outcome::Timeout,
                (_, "Connection refused") => Outcome::Refused,
                (_, s) if s.contains("not known") || s.contains("resolution") => {
                    Outcome::Unresolved
                }
                _ => Outcome::Unreachable,
            };
            let said = if outcome == Outcome::Timeout { "no answer".to_owned() } else { said };
            let port = port.parse().ok()?;
            Some(Connection { host: host.to_owned(), port, outcome, said, token: false })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_says_of_itself() {
        let report = self_report(
            "secret 400 999 postgres-password\nsecret 444 0 a b\nroot ro,relatime\n\
             status /proc/1/status:Name:\tpodman-init\n\
             status /proc/1/status:Uid:\t999\t999\t0\t999\n\
             status /proc/1/status:CapEff:\t0000000000000000\n\
             status /proc/1/status:CapBnd:\t0000000000000400\n\
             status /proc/1/status:NoNewPrivs:\t1\n\
             status /proc/1/status:Seccomp:\t2\n\
             status /proc/7/status:Name:\tx: y\n",
        );
        assert_eq!(report.root, ["ro", "relatime"]);
        assert_eq!((report.secrets[0].mode, report.secrets[1].name.as_str()), (0o400, "a b"));
        let p = &report.processes[0];
        assert_eq!((p.pid, p.name.as_str(), p.caps, p.seccomp), (1, "podman-init", 0x400, 2));
        assert!(p.no_new_privileges && p.uids == [999, 999, 0, 999]);
        assert_eq!(report.processes[1].name, "x: y");
    }

    #[test]
    fn what_the_gateway_reached() {
        let all = connections(
            "connect 10.0.0.1/5432 1 Connection refused\nconnect 10.0.0.2/3128 0 \n\
             connect 10.0.0.3/1 124 \nconnect 10.0.0.4/1 1 Network is unreachable\n\
             connect x/1 1 Name or service not known\nnoise\n",
        );
        let outcomes: Vec<Outcome> = all.iter().map(|c| c.outcome).collect();
        assert_eq!(
            outcomes,
            [
                Outcome::Refused,
                Outcome::Connected,
                Outcome::Timeout,
                Outcome::Unreachable,
                Outcome::Unresolved
            ]
        );
        assert_eq!((all[2].said.as_str(), all[0].port), ("no answer", 5432));
    }

    #[test]
    fn what_the_others_answered() {
        let d = database(
            "role super=false createdb=false\nwrong-password psql: FATAL:  x\nsuperuser\n",
        );
        assert_eq!(d.role, "super=false createdb=false");
        assert_eq!((d.superuser.as_str(), d.wrong_password.as_str()), ("", "psql: FATAL:  x"));
        assert!(answers("").unwrap_err().contains("no Python"));
        let found = answers(
            r#"{"tcp":[{"host":"1.1.1.1","port":443,"outcome":"unreachable","said":"x"}],
                "lookups":[{"name":"a","server":"b","rcode":3,"answers":0}],
                "requests":[{"line":"CONNECT a:1","error":"closed"}],"routes":[]}"#,
        )
        .unwrap();
        assert_eq!(found.tcp[0].outcome, Outcome::Unreachable);
        assert_eq!(found.tcp[0].told("app"), "app to 1.1.1.1:443: x");
    }
}
