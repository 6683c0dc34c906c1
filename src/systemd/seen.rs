//! How often services were restarted and since when they run, for any number of them with next to
//! no calls.
//!
//! systemd tells these of one unit at a time. But they only change when a service is started, and
//! each start has an id, to which systemd keeps a link in the runtime directory. So what was told
//! for an id is kept there, too, and asked again only for another one. What is lost with that file
//! is asked again.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use zbus::OwnedVariant;

use super::client::{Systemd, UnitState, call_failed};
use super::props::{SERVICE, UNIT, unit_path};
use crate::error::Result;

/// What was told of one start of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The start's id.
    #[serde(default)]
    invocation: String,
    /// How often systemd had restarted it by itself.
    pub restarts: u32,
    /// When its state changed last, in microseconds since 1970.
    pub since: Option<u64>,
}

impl Systemd {
    /// Of each of these units that is not simply stopped. `runtime`: the user's runtime directory.
    pub async fn seen(
        &self,
        units: &[&UnitState],
        runtime: Option<&Utf8Path>,
    ) -> Result<BTreeMap<String, Seen>> {
        let file = runtime.map(|dir| dir.join("ragpod/services.json"));
        let before = file.as_deref().map(read).unwrap_or_default();
        let mut all = BTreeMap::new();
        let mut asks = Vec::new();
        for unit in units.iter().filter(|unit| unit.active != "inactive") {
            let id = (unit.active == "active").then(|| invocation(runtime, &unit.name)).flatten();
            match (before.get(&unit.name), id) {
                (Some(seen), Some(id)) if seen.invocation == id => {
                    all.insert(unit.name.clone(), seen.clone());
                }
                (_, id) => asks.push(self.ask(&unit.name, id.unwrap_or_default())),
            }
        }
        if asks.is_empty() {
            return Ok(all);
        }
        let told = try_join_all(asks).await.map_err(|e| call_failed("look at the services", &e))?;
        all.extend(told);
        if let Some(file) = file {
            let mut keep = before;
            keep.extend(all.iter().map(|(unit, seen)| (unit.clone(), seen.clone())));
            // Of units that are gone nothing is kept; of those that were not asked for, all.
            keep.retain(|unit, seen| {
                !seen.invocation.is_empty()
                    && invocation(runtime, unit).is_some_and(|id| id == seen.invocation)
            });
            write(&file, &keep);
        }
        Ok(all)
    }

    async fn ask(&self, unit: &str, invocation: String) -> zbus::Result<(String, Seen)> {
        let path = unit_path(unit);
        let (restarts, since) = futures_util::future::try_join(
            self.property(&path, SERVICE, "NRestarts"),
            self.property(&path, UNIT, "StateChangeTimestamp"),
        )
        .await?;
        let seen = Seen {
            invocation,
            restarts: number(restarts).unwrap_or_default(),
            since: number(since).filter(|us: &u64| *us != 0),
        };
        Ok((unit.to_owned(), seen))
    }
}

fn number<T: TryFrom<OwnedVariant>>(value: Option<OwnedVariant>) -> Option<T> {
    T::try_from(value?).ok()
}

/// The id of a service's last start: systemd.exec(5), `$INVOCATION_ID`.
fn invocation(runtime: Option<&Utf8Path>, unit: &str) -> Option<String> {
    let link = runtime?.join(format!("systemd/units/invocation:{unit}"));
    std::fs::read_link(link).ok()?.into_os_string().into_string().ok()
}

fn read(file: &Utf8Path) -> BTreeMap<String, Seen> {
    let bytes = std::fs::read(file).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Only a help: what cannot be written is asked again. Nobody reads half of it.
fn write(file: &Utf8Path, seen: &BTreeMap<String, Seen>) {
    let Some(dir) = file.parent() else { return };
    let put = || -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        let new = tempfile::NamedTempFile::new_in(dir)?;
        std::fs::write(new.path(), serde_json::to_vec(seen)?)?;
        new.persist(Utf8PathBuf::from(file)).map_err(|e| e.error)?;
        Ok(())
    };
    let _ = put();
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Script, systemd};
    use super::*;

    fn unit(name: &str, active: &str) -> UnitState {
        UnitState {
            name: name.to_owned(),
            load: "loaded".to_owned(),
            active: active.to_owned(),
            sub: String::new(),
            job: None,
        }
    }

    #[tokio::test]
    async fn each_start_is_asked_about_once() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        std::fs::create_dir_all(runtime.join("systemd/units")).unwrap();
        let start = |unit: &str, id: &str| {
            let link = runtime.join(format!("systemd/units/invocation:{unit}"));
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(id, link).unwrap();
        };
        let names: Vec<String> = (0..20).map(|n| format!("hybridrag-n{n}-app.service")).collect();
        let scripts: Vec<(&str, Script)> =
            names.iter().map(|n| (n.as_str(), Script::Never)).collect();
        let (systemd, state, _server) = systemd(&scripts).await;
        let units: Vec<UnitState> = names.iter().map(|n| unit(n, "active")).collect();
        let units: Vec<&UnitState> = units.iter().collect();
        for name in &names {
            start(name, "1");
        }
        let asked = || state.lock().unwrap().asked;
        systemd.seen(&units, Some(&runtime)).await.unwrap();
        assert_eq!(asked(), 20);
        // From here on nothing is asked, whether of one or of twenty.
        assert_eq!(systemd.seen(&units[..1], Some(&runtime)).await.unwrap().len(), 1);
        assert_eq!(systemd.seen(&units, Some(&runtime)).await.unwrap().len(), 20);
        assert_eq!(asked(), 20);
        // But of the one that was started anew.
        start(&names[3], "2");
        state.lock().unwrap().units.get_mut(&names[3]).unwrap().restarts = 7;
        let seen = systemd.seen(&units, Some(&runtime)).await.unwrap();
        assert_eq!((asked(), seen[&names[3]].restarts, seen[&names[4]].restarts), (21, 7, 0));
        // Without the links each is asked.
        systemd.seen(&units, None).await.unwrap();
        assert_eq!(asked(), 41);
        // What failed has no link; what is stopped has nothing to tell.
        let others = [unit(&names[0], "failed"), unit(&names[1], "inactive")];
        let seen = systemd.seen(&[&others[0], &others[1]], Some(&runtime)).await.unwrap();
        assert_eq!((asked(), seen.len()), (42, 1));
    }
}
