//! From a failed service's last lines to what is probably wrong. Pure, and a table.

use crate::model::Part;

/// What is probably wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What is wrong, one line.
    pub cause: String,
    /// What to type or to look at.
    pub hint: String,
}

/// One row: what a line must contain (all of one alternative, case ignored), and what it means.
struct Row {
    /// Only for these parts; empty stands for all.
    parts: &'static [Part],
    /// Alternatives; each a list of texts that one line must contain together.
    says: &'static [&'static [&'static str]],
    cause: &'static str,
    hint: &'static str,
}

/// The first row that fits is taken: the special before the general.
const ROWS: &[Row] = &[
    Row {
        parts: &[Part::Postgres],
        says: &[
            &["database files are incompatible with server"],
            &["was initialized by postgresql version"],
        ],
        cause: "the data was written by another major version of PostgreSQL",
        hint: "go back to the image that wrote it, dump it (ragpod exec NAME --service postgres -- pg_dumpall), and restore it in a new instance",
    },
    Row {
        parts: &[],
        says: &[
            &["image not known"],
            &["no such image"],
            &["unable to find", "image"],
            &["pull policy", "never"],
            &["initializing source docker://localhost"],
            &["pinging container registry localhost"],
        ],
        cause: "an image is not on this host",
        hint: "build the images: ragpod image build",
    },
    Row {
        parts: &[],
        says: &[&["no secret with name or id"], &["no such secret"]],
        cause: "a secret is missing",
        hint: "see which there are: ragpod secret list NAME; set it again: ragpod secret set NAME KEY",
    },
    Row {
        parts: &[],
        says: &[&["keyring", "disk quota exceeded"]],
        cause: "you may have no more keys in the kernel, of which each container takes one",
        hint: "let it have more: echo kernel.keys.maxkeys=2000 | sudo tee /etc/sysctl.d/99-keys.conf; sudo sysctl --system",
    },
    Row {
        parts: &[],
        says: &[&["no space left on device"], &["disk quota exceeded"]],
        cause: "the disk is full",
        hint: "see what takes the space: df -h; podman system df",
    },
    Row {
        parts: &[],
        says: &[&["statfs", "no such file or directory"]],
        cause: "a folder that is mounted into the container does not exist on the host",
        hint: "create it, or correct [[source]] in the manifest, then: ragpod up NAME",
    },
    Row {
        parts: &[],
        says: &[&["finding pause binary"], &["could not find", "init binary"]],
        cause: "catatonit is not installed, without which Podman makes no pods",
        hint: "install it: sudo apt install catatonit, sudo dnf install catatonit",
    },
    Row {
        parts: &[],
        says: &[&["failed to exec pid1"]],
        cause: "the program that the container should run is not in its image",
        hint: "build the images again: ragpod image build",
    },
    Row {
        parts: &[],
        says: &[
            &["no subuid ranges found"],
            &["no subgid ranges found"],
            &["insufficient uids or gids"],
            &["potentially insufficient uids"],
            &["cannot setup namespace using newuidmap"],
            &["newuidmap", "not found"],
        ],
        cause: "this user has no subordinate user ids, which rootless containers need",
        hint: "give it some: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER; podman system migrate",
    },
    Row {
        parts: &[],
        says: &[&["address already in use"], &["port", "already allocated"]],
        cause: "a port is taken by another program",
        hint: "see by which: ss -ltnp",
    },
    Row {
        parts: &[],
        says: &[&["pasta failed"], &["could not find pasta"], &["pasta", "no such file"]],
        cause: "pasta, which gives rootless containers their network, failed or is not installed",
        hint: "install it: sudo apt install passt; then: ragpod doctor",
    },
    Row {
        parts: &[],
        says: &[
            &["aardvark-dns", "failed"],
            &["aardvark-dns", "not found"],
            &["aardvark", "error"],
        ],
        cause: "aardvark-dns, which resolves names between containers, failed",
        hint: "see whether it is installed and port 53 is free: ragpod doctor",
    },
    Row {
        parts: &[],
        says: &[&["netavark"], &["nftables", "error"]],
        cause: "netavark, which makes the networks, failed",
        hint: "see whether it and nftables are installed: ragpod doctor",
    },
    Row {
        parts: &[],
        says: &[&["network not found"], &["unable to find network"]],
        cause: "the instance's network is gone, perhaps through `podman network prune`",
        hint: "make it again: ragpod up NAME",
    },
    Row {
        parts: &[Part::Postgres],
        says: &[
            &["could not open file", "permission denied"],
            &["data directory", "wrong ownership"],
            &["permission denied"],
            &["operation not permitted"],
        ],
        cause: "PostgreSQL may not read or write its data directory",
        hint: "see whose it is: podman unshare ls -ln DIRECTORY; a volume made by another image needs that image's user",
    },
    Row {
        parts: &[],
        says: &[&["permission denied"]],
        cause: "something may not be read or written",
        hint: "look at the line that says so; a mounted folder must be readable for you: ls -ld FOLDER",
    },
    Row {
        parts: &[],
        says: &[&["out of memory"], &["oom-kill"], &["oom killer"]],
        cause: OOM,
        hint: OOM_HINT,
    },
    Row {
        parts: &[],
        says: &[&["password authentication failed"]],
        cause: "the database does not accept the password in the secret",
        hint: "have the database take it: ragpod exec NAME --service postgres -- ragpod-initdb",
    },
];

const OOM: &str = "it was out of memory and was killed";
const OOM_HINT: &str = "raise `memory` in its section of the manifest, then: ragpod up NAME";

/// What probably made a service fail. `result` and `status` are systemd's (`Result`,
/// `ExecMainStatus`); `lines` are its last ones in the journal.
///
/// `None` when nothing is known: better no cause than a wrong one.
#[must_use]
pub fn likely_cause(part: Part, result: &str, status: i32, lines: &[String]) -> Option<Cause> {
    if result == "oom-kill" {
        return Some(cause(OOM, OOM_HINT));
    }
    let lines: Vec<String> = lines.iter().map(|l| l.to_lowercase()).collect();
    let fits = |row: &&Row| {
        (row.parts.is_empty() || row.parts.contains(&part))
            && row.says.iter().any(|all| lines.iter().any(|l| all.iter().all(|s| l.contains(s))))
    };
    if let Some(row) = ROWS.iter().find(fits) {
        return Some(cause(row.cause, row.hint));
    }
    match (result, status) {
        ("start-limit-hit", _) => Some(cause(
            "it failed so often in a short time that systemd does not try again",
            "look for the first failure above, cure it, then: ragpod up NAME",
        )),
        ("timeout", _) => Some(cause(
            "it did not become healthy in time",
            "see what it was doing: ragpod logs NAME -n 100; then try again: ragpod up NAME",
        )),
        // 137 is how a container ends that the kernel kills (128 + SIGKILL).
        (_, 137) => Some(cause(
            "it was killed, most often because it needed more memory than it may have",
            OOM_HINT,
        )),
        (_, 125) => Some(cause(
            "Podman could not make the container",
            "its last lines above say why; what the host lacks: ragpod doctor",
        )),
        (_, 126 | 127) => Some(cause(
            "the program that the container should run is not in its image",
            "build the images again: ragpod image build",
        )),
        _ => None,
    }
}

fn cause(cause: &str, hint: &str) -> Cause {
    Cause { cause: cause.to_owned(), hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(part: Part, result: &str, status: i32, line: &str) -> Option<String> {
        let lines = ["first".to_owned(), line.to_owned()];
        likely_cause(part, result, status, &lines).map(|c| c.cause)
    }

    #[test]
    fn what_programs_really_say() {
        for (part, line, word) in [
            (Part::App, "Error: localhost/ragpod/engine:latest: image not known", "image"),
            (
                Part::App,
                "Error: initializing source docker://localhost/x:1: pinging container registry localhost: Get \"https://localhost/v2/\": dial tcp [::1]:443: connect: connection refused",
                "image",
            ),
            (
                Part::App,
                "Error: no secret with name or id \"hybridrag-a.api-key.1\": no such secret",
                "secret",
            ),
            (Part::App, "Error: statfs /home/ann/missing: no such file or directory", "folder"),
            (
                Part::Pod,
                "Error: OCI runtime error: crun: create keyring `82e109730fcb`: Disk quota exceeded",
                "keys in the kernel",
            ),
            (Part::App, "write /x: disk quota exceeded", "disk is full"),
            (
                Part::Pod,
                "Error: building local pause image: finding pause binary: exec: \"catatonit\": executable file not found in $PATH",
                "catatonit",
            ),
            (
                Part::Network,
                "Error: netavark: nftables error: nft did not return successfully",
                "netavark",
            ),
            (
                Part::Pod,
                "Error: netavark: error while applying dns entries: IO error: aardvark-dns failed to start: Error starting server",
                "aardvark",
            ),
            (Part::Pod, "Error: pasta failed with exit code 1:", "pasta"),
            (
                Part::Pod,
                "Error: could not find pasta, the network namespace can't be configured",
                "pasta",
            ),
            (
                Part::App,
                "Error: cannot set up namespace using \"/usr/bin/newuidmap\": exec: \"newuidmap\": executable file not found in $PATH",
                "subordinate",
            ),
            (
                Part::App,
                "potentially insufficient UIDs or GIDs available in user namespace",
                "subordinate",
            ),
            (
                Part::Postgres,
                "FATAL:  database files are incompatible with server",
                "major version",
            ),
            (
                Part::Postgres,
                "DETAIL:  The data directory was initialized by PostgreSQL version 16, which is not compatible with this version 17.9.",
                "major version",
            ),
            (
                Part::Postgres,
                "initdb: error: could not change permissions of directory \"/var/lib/postgresql/data\": Operation not permitted",
                "data directory",
            ),
            (
                Part::Postgres,
                "FATAL:  could not write lock file \"postmaster.pid\": No space left on device",
                "disk",
            ),
            (
                Part::App,
                "Error: unable to find network with name or ID hybridrag-a-network: network not found",
                "network is gone",
            ),
            (
                Part::App,
                "PermissionError: [Errno 13] Permission denied: '/data/projects'",
                "read or written",
            ),
            (
                Part::App,
                "FATAL:  password authentication failed for user \"hybridrag\"",
                "password",
            ),
        ] {
            let cause = of(part, "exit-code", 1, line);
            assert!(cause.as_ref().is_some_and(|c| c.contains(word)), "{line}: {cause:?}");
        }
    }

    #[test]
    fn systemds_results() {
        for (result, status, word) in [
            ("oom-kill", 0, "memory"),
            ("start-limit-hit", 1, "so often"),
            ("timeout", 0, "healthy"),
            ("exit-code", 137, "memory"),
            ("exit-code", 125, "Podman"),
            ("exit-code", 127, "program"),
        ] {
            let cause = of(Part::App, result, status, "nothing of note");
            assert!(cause.as_ref().is_some_and(|c| c.contains(word)), "{result}: {cause:?}");
        }
        assert_eq!(of(Part::App, "exit-code", 1, "nothing of note"), None);
        assert_eq!(of(Part::App, "success", 0, ""), None);
    }
}
