//! What instances do by themselves, and how it went last: from files, and from the one list of
//! units.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::Ctx;
use crate::error::Result;
use crate::install::{Run, Schedules};
use crate::model::{Chore, Name};
use crate::systemd::UnitState;

/// One thing that an instance does by itself.
#[derive(Debug, Serialize)]
pub struct ChoreStatus {
    /// `ingest`, `backup`, `idle` or `watch`: the key of `[schedule]`.
    pub what: &'static str,
    /// The timer, or the service, that sees to it.
    pub unit: String,
    /// Whether it is being done now; of `watch`, whether somebody watches.
    pub active: bool,
    /// When it was done last (RFC 3339); of `watch`, when something was ingested.
    pub last: Option<String>,
    /// Why it failed then; of `watch`, also why not all is watched.
    pub failed: Option<String>,
}

/// Everything that is switched on.
pub(super) struct Chores {
    on: BTreeMap<Name, BTreeSet<Chore>>,
    /// The services of it that systemd knows: service → its state.
    units: BTreeMap<String, String>,
}

impl Chores {
    pub fn look(ctx: Ctx<'_>, units: &[UnitState]) -> Result<Self> {
        let ours = |unit: &&UnitState| Chore::of_service(&unit.name).is_some();
        let state = |unit: &UnitState| (unit.name.clone(), unit.active.clone());
        Ok(Self {
            on: Schedules::new(ctx.env).all()?,
            units: units.iter().filter(ours).map(state).collect(),
        })
    }

    pub fn of(&self, ctx: Ctx<'_>, name: &Name) -> Vec<ChoreStatus> {
        let by_clock = self.on.get(name).is_some_and(|on| on.contains(&Chore::Ingest));
        let on = self.on.get(name).into_iter().flatten();
        on.map(|chore| {
            let service = chore.service(name);
            let state = self.units.get(&service).map_or("", String::as_str);
            let run = |chore| match Run::load(&ctx.env.state(), name, chore) {
                Ok(Some(run)) => (Some(run.at), run.failed),
                Ok(None) => (None, None),
                Err(e) => (None, Some(e.to_string())),
            };
            let (mut last, mut failed) = run(*chore);
            if *chore == Chore::Watch && failed.is_none() {
                // What a watch does is an ingest. One that is switched on by itself is told by itself.
                let ingest = run(Chore::Ingest);
                last = ingest.0;
                failed = ingest.1.filter(|_| !by_clock);
            }
            // What was killed has written nothing down.
            let killed = (state == "failed" && failed.is_none())
                .then(|| format!("it did not end by itself: journalctl --user -u {service} -n 50"));
            ChoreStatus {
                what: chore.label(),
                unit: chore.unit(name),
                active: ["active", "activating"].contains(&state),
                last,
                failed: failed.or(killed),
            }
        })
        .collect()
    }
}
