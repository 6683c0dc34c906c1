//! A stand-in for systemd at the other end of a socket pair, for tests without a bus.

// The interface macro asks for methods, and calls those that do nothing as well.
#![allow(clippy::unused_self, clippy::unused_async, clippy::used_underscore_binding)]

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zbus::connection::Builder;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedObjectPath, fdo, interface};

use super::client::Systemd;
use super::props::unit_path;
use super::proxy::ListedUnit;

/// How a unit's job goes.
#[derive(Clone, Debug)]
pub(super) enum Script {
    /// It ends before the call is answered.
    AtOnce(&'static str),
    /// It ends after a while, and the unit is then in this state.
    Later(Duration, &'static str, &'static str),
    /// It never ends.
    Never,
    /// It fails; systemd restarts the unit, and it comes up when it has been looked at this often.
    Restarts(u32),
    /// It fails, and goes on failing.
    Loops,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub units: BTreeMap<String, Unit>,
    pub calls: Vec<String>,
    /// How often somebody asked how often a unit was restarted.
    pub asked: u32,
    next_job: u32,
}

#[derive(Debug)]
pub(super) struct Unit {
    pub script: Script,
    pub active: &'static str,
    pub sub: &'static str,
    pub restarts: u32,
    pub looks: u32,
}

pub(super) type State = Arc<Mutex<Shared>>;

pub(super) struct Manager(pub State);
struct UnitObject(State, String);
struct ServiceObject(State, String);

impl Manager {
    fn queue(&self, verb: &str, name: &str) -> fdo::Result<(u32, OwnedObjectPath, Script)> {
        let mut shared = self.0.lock().unwrap();
        shared.calls.push(format!("{verb} {name}"));
        shared.next_job += 1;
        let id = shared.next_job;
        let unit = shared
            .units
            .get_mut(name)
            .ok_or_else(|| fdo::Error::Failed(format!("Unit {name} not found.")))?;
        unit.active = "activating";
        unit.sub = "start";
        let path = format!("/org/freedesktop/systemd1/job/{id}");
        Ok((id, OwnedObjectPath::try_from(path).unwrap(), unit.script.clone()))
    }

    async fn go(
        &self,
        verb: &str,
        name: String,
        emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        let (id, path, script) = self.queue(verb, &name)?;
        let set = |state: &State, active, sub| {
            if let Some(unit) = state.lock().unwrap().units.get_mut(&name) {
                (unit.active, unit.sub) = (active, sub);
            }
        };
        match script {
            Script::AtOnce(result) => {
                let active = if result == "done" { "active" } else { "inactive" };
                set(&self.0, active, "x");
                emitter.job_removed(id, path.clone(), name, result.to_owned()).await?;
            }
            Script::Later(after, result, active) => {
                let (emitter, state, path) = (emitter.to_owned(), self.0.clone(), path.clone());
                let name = name.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    if let Some(unit) = state.lock().unwrap().units.get_mut(&name) {
                        (unit.active, unit.sub) = (active, "y");
                    }
                    emitter.job_removed(id, path, name, result.to_owned()).await.unwrap();
                });
            }
            Script::Never => {}
            Script::Restarts(_) | Script::Loops => {
                set(&self.0, "activating", "auto-restart");
                emitter.job_removed(id, path.clone(), name, "failed".to_owned()).await?;
            }
        }
        Ok(path)
    }
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn subscribe(&self) {
        self.0.lock().unwrap().calls.push("subscribe".to_owned());
    }

    async fn reload(&self) {
        // The unit of this name makes the reload take for ever.
        if self.0.lock().unwrap().units.contains_key("stuck") {
            std::future::pending::<()>().await;
        }
    }

    async fn start_unit(
        &self,
        name: String,
        _mode: String,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.go("start", name, emitter).await
    }

    async fn stop_unit(
        &self,
        name: String,
        _mode: String,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.go("stop", name, emitter).await
    }

    fn reset_failed_unit(&self, name: &str) {
        self.0.lock().unwrap().calls.push(format!("reset {name}"));
    }

    async fn cancel_job(&self, id: u32) {
        self.0.lock().unwrap().calls.push(format!("cancel {id}"));
    }

    fn list_units_by_names(&self, names: Vec<String>) -> Vec<ListedUnit> {
        let shared = self.0.lock().unwrap();
        names
            .into_iter()
            .map(|name| {
                let unit = shared.units.get(&name);
                ListedUnit {
                    load_state: if unit.is_some() { "loaded" } else { "not-found" }.to_owned(),
                    active_state: unit.map_or("inactive", |u| u.active).to_owned(),
                    sub_state: unit.map_or("dead", |u| u.sub).to_owned(),
                    path: OwnedObjectPath::try_from(unit_path(&name)).unwrap(),
                    name,
                    description: String::new(),
                    following: String::new(),
                    job_id: 0,
                    job_type: String::new(),
                    job_path: OwnedObjectPath::try_from("/").unwrap(),
                }
            })
            .collect()
    }

    #[zbus(property)]
    fn environment(&self) -> Vec<String> {
        vec!["HOME=/h".to_owned(), "XDG_CONFIG_HOME=/h/=c".to_owned()]
    }

    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: OwnedObjectPath,
        unit: String,
        result: String,
    ) -> zbus::Result<()>;
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl UnitObject {
    #[zbus(property)]
    fn active_state(&self) -> String {
        let mut shared = self.0.lock().unwrap();
        let unit = shared.units.get_mut(&self.1).unwrap();
        unit.looks += 1;
        match unit.script {
            Script::Restarts(after) if unit.looks >= after => {
                (unit.active, unit.sub, unit.restarts) = ("active", "running", 1);
            }
            // Cleaning up first, then another try.
            Script::Restarts(_) if unit.looks == 1 => {
                (unit.active, unit.sub) = ("deactivating", "stop-post");
            }
            Script::Restarts(_) => {
                (unit.active, unit.sub, unit.restarts) = ("activating", "auto-restart", 1);
            }
            Script::Loops => unit.restarts += 1,
            _ => {}
        }
        unit.active.to_owned()
    }

    #[zbus(property)]
    fn sub_state(&self) -> String {
        self.0.lock().unwrap().units[&self.1].sub.to_owned()
    }

    #[zbus(property)]
    fn need_daemon_reload(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn load_state(&self) -> String {
        "loaded".to_owned()
    }
}

#[interface(name = "org.freedesktop.systemd1.Service")]
impl ServiceObject {
    #[zbus(property, name = "NRestarts")]
    fn n_restarts(&self) -> u32 {
        let mut shared = self.0.lock().unwrap();
        shared.asked += 1;
        shared.units[&self.1].restarts
    }

    #[zbus(property)]
    fn memory_current(&self) -> u64 {
        u64::MAX
    }
}

/// A client, the stand-in's state, and its end of the connection (dropping it hangs up).
pub(super) async fn systemd(units: &[(&str, Script)]) -> (Systemd, State, Connection) {
    let shared = Shared {
        units: units
            .iter()
            .map(|(name, script)| {
                let unit = Unit {
                    script: script.clone(),
                    active: "inactive",
                    sub: "dead",
                    restarts: 0,
                    looks: 0,
                };
                ((*name).to_owned(), unit)
            })
            .collect(),
        ..Shared::default()
    };
    let state: State = Arc::new(Mutex::new(shared));
    let (ours, theirs) = UnixStream::pair().unwrap();
    let guid = zbus::Guid::generate();
    let mut server = Builder::unix_stream(theirs)
        .server(guid)
        .p2p()
        .serve_at("/org/freedesktop/systemd1", Manager(state.clone()));
    for (name, _) in units {
        let path = unit_path(name);
        server = server
            .serve_at(path.clone(), UnitObject(state.clone(), (*name).to_owned()))
            .serve_at(path, ServiceObject(state.clone(), (*name).to_owned()));
    }
    let client = Builder::unix_stream(ours).p2p();
    let (server, client) =
        futures_util::future::try_join(server.build(), client.build()).await.unwrap();
    (Systemd::over(client).await.unwrap(), state, server)
}
