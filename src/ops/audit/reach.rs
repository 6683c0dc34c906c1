//! What the app, and the gateway's container, can reach.

use super::facts::{Connection, Facts, Outcome};
use super::verdict::{Verdict, skip};
use crate::host::{Check, Status};
use crate::model::Part;

/// A documentation address (RFC 5737) and a resolver that is always there.
pub(super) const PUBLIC: [&str; 2] = ["192.0.2.1", "1.1.1.1"];
pub(super) const PUBLIC_PORT: u16 = 443;
/// Names that exist outside.
pub(super) const OUTSIDE: [&str; 2] = ["example.com", "one.one.one.one"];
pub(super) const POSTGRES_PORT: u16 = 5432;
pub(super) const GATEWAY_PORT: u16 = 3128;
/// Where a container could find the host: Podman's own address for it, its names, and the pod's
/// loopback, which is the host's only where the network namespace is.
pub(super) const HOST: [&str; 4] =
    ["169.254.1.2", "host.containers.internal", "host.docker.internal", "127.0.0.1"];

/// A breach where the manifest claims isolation; named all the same where it does not.
fn breach(facts: &Facts) -> Status {
    if facts.mode == "open" { Status::Warn } else { Status::Fail }
}

/// The mode, and the pod's networks and routes against it.
pub(super) fn egress_mode(facts: &Facts) -> Check {
    const ID: &str = "egress-mode";
    if facts.mode == "open" {
        return Check::new(
            ID,
            Status::Warn,
            "egress.mode is open: the engine may reach anything, and the database with it; no \
             claim is made",
        )
        .fix("set mode = \"allow\" or \"none\" under [egress] in the manifest, then run up again");
    }
    let (Some(pod), Ok(app)) = (facts.containers.get(&Part::Pod), &facts.app) else {
        return skip(ID, facts.not_running(Part::App));
    };
    let own = Part::Network.podman_name(&facts.name);
    let mut v = Verdict::default();
    for network in pod.network_settings.networks.keys().filter(|n| **n != own) {
        v.see(Status::Fail, format!("the pod is on the network {network} too"));
    }
    for route in &app.routes {
        v.see(Status::Fail, format!("the pod has a default route through {route}"));
    }
    if let Some(egress) = facts.containers.get(&Part::Egress) {
        let theirs = Part::EgressNetwork.podman_name(&facts.name);
        for network in egress.network_settings.networks.keys() {
            let known = *network == own || *network == theirs;
            v.fail_if(!known, format!("the gateway is on the network {network} too"));
        }
    }
    v.check(ID, format!("{}: the pod has one network, and no route out of it", facts.mode))
}

/// A literal public address.
pub(super) fn public_address(facts: &Facts) -> Check {
    const ID: &str = "public-address";
    let app = match &facts.app {
        Ok(app) => app,
        Err(why) => return skip(ID, why),
    };
    let mut v = Verdict::default();
    for c in app.to(&PUBLIC.map(str::to_owned), PUBLIC_PORT) {
        let told = c.told("app");
        match c.outcome {
            Outcome::Connected => v.see(breach(facts), told),
            // The answer came from outside of the pod's network.
            Outcome::Refused => v.see(breach(facts), format!("{told}, so packets get out")),
            _ if app.routes.is_empty() => v.see(Status::Pass, told),
            _ if facts.mode == "open" => v.see(Status::Warn, format!("{told}, but egress is open")),
            _ => v.see(
                Status::Skip,
                format!("{told}, but the pod has a route out: is this host offline?"),
            ),
        }
    }
    v.tried(ID, "no way out")
}

/// Names of the outside.
pub(super) fn outside_name(facts: &Facts) -> Check {
    const ID: &str = "outside-name";
    /// "No such name" for a name that exists: the resolver did not ask outside.
    const NO_SUCH_NAME: u8 = 3;
    /// "I will not."
    const REFUSED: u8 = 5;
    let app = match &facts.app {
        Ok(app) => app,
        Err(why) => return skip(ID, why),
    };
    if app.lookups.is_empty() {
        return Check::new(ID, Status::Pass, "the app has no resolver");
    }
    let mut v = Verdict::default();
    for l in &app.lookups {
        let what = format!("{} asked of {}", l.name, l.server);
        match (l.rcode, &l.error) {
            (Some(0), _) if l.answers > 0 => v.see(breach(facts), format!("{what}: resolved")),
            (Some(NO_SUCH_NAME), _) => v.see(Status::Pass, format!("{what}: no such name")),
            (Some(REFUSED), _) => v.see(Status::Pass, format!("{what}: refused")),
            (Some(code), _) => {
                v.see(Status::Skip, format!("{what}: answer code {code} says neither yes nor no"));
            }
            (None, error) => {
                let error = error.as_deref().unwrap_or("no answer");
                v.see(Status::Skip, format!("{what}: {error}; is this host offline?"));
            }
        }
    }
    v.tried(ID, "outside names do not resolve")
}

/// Services of the host.
pub(super) fn host_services(facts: &Facts, hosts: &[String]) -> Check {
    const ID: &str = "host-services";
    let (app, port) = match (&facts.app, &facts.listener) {
        (Ok(app), Ok(port)) => (app, *port),
        (Err(why), _) | (_, Err(why)) => return skip(ID, why),
    };
    let mut v = Verdict::default();
    for c in app.to(hosts, port) {
        let told = c.told("app");
        match c.outcome {
            Outcome::Connected if c.token => {
                v.see(breach(facts), format!("{told}, where ragpod listened on the host"));
            }
            Outcome::Connected => {
                v.see(Status::Warn, format!("{told}, but it was not ragpod who answered"));
            }
            _ => v.see(Status::Pass, told),
        }
    }
    v.tried(ID, format!("ragpod listened on port {port} of all the host's addresses"))
}

/// Databases of the other instances.
pub(super) fn other_database(facts: &Facts) -> Check {
    const ID: &str = "other-database";
    let others: Vec<_> = facts.others.iter().map(|o| (o.name.as_str(), &o.pod[..])).collect();
    others_at(facts, ID, &others, POSTGRES_PORT, "no other instance's database is reached")
}

/// Gateways of the other instances.
pub(super) fn other_gateway(facts: &Facts) -> Check {
    const ID: &str = "other-gateway";
    let others: Vec<_> = facts
        .others
        .iter()
        .filter(|o| !o.gateway.is_empty())
        .map(|o| (o.name.as_str(), &o.gateway[..]))
        .collect();
    others_at(facts, ID, &others, GATEWAY_PORT, "no other instance's gateway is reached")
}

fn others_at(
    facts: &Facts,
    id: &'static str,
    others: &[(&str, &[String])],
    port: u16,
    all_well: &str,
) -> Check {
    if others.is_empty() {
        return skip(id, "no other instance that has one is running: nothing to try it against");
    }
    let mut v = Verdict::default();
    let mut judge = |c: &Connection, from: &str, name: &str| {
        let told = c.told(from);
        match c.outcome {
            Outcome::Connected => v.see(Status::Fail, format!("{told} ({name})")),
            Outcome::Refused => v.see(
                Status::Warn,
                format!("{told} ({name}): nobody listens there, but its network is reached"),
            ),
            _ => v.see(Status::Pass, told),
        }
    };
    for (name, hosts) in others {
        if let Ok(app) = &facts.app {
            app.to(hosts, port).for_each(|c| judge(c, "app", name));
        }
        if let Ok(gateway) = &facts.gateway {
            let theirs = |c: &&Connection| c.port == port && hosts.contains(&c.host);
            gateway.iter().filter(theirs).for_each(|c| judge(c, "egress", name));
        }
    }
    if let Err(why) = &facts.app {
        v.see(Status::Skip, why);
    }
    if let (true, Err(why)) = (facts.parts.contains(&Part::Egress), &facts.gateway) {
        v.see(Status::Skip, why);
    }
    v.tried(id, all_well)
}

/// The instance's own database: on the pod's loopback only.
pub(super) fn database_loopback(facts: &Facts, own: &[String]) -> Check {
    const ID: &str = "database-loopback";
    let app = match &facts.app {
        Ok(app) => app,
        Err(why) => return skip(ID, why),
    };
    let from_gateway = facts.gateway.iter().flatten();
    let from_gateway = from_gateway.filter(|c| c.port == POSTGRES_PORT && own.contains(&c.host));
    let mut v = Verdict::default();
    for (c, from) in
        app.to(own, POSTGRES_PORT).map(|c| (c, "app")).chain(from_gateway.map(|c| (c, "egress")))
    {
        let status = if c.outcome == Outcome::Connected { Status::Fail } else { Status::Pass };
        v.see(status, c.told(from));
    }
    if own.is_empty() {
        return skip(ID, "the pod has no address");
    }
    v.tried(ID, "it listens on the pod's loopback only")
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
