//! `audit`: tries to break each claim of an instance's isolation from inside its containers.
//!
//! [`gather`] sees and tries; the other modules judge what came back, each claim in a pure
//! function. A claim that could not be tried is never a pass: it is skipped, with why.

mod containers;
mod database;
mod drop_ins;
mod facts;
mod files;
mod gateway;
mod gather;
mod listener;
mod probe;
mod reach;
mod secrets;
#[cfg(test)]
mod tests;
mod units;
mod verdict;

use serde::Serialize;

use super::{Ctx, manifests};
use crate::error::Result;
use crate::host::{Check, Status};
use crate::install::UnitDir;
use crate::model::Name;
use facts::Facts;
use gather::{Host, Targets};

/// How many instances are tried at once: three calls of Podman each.
const AT_ONCE: usize = 4;

/// A check of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// The instance.
    pub instance: String,
    /// What was tried, and what came back.
    #[serde(flatten)]
    pub check: Check,
}

/// An audit's outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// All checks, instance by instance.
    pub checks: Vec<Audited>,
    /// Instances that were asked for and of which nothing runs.
    #[serde(skip)]
    pub idle: Vec<Name>,
}

impl Audit {
    /// How many claims are broken.
    #[must_use]
    pub fn breaches(&self) -> usize {
        self.checks.iter().filter(|c| c.check.status == Status::Fail).count()
    }
}

/// Tries every claim of the named instances, or of all that run.
///
/// # Errors
/// [`Kind::NoInstance`](crate::error::Kind::NoInstance) for a name that nothing has;
/// [`Kind::Host`](crate::error::Kind::Host) without Podman or a user bus.
pub async fn audit(ctx: Ctx<'_>, names: &[Name]) -> Result<Audit> {
    let installed = UnitDir::new(ctx.env).parts()?;
    let unknown =
        |name: &&Name| !manifests::exists(ctx.env, name) && !installed.contains_key(*name);
    if let Some(name) = names.iter().find(unknown) {
        return Err(manifests::no_instance(ctx.env, name));
    }
    let host = Host::look(ctx).await?;
    let mut names = if names.is_empty() { host.running() } else { names.to_vec() };
    // Each once, and one after the other in the output.
    names.sort();
    names.dedup();
    let mut cases = Vec::new();
    for name in &names {
        cases.push(gather::look_at(ctx, &host, name).await?);
    }
    for some in cases.chunks_mut(AT_ONCE) {
        let names: Vec<&str> = some.iter().map(|case| case.facts.name.as_str()).collect();
        ctx.progress.step(&format!("trying to break out of {}", names.join(", ")));
        gather::attempt(&host, some);
    }
    let mut audit = Audit::default();
    for case in &cases {
        let instance = case.facts.name.to_string();
        let checks = judge(&case.facts, &case.targets).into_iter();
        audit.checks.extend(checks.map(|check| Audited { instance: instance.clone(), check }));
    }
    audit.idle = names.into_iter().filter(|name| !host.runs(name)).collect();
    Ok(audit)
}

/// All checks of an instance, in the order in which people ask: what gets out, who gets in, what
/// runs, what is installed.
fn judge(facts: &Facts, targets: &Targets) -> Vec<Check> {
    let checks = vec![
        reach::egress_mode(facts),
        reach::public_address(facts),
        reach::outside_name(facts),
        gateway::allowed_host(facts, &targets.allowed),
        gateway::denied_host(facts, &targets.denied),
        reach::other_database(facts),
        reach::other_gateway(facts),
        reach::host_services(facts, &targets.host),
        containers::published_ports(facts),
        reach::database_loopback(facts, &targets.own),
        database::password(facts),
        database::role(facts),
        containers::secret_files(facts),
        secrets::secret_values(facts),
        containers::container_user(facts),
        containers::container_privileges(facts),
        containers::read_only_root(facts),
        containers::running_containers(facts),
        containers::networks(facts),
        units::units_match(facts),
        units::units_loaded(facts),
        units::drop_ins(facts),
    ];
    checks.into_iter().map(|check| with_cure(check, &facts.name)).collect()
}

/// Adds what to type to a breach that has no cure of its own.
fn with_cure(check: Check, name: &Name) -> Check {
    if check.status != Status::Fail || check.fix.is_some() {
        return check;
    }
    let fix = match check.id {
        "database-role" | "database-password" => {
            format!("set the role up anew: ragpod exec {name} --service postgres -- ragpod-initdb")
        }
        "secret-values" => {
            format!(
                "delete it there, then give it a new value: ragpod secret set {name} KEY < FILE"
            )
        }
        "networks" => format!("make the networks anew: ragpod down {name}; ragpod up {name}"),
        "other-database" | "other-gateway" => {
            "see who shares a network with whom: podman network inspect NETWORK".to_owned()
        }
        "allowed-host" | "denied-host" => {
            format!("restart the gateway with what the manifest says: ragpod restart {name}")
        }
        _ => format!("remove what weakens it (see drop-ins, units-match): ragpod restart {name}"),
    };
    check.fix(fix)
}
