//! What ragpod itself left on the host, and what instances ask of it.

use super::super::facts::Facts;
use super::super::{Check, Status};

/// No instance publishes a port by itself; drop-ins of the user's may.
pub(super) fn ports(facts: &Facts) -> Check {
    const ID: &str = "ports";
    let published = &facts.records.published;
    if published.is_empty() {
        return Check::new(ID, Status::Pass, "no instance publishes one");
    }
    if let Some(low) = published.iter().find(|p| p.port < facts.first_port) {
        return Check::new(
            ID,
            Status::Fail,
            format!(
                "{} publishes port {}, and users get those from {} on",
                low.file, low.port, facts.first_port
            ),
        )
        .fix(format!(
            "pick a higher one in that file, then ragpod up NAME; or: echo \
             net.ipv4.ip_unprivileged_port_start={} | sudo tee /etc/sysctl.d/99-ports.conf; sudo \
             sysctl --system",
            low.port
        ));
    }
    let taken = |p: &&super::super::Published| !p.running && facts.listeners.contains(&p.port);
    if let Some(taken) = published.iter().find(taken) {
        return Check::new(
            ID,
            Status::Fail,
            format!("{} publishes port {}, which another program has", taken.file, taken.port),
        )
        .fix(format!(
            "see who has it: ss -ltnp 'sport = :{}'; or pick another one in that file, then \
             ragpod up NAME",
            taken.port
        ));
    }
    let list: Vec<String> = published.iter().map(|p| format!("{} ({})", p.port, p.file)).collect();
    Check::new(ID, Status::Pass, list.join(", "))
}

pub(super) fn unfinished(facts: &Facts) -> Check {
    const ID: &str = "unfinished";
    let all = &facts.records.unfinished;
    if all.is_empty() {
        return Check::new(ID, Status::Pass, "every command did what it began");
    }
    let doing: Vec<String> = all.iter().map(|u| format!("`{}`", u.doing)).collect();
    let redo: Vec<&str> = all.iter().map(|u| u.redo.as_str()).collect();
    Check::new(ID, Status::Warn, format!("{} did not finish", doing.join(", ")))
        .fix(redo.join("; "))
}

pub(super) fn leftovers(facts: &Facts) -> Check {
    const ID: &str = "leftovers";
    let all = &facts.records.leftovers;
    if all.is_empty() {
        return Check::new(ID, Status::Pass, "killed commands left nothing");
    }
    let list: Vec<&str> = all.iter().map(|p| p.as_str()).collect();
    Check::new(ID, Status::Warn, format!("left by killed commands: {}", list.join("; ")))
        .fix("ragpod doctor --fix")
}
