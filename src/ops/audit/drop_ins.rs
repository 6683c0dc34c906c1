//! What each key of a drop-in does to an instance's isolation.

use camino::Utf8Path;

use super::facts::Facts;
use crate::model::Part;

/// What a setting does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It takes away what the unit claims.
    Weakens,
    /// It changes something else.
    Changes,
}

/// A setting of a drop-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub effect: Effect,
    /// For people. Values that could be secret are not in it.
    pub shown: String,
}

/// The settings of a drop-in for a part.
pub(super) fn settings(text: &str, part: Part, facts: &Facts) -> Vec<Setting> {
    assignments(text)
        .into_iter()
        .map(|(section, key, value)| {
            let weakens = match section.as_str() {
                "Container" => container(&key, &value, part),
                "Pod" => pod(&key, &value, facts),
                "Network" => network(&key, &value, part),
                // A container's command line is its isolation.
                "Service" => match key.as_str() {
                    "ExecStart" => !value.is_empty(),
                    // The pod's keeps its network's bridge from forwarding.
                    "ExecStartPost" => part == Part::Pod && value.is_empty(),
                    _ => false,
                },
                _ => false,
            };
            let shown = match key.as_str() {
                // It may hold anything; the names of the options that matter are told.
                "PodmanArgs" if weakens => format!("{key}={}", dangerous(&value).join(" ")),
                "Environment" => {
                    let name = value.trim_matches('"').split('=').next().unwrap_or_default();
                    format!("{key}={name}")
                }
                _ if weakens && !key.starts_with("Exec") => format!("{key}={value}"),
                _ => key,
            };
            let effect = if weakens { Effect::Weakens } else { Effect::Changes };
            Setting { effect, shown }
        })
        .collect()
}

/// Section, key and value of each line, as systemd reads them: comments are left out and lines
/// that end with a backslash go on.
fn assignments(text: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let (mut section, mut pending) = (String::new(), String::new());
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) || (line.is_empty() && pending.is_empty()) {
            continue;
        }
        if let Some(begun) = line.strip_suffix('\\') {
            pending.push_str(begun);
            pending.push(' ');
            continue;
        }
        let whole = std::mem::take(&mut pending) + line;
        if let Some(name) = whole.strip_prefix('[').and_then(|s| s.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = whole.split_once('=') {
            found.push((section.clone(), key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    found
}

/// systemd's words for false, and no word at all.
fn is_off(value: &str) -> bool {
    ["0", "no", "n", "false", "f", "off"].contains(&value.to_ascii_lowercase().as_str())
}

fn is_root(user: &str) -> bool {
    let user = user.trim_matches('"').split(':').next().unwrap_or_default();
    user == "root" || user.bytes().all(|b| b == b'0')
}

fn container(key: &str, value: &str, part: Part) -> bool {
    match key {
        "ReadOnly" | "NoNewPrivileges" => is_off(value) || value.is_empty(),
        // An empty value takes back what the unit says.
        "DropCapability" => value.is_empty(),
        "User" => is_root(value),
        "AddCapability" | "AddDevice" | "PublishPort" | "Unmask" | "Network" | "Pod" => true,
        "SecurityLabelDisable" | "SecurityLabelNested" => !is_off(value),
        "SeccompProfile" | "AppArmor" => value.contains("unconfined"),
        "UserNS" => value.contains("host"),
        "GroupAdd" => value.contains("keep-groups"),
        "Rootfs" => !value.is_empty(),
        // Of the gateway: what it lets through.
        "Environment" => part == Part::Egress && value.trim_matches('"').starts_with("EGRESS_"),
        "EnvironmentFile" => part == Part::Egress,
        "Secret" => value.contains("type=env") || opens_secret(value),
        "Volume" | "Mount" => opens_host(key, value),
        "PodmanArgs" => !dangerous(value).is_empty(),
        _ => false,
    }
}

fn pod(key: &str, value: &str, facts: &Facts) -> bool {
    match key {
        "PublishPort" => true,
        "Network" => {
            let own = format!("{}.network", facts.name.stem());
            value != own && value != Part::Network.podman_name(&facts.name)
        }
        "UserNS" => value.contains("host"),
        "Volume" => opens_host(key, value),
        "PodmanArgs" => !dangerous(value).is_empty(),
        _ => false,
    }
}

fn network(key: &str, value: &str, part: Part) -> bool {
    match key {
        "Internal" => part == Part::Network && (is_off(value) || value.is_empty()),
        "Options" => value.contains("isolate=") && !value.contains("isolate=strict"),
        "Driver" => value != "bridge",
        "PodmanArgs" => !value.is_empty(),
        _ => false,
    }
}

/// A secret's file that others than its owner may read.
fn opens_secret(value: &str) -> bool {
    let mode = value.split(',').find_map(|field| field.trim_matches('"').strip_prefix("mode="));
    // Without a mode it is 0444.
    mode.map_or(Some(0o444), |mode| u32::from_str_radix(mode, 8).ok()).is_none_or(|m| m & 0o77 != 0)
}

/// A folder or socket of the host that may be written to, or another instance's volume.
fn opens_host(key: &str, value: &str) -> bool {
    let value = value.trim_matches('"');
    let (source, read_only) = if key == "Volume" {
        let mut fields = value.split(':');
        let source = fields.next().unwrap_or_default();
        (source, fields.nth(1).is_some_and(|options| options.split(',').any(|o| o == "ro")))
    } else {
        let field = |names: &[&str]| {
            value.split(',').find_map(|f| {
                let (name, value) = f.split_once('=').unwrap_or((f, "true"));
                names.contains(&name).then_some(value)
            })
        };
        let read_only = field(&["ro", "readonly"]).is_some_and(|v| !is_off(v));
        (field(&["source", "src"]).unwrap_or_default(), read_only)
    };
    let on_host = source.starts_with(['/', '.', '~', '%']);
    let others = source.starts_with("hybridrag-");
    others || Utf8Path::new(source).extension() == Some("sock") || (on_host && !read_only)
}

/// The options of `podman run` and `podman pod create` that take isolation away.
fn dangerous(args: &str) -> Vec<String> {
    const ALWAYS: [&str; 16] = [
        "--privileged",
        "--cap-add",
        "--device",
        "--network",
        "--net",
        "--publish",
        "-p",
        "--publish-all",
        "-P",
        "--security-opt",
        "--volume",
        "-v",
        "--mount",
        "--volumes-from",
        "--secret",
        "--pod",
    ];
    const HOST: [&str; 7] =
        ["--pid", "--ipc", "--uts", "--userns", "--cgroupns", "--group-add", "--read-only"];
    let words: Vec<&str> = args.split_whitespace().map(|w| w.trim_matches(['"', '\''])).collect();
    let mut found = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let (name, value) = word
            .split_once('=')
            .unwrap_or_else(|| (word, words.get(i + 1).copied().unwrap_or_default()));
        let user = (name == "--user" || name == "-u") && is_root(value);
        let host = HOST.contains(&name)
            && (value == "host" || value == "keep-groups" || word.ends_with("=false"));
        if ALWAYS.contains(&name) || user || host {
            found.push(name.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::facts;
    use super::*;

    fn effect(section: &str, line: &str, part: Part) -> Effect {
        let all = settings(&format!("[{section}]\n{line}\n"), part, &facts("allow"));
        assert_eq!(all.len(), 1, "{line}");
        all[0].effect
    }

    #[test]
    fn what_weakens_a_container() {
        for line in [
            "ReadOnly=false",
            "ReadOnly=no",
            "NoNewPrivileges=0",
            "DropCapability=",
            "User=0",
            "User=root",
            "User=0:0",
            "AddCapability=NET_ADMIN",
            "AddDevice=/dev/kvm",
            "PublishPort=8080:80",
            "Network=host",
            "Unmask=ALL",
            "SecurityLabelDisable=true",
            "SeccompProfile=unconfined",
            "AppArmor=unconfined",
            "UserNS=host",
            "GroupAdd=keep-groups",
            "Secret=x,type=mount,mode=0444",
            "Secret=x",
            "Secret=x,type=env,target=X",
            "Volume=/home:/home",
            "Volume=/run/user/1000/podman/podman.sock:/s:ro",
            "Volume=hybridrag-b-postgres:/b",
            "Mount=type=bind,source=/home,destination=/h",
            "Mount=type=bind,src=/home,dst=/h,ro=false",
            "PodmanArgs=--privileged",
            "PodmanArgs=--cap-add NET_RAW",
            "PodmanArgs=--user=0 --tty",
            "PodmanArgs=\"--pid=host\"",
            "PodmanArgs=--read-only=false",
        ] {
            assert_eq!(effect("Container", line, Part::App), Effect::Weakens, "{line}");
        }
        let egress = "Environment=\"EGRESS_ALLOW=evil.example:443\"";
        assert_eq!(effect("Container", egress, Part::Egress), Effect::Weakens);
        assert_eq!(effect("Container", egress, Part::App), Effect::Changes);
    }

    #[test]
    fn what_does_not() {
        for line in [
            "ReadOnly=true",
            "User=1001",
            "Environment=TOP_K=3",
            "Secret=x,type=mount,mode=0400,uid=1000",
            "Volume=/srv/docs:/docs:ro",
            "Volume=cache.volume:/cache",
            "Mount=type=bind,source=/srv,destination=/s,ro=true",
            "PodmanArgs=--memory=1g",
            "SeccompProfile=/etc/mine.json",
            "Label=a=b",
        ] {
            assert_eq!(effect("Container", line, Part::App), Effect::Changes, "{line}");
        }
        assert_eq!(effect("Service", "MemoryMax=1G", Part::App), Effect::Changes);
        assert_eq!(effect("Service", "ExecStart=", Part::App), Effect::Changes);
        assert_eq!(effect("Unit", "After=x.service", Part::App), Effect::Changes);
    }

    #[test]
    fn pods_networks_and_services() {
        assert_eq!(effect("Pod", "PublishPort=5432:5432", Part::Pod), Effect::Weakens);
        assert_eq!(effect("Pod", "Network=other.network", Part::Pod), Effect::Weakens);
        assert_eq!(effect("Pod", "Network=hybridrag-a.network", Part::Pod), Effect::Changes);
        assert_eq!(effect("Pod", "PodmanArgs=--share pid", Part::Pod), Effect::Changes);
        assert_eq!(effect("Network", "Internal=false", Part::Network), Effect::Weakens);
        assert_eq!(effect("Network", "Options=isolate=false", Part::Network), Effect::Weakens);
        assert_eq!(effect("Network", "Options=mtu=1400", Part::Network), Effect::Changes);
        assert_eq!(effect("Service", "ExecStart=/bin/sh", Part::App), Effect::Weakens);
        assert_eq!(effect("Service", "ExecStartPost=", Part::Pod), Effect::Weakens);
        assert_eq!(effect("Service", "ExecStartPost=", Part::App), Effect::Changes);
    }

    #[test]
    fn lines_as_systemd_reads_them_and_no_secret_in_what_is_shown() {
        let text = "# User=0\n; User=0\n[Container]\nPodmanArgs=--label \\\n# between\n  --privileged\n\
                    Environment=KEY=hunter2\nExec=sh -c hunter2\n";
        let all = settings(text, Part::App, &facts("none"));
        let shown: Vec<&str> = all.iter().map(|s| s.shown.as_str()).collect();
        assert_eq!(shown, ["PodmanArgs=--privileged", "Environment=KEY", "Exec"]);
        assert_eq!(all[0].effect, Effect::Weakens);
    }
}
