//! Sees and tries everything: a few calls for all instances, one in each container.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Answers, Connection, Database, Facts, Other, SelfReport, Units, Untried};
use super::listener::{Listener, own_address};
use super::probe::{self, Plan, Questions};
use super::{files, reach};
use crate::error::Result;
use crate::install::UnitDir;
use crate::model::{Egress, Instance, Name, Part};
use crate::ops::{Ctx, diff, manifests};
use crate::podman::{Container, Inspected, NetworkInfo, Podman, SecretValue};
use crate::systemd::{Systemd, check_loaded};

/// The running containers of each instance.
type Running = BTreeMap<Name, BTreeMap<Part, Inspected>>;

/// What is the same for all instances, looked at once.
pub(super) struct Host {
    podman: Podman,
    bus: Systemd,
    /// The running containers of each instance.
    containers: Running,
    /// What Podman says of them, as it is.
    described: String,
    networks: Vec<NetworkInfo>,
    forwarding: Result<BTreeMap<String, bool>, Untried>,
    secrets: Result<Vec<SecretValue>>,
    arguments: String,
    listener: std::io::Result<Listener>,
    token: String,
}

impl Host {
    /// Looks at everything that runs.
    pub async fn look(ctx: Ctx<'_>) -> Result<Self> {
        let podman = Podman::new();
        podman.supported()?;
        let bus = Systemd::connect(ctx.env).await?;
        let token = token();
        let (running, networks, secrets) = std::thread::scope(|scope| {
            let networks = scope.spawn(|| podman.networks());
            let secrets = scope.spawn(|| podman.secret_values());
            let running = running(&podman);
            let forwarding = match &running {
                Ok((some, _)) if !some.is_empty() => podman.forwarding().map_err(|e| e.to_string()),
                _ => Err("nothing is running".to_owned()),
            };
            ((running, forwarding), networks.join(), secrets.join())
        });
        let (running, forwarding) = running;
        let (containers, described) = running?;
        let broken = |_| crate::error::Error::failed("cannot ask Podman");
        Ok(Self {
            containers,
            described,
            forwarding,
            networks: networks.map_err(broken)??,
            secrets: secrets.map_err(broken)?,
            arguments: files::arguments(),
            listener: Listener::open(token.clone()),
            token,
            podman,
            bus,
        })
    }

    /// Whether anything of an instance runs.
    pub fn runs(&self, name: &Name) -> bool {
        self.containers.contains_key(name)
    }

    /// The instances of which something runs.
    pub fn running(&self) -> Vec<Name> {
        self.containers.keys().cloned().collect()
    }

    fn port(&self) -> Result<u16, Untried> {
        let listener = self.listener.as_ref();
        listener.map(|l| l.port).map_err(|e| format!("cannot listen on this host: {e}"))
    }

    /// Where the other running instances would be found.
    fn others(&self, name: &Name) -> Vec<Other> {
        let others = self.containers.iter().filter(|(other, _)| *other != name);
        others
            .map(|(other, parts)| Other {
                name: other.to_string(),
                pod: places(other, parts.get(&Part::Pod), &[Part::Pod, Part::Postgres]),
                gateway: match parts.get(&Part::Egress) {
                    Some(gateway) => places(other, Some(gateway), &[Part::Egress]),
                    None => Vec::new(),
                },
            })
            .collect()
    }
}

/// A container's addresses, and the names that it would have.
fn places(name: &Name, container: Option<&Inspected>, named: &[Part]) -> Vec<String> {
    let mut places = addresses(container);
    places.extend(named.iter().map(|part| part.podman_name(name)));
    places
}

fn addresses(container: Option<&Inspected>) -> Vec<String> {
    let networks = container.into_iter().flat_map(|c| c.network_settings.networks.values());
    networks.map(|n| n.ip_address.clone()).filter(|ip| !ip.is_empty()).collect()
}

/// The running containers of all instances, and Podman's description of them.
fn running(podman: &Podman) -> Result<(Running, String)> {
    let now = podman.inspect_running()?;
    let ours: BTreeMap<&str, (Name, Part)> = now
        .containers
        .iter()
        .filter_map(|c| {
            let name: Name = c.instance()?.parse().ok()?;
            let own = c.names.first()?;
            Some((own.as_str(), (name.clone(), part(c, own, &name)?)))
        })
        .collect();
    let mut containers = Running::new();
    for one in now.inspected {
        if let Some((name, part)) = ours.get(one.name.as_str()) {
            containers.entry(name.clone()).or_default().insert(*part, one);
        }
    }
    Ok((containers, now.described))
}

fn part(container: &Container, own: &str, name: &Name) -> Option<Part> {
    if container.is_infra {
        return Some(Part::Pod);
    }
    Part::ALL.into_iter().find(|p| p.is_container() && p.podman_name(name) == own)
}

/// Text that nobody can guess.
fn token() -> String {
    let mut bytes = [0u8; 16];
    // Without random bytes the clock does: it is to tell answers apart, not to keep a secret.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = jiff::Timestamp::now().as_nanosecond().to_ne_bytes();
    }
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("ragpod-audit-{hex}")
}

/// What is to be tried in one instance, and where.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// Where the host would be found.
    pub host: Vec<String>,
    /// The pod's own addresses.
    pub own: Vec<String>,
    /// Requests that the gateway should let through.
    pub allowed: Vec<String>,
    /// Requests that it should refuse.
    pub denied: Vec<String>,
}

impl Targets {
    fn new(facts: &Facts) -> Self {
        let pod = facts.containers.get(&Part::Pod);
        let networks = pod.into_iter().flat_map(|c| c.network_settings.networks.values());
        let mut host: Vec<String> =
            networks.map(|n| n.gateway.clone()).filter(|ip| !ip.is_empty()).collect();
        host.extend(reach::HOST.map(str::to_owned));
        host.extend(own_address());
        let allowed: Vec<String> =
            facts.allowed.iter().map(|host_port| format!("CONNECT {host_port}")).collect();
        let mut denied = vec![
            "CONNECT ragpod-audit.example:443".to_owned(),
            format!("CONNECT {}:{}", reach::PUBLIC[1], reach::PUBLIC_PORT),
            "CONNECT localhost:3128".to_owned(),
            "GET http://ragpod-audit.example/".to_owned(),
        ];
        denied
            .extend(facts.listener.iter().map(|port| format!("CONNECT {}:{port}", reach::HOST[0])));
        let others = facts.others.iter().filter_map(|o| o.pod.first());
        denied.extend(others.map(|ip| format!("CONNECT {ip}:{}", reach::POSTGRES_PORT)));
        for host_port in &facts.allowed {
            denied.push(format!("GET http://{host_port}/"));
            if let Some((host, port)) = host_port.rsplit_once(':') {
                let other = if port == "22" { "23" } else { "22" };
                let other = format!("{host}:{other}");
                if !facts.allowed.contains(&other) {
                    denied.push(format!("CONNECT {other}"));
                }
            }
        }
        denied.retain(|line| !allowed.contains(line));
        Self { host, own: addresses(pod), allowed, denied }
    }

    fn plans(&self, facts: &Facts, token: &str) -> Vec<Plan> {
        let others: Vec<(String, u16)> = facts
            .others
            .iter()
            .flat_map(|o| {
                let pod = o.pod.iter().map(|h| (h.clone(), reach::POSTGRES_PORT));
                pod.chain(o.gateway.iter().map(|h| (h.clone(), reach::GATEWAY_PORT)))
            })
            .chain(self.own.iter().map(|ip| (ip.clone(), reach::POSTGRES_PORT)))
            .collect();
        let mut tcp = others.clone();
        tcp.extend(reach::PUBLIC.map(|ip| (ip.to_owned(), reach::PUBLIC_PORT)));
        if let Ok(port) = facts.listener {
            tcp.extend(self.host.iter().map(|host| (host.clone(), port)));
        }
        let gateway = Part::Egress.podman_name(&facts.name);
        let questions = Questions {
            token: token.to_owned(),
            tcp,
            lookups: reach::OUTSIDE.map(str::to_owned).to_vec(),
            gateway: facts
                .containers
                .contains_key(&Part::Egress)
                .then_some((gateway, reach::GATEWAY_PORT)),
            requests: self.allowed.iter().chain(&self.denied).cloned().collect(),
        };
        let of = |part| facts.containers.get(&part).map(|c| c.name.clone());
        let app = of(Part::App).map(|c| Plan::app(c, &questions));
        let postgres = of(Part::Postgres).map(|c| Plan::postgres(c, token));
        let egress = of(Part::Egress).map(|c| Plan::gateway(c, &others));
        [app, postgres, egress].into_iter().flatten().collect()
    }
}

/// One instance on its way through an audit.
pub(super) struct Case {
    pub facts: Facts,
    pub targets: Targets,
    plans: Vec<Plan>,
}

/// Looks at one instance and plans what to try in it.
pub(super) async fn look_at(ctx: Ctx<'_>, host: &Host, name: &Name) -> Result<Case> {
    let instance = manifests::load(ctx.env, name);
    let units = units(ctx, host, name, &instance).await?;
    let idle = |part: Part| format!("{} of {name} is not running", part.label());
    let facts = Facts {
        mode: instance.as_ref().map_or("unknown", |i| i.egress.mode()),
        allowed: match instance.as_ref().map(|i| &i.egress) {
            Ok(Egress::Allow(hosts)) => hosts.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        },
        parts: match &instance {
            Ok(instance) => instance.parts(),
            Err(_) => UnitDir::new(ctx.env).parts_of(name)?.into_iter().collect(),
        },
        images: instance.as_ref().map(images).unwrap_or_default(),
        containers: host.containers.get(name).cloned().unwrap_or_default(),
        networks: host.networks.clone(),
        forwarding: host.forwarding.clone(),
        selves: BTreeMap::new(),
        app: Err(idle(Part::App)),
        gateway: Err(idle(Part::Egress)),
        database: Err(idle(Part::Postgres)),
        listener: host.port(),
        others: host.others(name),
        scan: match &host.secrets {
            Ok(secrets) => Ok(files::scan(
                ctx.env,
                name,
                secrets,
                &units.drop_ins,
                &host.described,
                &host.arguments,
            )),
            Err(e) => Err(e.to_string()),
        },
        units,
        name: name.clone(),
    };
    let targets = Targets::new(&facts);
    let plans = targets.plans(&facts, &host.token);
    Ok(Case { facts, targets, plans })
}

/// Tries everything in some instances at once.
pub(super) fn attempt(host: &Host, cases: &mut [Case]) {
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = cases
            .iter()
            .map(|case| scope.spawn(|| probe::run_all(&host.podman, &case.plans)))
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
    });
    for (case, outcomes) in cases.iter_mut().zip(outcomes) {
        for (part, outcome) in outcomes {
            take_in(&mut case.facts, part, outcome);
        }
    }
}

fn take_in(facts: &mut Facts, part: Part, outcome: Result<(SelfReport, String), Untried>) {
    let (own, rest) = match outcome {
        Ok((own, rest)) => (Ok(own), Ok(rest)),
        Err(why) => (Err(why.clone()), Err(why)),
    };
    facts.selves.insert(part, own);
    match part {
        Part::App => {
            facts.app = rest.and_then(|text| -> Result<Answers, Untried> { probe::answers(&text) });
        }
        Part::Postgres => {
            facts.database = rest.map(|text| -> Database { probe::database(&text) });
        }
        Part::Egress => {
            facts.gateway = rest.map(|text| -> Vec<Connection> { probe::connections(&text) });
        }
        _ => {}
    }
}

fn images(instance: &Instance) -> BTreeMap<Part, String> {
    let mut images = BTreeMap::from([
        (Part::Postgres, instance.postgres.image.as_str().to_owned()),
        (Part::App, instance.engine.image.as_str().to_owned()),
    ]);
    if instance.egress.has_gateway() {
        images.insert(Part::Egress, crate::model::ImageRef::egress().as_str().to_owned());
    }
    images
}

async fn units(
    ctx: Ctx<'_>,
    host: &Host,
    name: &Name,
    instance: &Result<Instance>,
) -> Result<Units> {
    let dir = UnitDir::new(ctx.env);
    let there: BTreeSet<Part> = dir.parts_of(name)?;
    let services: Vec<String> = there.iter().map(|p| p.service(name)).collect();
    let props = host.bus.properties_of(&services).await?;
    let changes = match instance {
        Ok(_) => {
            diff::of_units(ctx, name).map(|all| all.iter().map(diff::Change::headline).collect())
        }
        Err(e) => Err(e.clone()),
    };
    Ok(Units {
        installed: !there.is_empty(),
        changes,
        drop_ins: files::drop_ins(ctx.env, name, &there, &props),
        unread: host.bus.need_reload(&services).await?,
        loaded: check_loaded(&props, dir.path()).map(|()| props),
    })
}
