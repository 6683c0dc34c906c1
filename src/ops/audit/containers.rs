//! What the containers are: users, capabilities, file systems, ports, networks.

use super::facts::{Facts, SelfReport};
use super::verdict::{Verdict, skip};
use crate::host::{Check, Status};
use crate::model::Part;
use crate::podman::Inspected;

/// Where containers keep what they are for.
const DATA: [&str; 2] = ["/var/lib/postgresql/data", "/var/lib/hybridrag"];

/// Judges each container of ours by what it says of itself.
fn each_self(
    facts: &Facts,
    id: &'static str,
    all_well: &str,
    mut judge: impl FnMut(&mut Verdict, &str, &SelfReport),
) -> Check {
    let mut v = Verdict::default();
    for part in facts.ours() {
        match facts.selves.get(&part) {
            Some(Ok(report)) => {
                v.see(Status::Pass, part.label());
                judge(&mut v, part.label(), report);
            }
            Some(Err(why)) => v.see(Status::Skip, why),
            None => v.see(Status::Skip, facts.not_running(part)),
        }
    }
    v.tried(id, all_well)
}

/// Nobody is root in a container.
pub(super) fn container_user(facts: &Facts) -> Check {
    each_self(facts, "container-user", "no process has user 0", |v, part, report| {
        v.see_unless(!report.processes.is_empty(), format!("{part} shows no process"));
        for p in report.processes.iter().filter(|p| p.uids.contains(&0)) {
            v.see(Status::Fail, format!("{part}: process {} ({}) is root", p.pid, p.name));
        }
    })
}

/// Nobody can become more than that.
pub(super) fn container_privileges(facts: &Facts) -> Check {
    const WELL: &str = "no capability, no new privileges, system calls filtered";
    each_self(facts, "container-privileges", WELL, |v, part, report| {
        v.see_unless(!report.processes.is_empty(), format!("{part} shows no process"));
        for p in &report.processes {
            let who = format!("{part}: process {} ({})", p.pid, p.name);
            if p.caps != 0 {
                v.see(Status::Fail, format!("{who} may have {}", capabilities(p.caps)));
            }
            v.fail_if(!p.no_new_privileges, format!("{who} can gain privileges"));
            v.fail_if(p.seccomp == 0, format!("{who} has no filter for system calls"));
        }
    })
}

/// The capabilities that a default container has, by their number; the others are numbers.
fn capabilities(set: u64) -> String {
    const NAMES: [(u32, &str); 16] = [
        (0, "CAP_CHOWN"),
        (1, "CAP_DAC_OVERRIDE"),
        (2, "CAP_DAC_READ_SEARCH"),
        (3, "CAP_FOWNER"),
        (4, "CAP_FSETID"),
        (5, "CAP_KILL"),
        (6, "CAP_SETGID"),
        (7, "CAP_SETUID"),
        (8, "CAP_SETPCAP"),
        (10, "CAP_NET_BIND_SERVICE"),
        (12, "CAP_NET_ADMIN"),
        (13, "CAP_NET_RAW"),
        (18, "CAP_SYS_CHROOT"),
        (19, "CAP_SYS_PTRACE"),
        (21, "CAP_SYS_ADMIN"),
        (31, "CAP_SETFCAP"),
    ];
    let bits: Vec<String> = (0..64)
        .filter(|bit| set >> bit & 1 == 1)
        .map(|bit| {
            let known = NAMES.iter().find(|(n, _)| *n == bit);
            known.map_or_else(|| format!("capability {bit}"), |(_, name)| (*name).to_owned())
        })
        .collect();
    match bits.len() {
        0..=3 => bits.join(", "),
        n => format!("{}, … ({n} capabilities)", bits[..3].join(", ")),
    }
}

/// Root file systems cannot be written to.
pub(super) fn read_only_root(facts: &Facts) -> Check {
    each_self(facts, "read-only-root", "root file systems are read-only", |v, part, report| {
        v.see_unless(!report.root.is_empty(), format!("{part} shows no root file system"));
        let writable = report.root.iter().any(|o| o == "rw");
        v.fail_if(writable, format!("{part}: / is mounted with {}", report.root.join(",")));
    })
}

/// Secrets are files that only their reader can read.
pub(super) fn secret_files(facts: &Facts) -> Check {
    let mut seen = 0;
    let mut check =
        each_self(facts, "secret-files", "secrets are for their reader only", |v, part, report| {
            for s in &report.secrets {
                seen += 1;
                let told = format!("{part}: /run/secrets/{} has mode {:04o}", s.name, s.mode);
                match s.mode {
                    m if m & 0o007 != 0 => v.see(Status::Fail, format!("{told}: anybody reads it")),
                    m if m & 0o070 != 0 => v.see(Status::Warn, format!("{told}: its group too")),
                    _ => {}
                }
            }
        });
    if check.status == Status::Pass && seen == 0 {
        check = skip("secret-files", "no container has a secret");
    }
    check
}

/// No port of the host leads in.
pub(super) fn published_ports(facts: &Facts) -> Check {
    const ID: &str = "published-ports";
    if facts.containers.is_empty() {
        return skip(ID, format!("{} is not running", facts.name));
    }
    let mut v = Verdict::default();
    for (part, c) in &facts.containers {
        v.see(Status::Pass, part.label());
        for (port, bindings) in c.network_settings.ports.iter().chain(&c.host_config.port_bindings)
        {
            for b in bindings.iter().flatten() {
                let ip = if b.host_ip.is_empty() { "0.0.0.0" } else { &b.host_ip };
                let what = format!("{} publishes {port} as {ip}:{}", part.label(), b.host_port);
                v.see(Status::Fail, what);
            }
        }
        let all = c.host_config.publish_all_ports;
        v.fail_if(all, format!("{} publishes all its ports", part.label()));
    }
    v.tried(ID, "no port is published")
}

/// The networks are what their units say: a network that was made before an edit stays as it was.
pub(super) fn networks(facts: &Facts) -> Check {
    const ID: &str = "networks";
    let mut v = Verdict::default();
    for part in facts.parts.iter().copied() {
        let internal = match part {
            Part::Network => true,
            Part::EgressNetwork => false,
            _ => continue,
        };
        let name = part.podman_name(&facts.name);
        let Some(network) = facts.networks.iter().find(|n| n.name == name) else {
            v.see(Status::Skip, format!("there is no network {name} now"));
            continue;
        };
        v.see(Status::Pass, name.clone());
        let bridge = &network.network_interface;
        match &facts.forwarding {
            Ok(forwards) if internal && forwards.get(bridge) == Some(&true) => v.see(
                Status::Warn,
                format!(
                    "{name} ({bridge}) forwards packets: containers of yours on ordinary networks \
                     can reach it"
                ),
            ),
            Err(why) if facts.containers.contains_key(&Part::Pod) => v.see(Status::Skip, why),
            _ => {}
        }
        v.fail_if(internal && !network.internal, format!("{name} is not internal"));
        let strict = network.options.get("isolate").is_some_and(|v| v == "strict");
        v.fail_if(!strict, format!("{name} does not isolate strictly"));
        v.fail_if(network.driver != "bridge", format!("{name} is a {} network", network.driver));
    }
    v.tried(ID, "as their units say")
}

/// The containers are what their units say.
pub(super) fn running_containers(facts: &Facts) -> Check {
    let mut v = Verdict::default();
    for part in facts.ours() {
        match facts.containers.get(&part) {
            Some(c) => {
                v.see(Status::Pass, part.label());
                one_container(facts, part, c, &mut v);
            }
            None => v.see(Status::Skip, facts.not_running(part)),
        }
    }
    v.tried("running-containers", "as their units say")
}

fn one_container(facts: &Facts, part: Part, c: &Inspected, v: &mut Verdict) {
    let (label, host) = (part.label(), &c.host_config);
    let mut breach = |is: bool, what: &str| v.fail_if(is, format!("{label}: {what}"));
    breach(host.privileged, "it is privileged");
    breach(!host.readonly_rootfs, "its root file system is not read-only");
    breach(!c.bounding_caps.is_empty(), "it keeps capabilities");
    breach(host.pid_mode == "host", "it sees the host's processes");
    breach(host.ipc_mode == "host", "it shares the host's memory segments");
    breach(host.userns_mode == "host", "it has no user namespace of its own");
    breach(!host.devices.is_empty(), "it has devices of the host");
    let opt = |what: &str| host.security_opt.iter().any(|o| o.starts_with(what));
    breach(!opt("no-new-privileges"), "new privileges are not forbidden");
    breach(opt("seccomp=unconfined"), "its system calls are not filtered");
    breach(opt("label=disable"), "its SELinux label is off");
    breach(opt("apparmor=unconfined"), "its AppArmor profile is off");
    let network = if part == Part::Egress { "bridge" } else { "container:" };
    let where_it_is = format!("its network is {}", host.network_mode);
    breach(!host.network_mode.starts_with(network), &where_it_is);
    let own = [Part::PostgresVolume, Part::EngineVolume].map(|p| p.podman_name(&facts.name));
    for m in &c.mounts {
        let (from, to) = (&m.source, &m.destination);
        let data = DATA.contains(&to.as_str());
        let writes = m.kind == "bind" && m.writable && !data;
        breach(writes, &format!("it may write to {from}, mounted at {to}"));
        let foreign = m.kind == "volume" && m.name.starts_with("hybridrag-");
        let foreign = foreign && !own.contains(&m.name);
        breach(foreign, &format!("it has the volume {}, mounted at {to}", m.name));
        let socket = from.ends_with("podman.sock") || from.ends_with("docker.sock");
        breach(socket, &format!("it has the container engine's socket {from}"));
    }
    let wanted = facts.images.get(&part);
    if let Some(wanted) = wanted.filter(|w| **w != c.image_name) {
        v.see(Status::Warn, format!("{label} runs {}, not {wanted}", c.image_name));
    }
}

#[cfg(test)]
#[path = "containers_tests.rs"]
mod tests;
