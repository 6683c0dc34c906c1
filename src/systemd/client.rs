//! The connection, and the calls that are answered at once.

use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use futures_util::future::try_join_all;
use zbus::connection::Builder;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedVariant, fdo};

use super::props::{PROPERTIES, SERVICE, ServiceProps, UNIT, unit_path};
use super::proxy::{ListedUnit, ManagerProxy};
use crate::env::Env;
use crate::error::{Error, Kind, Result};

const BUS_NAME: &str = "org.freedesktop.systemd1";
/// How long the bus may take to let us in.
const CONNECT: Duration = Duration::from_secs(10);
/// How long any one call may take. A manager that is reloading answers nobody meanwhile.
const CALL: Duration = Duration::from_secs(30);

/// The user's service manager.
#[derive(Clone, Debug)]
pub struct Systemd {
    pub(super) connection: Connection,
    pub(super) manager: ManagerProxy<'static>,
}

/// A unit's state in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitState {
    /// Its name.
    pub name: String,
    /// `loaded`, `not-found`, ….
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, ….
    pub active: String,
    /// `running`, `dead`, `auto-restart`, ….
    pub sub: String,
    /// The job that is queued for it: `start`, `stop`, `restart`, ….
    pub job: Option<String>,
}

impl UnitState {
    /// Whether it has no processes and is on no way to some.
    #[must_use]
    pub fn is_down(&self) -> bool {
        ["inactive", "failed", ""].contains(&self.active.as_str())
    }
}

impl From<ListedUnit> for UnitState {
    fn from(unit: ListedUnit) -> Self {
        Self {
            name: unit.name,
            load: unit.load_state,
            active: unit.active_state,
            sub: unit.sub_state,
            job: (unit.job_id != 0).then_some(unit.job_type),
        }
    }
}

impl Systemd {
    /// Connects to the user's manager over the user's bus.
    ///
    /// # Errors
    /// [`Kind::Host`] with the cure, when there is no bus to be reached.
    pub async fn connect(env: &Env) -> Result<Self> {
        let address = match (&env.bus_address, &env.runtime_dir) {
            (Some(address), _) => address.clone(),
            (None, Some(dir)) => format!("unix:path={dir}/bus"),
            (None, None) => {
                return Err(no_bus(env, Utf8Path::new(&socket(env)).exists(), None));
            }
        };
        let failed = |why: String| no_bus(env, Utf8Path::new(&socket(env)).exists(), Some(&why));
        let connecting = Builder::address(address.as_str()).method_timeout(CALL).build();
        let connection = match tokio::time::timeout(CONNECT, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(e)) => return Err(failed(format!("{address}: {e}"))),
            Err(_) => return Err(failed(format!("{address}: no answer"))),
        };
        let systemd = Self::over(connection).await?;
        // The bus lets us in without it. Podman, which asks it too, would wait for ever.
        systemd.version().await?;
        Ok(systemd)
    }

    /// A manager at the other end of a connection.
    pub async fn over(connection: Connection) -> Result<Self> {
        let manager = ManagerProxy::builder(&connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .map_err(|e| call_failed("reach systemd", &e))?;
        Ok(Self { connection, manager })
    }

    /// Reads all unit files again; the generators run. Ends when it is done.
    ///
    /// # Errors
    /// [`Kind::Host`] when it is not done within `timeout`.
    pub async fn reload(&self, timeout: Duration) -> Result<()> {
        match tokio::time::timeout(timeout, self.manager.reload()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(call_failed("reload systemd's units", &e)),
            Err(_) => Err(Error::host(format!(
                "systemd did not reload its units within {} s",
                timeout.as_secs()
            ))
            .hint("see what it is doing: systemctl --user list-jobs; journalctl --user -e")),
        }
    }

    /// The units in memory that match any of the patterns: any number of instances in one call.
    /// A unit that is stopped and that nothing refers to may not be in memory: see
    /// [`Systemd::named`].
    pub async fn units(&self, patterns: &[&str]) -> Result<Vec<UnitState>> {
        let units = self
            .manager
            .list_units_by_patterns(&[], patterns)
            .await
            .map_err(|e| call_failed("list units", &e))?;
        Ok(units.into_iter().map(UnitState::from).collect())
    }

    /// Units by their names, in the order asked for; one that does not exist has the load state
    /// `not-found`. One call.
    pub async fn named<S: AsRef<str>>(&self, services: &[S]) -> Result<Vec<UnitState>> {
        if services.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = services.iter().map(AsRef::as_ref).collect();
        let listed = self
            .manager
            .list_units_by_names(&names)
            .await
            .map_err(|e| call_failed("list units", &e))?;
        Ok(listed.into_iter().map(UnitState::from).collect())
    }

    /// Those of the services whose units are not loaded, with their load state.
    pub async fn not_loaded<S: AsRef<str>>(&self, services: &[S]) -> Result<Vec<UnitState>> {
        let units = self.named(services).await?;
        Ok(units.into_iter().filter(|u| u.load != "loaded").collect())
    }

    /// Everything about one service.
    pub async fn properties(&self, service: &str) -> Result<ServiceProps> {
        let path = unit_path(service);
        let gets = PROPERTIES.into_iter().map(|(interface, name)| {
            let path = path.as_str();
            async move {
                let value = self.property(path, interface, name).await?;
                Ok::<_, zbus::Error>((name.to_owned(), value))
            }
        });
        let values =
            try_join_all(gets).await.map_err(|e| call_failed(&format!("look at {service}"), &e))?;
        let map = values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Ok(ServiceProps::new(service, map))
    }

    /// One property; `None` when this systemd does not have it.
    pub(super) async fn property(
        &self,
        path: &str,
        interface: &str,
        name: &str,
    ) -> zbus::Result<Option<OwnedVariant>> {
        let properties = Some("org.freedesktop.DBus.Properties");
        let body = &(interface, name);
        match self.connection.call_method(Some(BUS_NAME), path, properties, "Get", body).await {
            Ok(reply) => reply.body().deserialize().map(Some),
            Err(zbus::Error::FDO(e))
                if matches!(
                    *e,
                    fdo::Error::UnknownProperty(_) | fdo::Error::UnknownInterface(_)
                ) =>
            {
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// The units that want or require a service, and how many seconds its start may take (`None`:
    /// any number); nobody where there is no such service.
    pub async fn wanted_by(&self, service: &str) -> Result<(Vec<String>, Option<u64>)> {
        let path = unit_path(service);
        let failed = |e: zbus::Error| call_failed(&format!("look at {service}"), &e);
        let mut units = Vec::new();
        for name in ["WantedBy", "RequiredBy"] {
            let value = self.property(&path, UNIT, name).await.map_err(failed)?;
            units.extend(value.and_then(|v| Vec::<String>::try_from(v).ok()).unwrap_or_default());
        }
        let limit = self.property(&path, SERVICE, "TimeoutStartUSec").await.map_err(failed)?;
        let limit = limit.and_then(|v| u64::try_from(v).ok()).filter(|us| *us != u64::MAX);
        Ok((units, limit.map(|us| us / 1_000_000)))
    }

    /// Those of the services whose unit files changed since systemd read them. By itself, because
    /// systemd searches the disk for each: 2 ms a unit.
    pub async fn need_reload<S: AsRef<str>>(&self, services: &[S]) -> Result<Vec<String>> {
        let asks = services.iter().map(|service| {
            let service = service.as_ref();
            async move {
                let path = unit_path(service);
                let value = self.property(&path, UNIT, "NeedDaemonReload").await?;
                let needed = value.is_some_and(|v| bool::try_from(v).unwrap_or(false));
                Ok(needed.then(|| service.to_owned()))
            }
        });
        let needed = try_join_all(asks).await.map_err(|e| call_failed("look at the units", &e))?;
        Ok(needed.into_iter().flatten().collect())
    }

    /// The control group of each service, empty for one that has none: all questions are sent
    /// before the first answer is read.
    pub async fn control_groups(&self, services: &[&str]) -> Result<Vec<String>> {
        let asks = services.iter().map(|service| async move {
            let value = self.property(&unit_path(service), SERVICE, "ControlGroup").await?;
            Ok(value.and_then(|v| String::try_from(v).ok()).unwrap_or_default())
        });
        try_join_all(asks).await.map_err(|e| call_failed("look at the services", &e))
    }

    /// Keeps services in systemd's memory as long as this connection lasts. One that is stopped is
    /// else read from disk again for each question about it.
    pub async fn hold<S: AsRef<str>>(&self, services: &[S]) -> Result<()> {
        let held = services.iter().map(|s| async move {
            match self.manager.ref_unit(s.as_ref()).await {
                // What is not there cannot be held, and an old systemd only takes longer.
                Err(zbus::Error::MethodError(..)) | Ok(()) => Ok(()),
                Err(e) => Err(e),
            }
        });
        try_join_all(held).await.map(drop).map_err(|e| call_failed("look at the units", &e))
    }

    /// Everything about many services: all questions are sent before the first answer is read.
    pub async fn properties_of<S: AsRef<str>>(&self, services: &[S]) -> Result<Vec<ServiceProps>> {
        try_join_all(services.iter().map(|s| self.properties(s.as_ref()))).await
    }

    /// The environment that the manager gives to generators and services, `NAME=VALUE` each.
    pub async fn environment(&self) -> Result<Vec<String>> {
        self.manager.environment().await.map_err(|e| call_failed("read systemd's environment", &e))
    }

    /// A variable of the manager's environment.
    pub async fn variable(&self, name: &str) -> Result<Option<String>> {
        let environment = self.environment().await?;
        Ok(environment
            .iter()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned()))
    }

    /// The manager's `XDG_CONFIG_HOME`, below which the generators look for quadlets; its default
    /// where it is not set. `None` when the manager has no home either.
    pub async fn config_home(&self) -> Result<Option<Utf8PathBuf>> {
        Ok(match self.variable("XDG_CONFIG_HOME").await? {
            Some(dir) if dir.starts_with('/') => Some(dir.into()),
            _ => self.variable("HOME").await?.map(|home| Utf8PathBuf::from(home).join(".config")),
        })
    }

    /// When the manager was started: with the user's session, or with the machine.
    pub async fn manager_since(&self) -> Result<Option<SystemTime>> {
        let since = self
            .manager
            .userspace_timestamp()
            .await
            .map_err(|e| call_failed("read when systemd was started", &e))?;
        Ok((since != 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_micros(since)))
    }

    /// systemd's version, as it says it.
    pub async fn version(&self) -> Result<String> {
        self.manager.version().await.map_err(|e| call_failed("read systemd's version", &e))
    }

    /// Forgets that a unit failed, and how often it was started lately: five starts within ten
    /// seconds are refused otherwise (systemd.unit(5), `StartLimitBurst=`).
    pub async fn reset_failed<S: AsRef<str>>(&self, services: &[S]) -> Result<()> {
        for service in services {
            match self.manager.reset_failed_unit(service.as_ref()).await {
                // Not in memory: there is nothing to forget.
                Err(e) if error_name(&e) == Some("org.freedesktop.systemd1.NoSuchUnit") => {}
                Err(e) => {
                    return Err(call_failed(&format!("reset {}", service.as_ref()), &e));
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

fn socket(env: &Env) -> String {
    format!("/run/user/{}/bus", env.uid)
}

/// The error for a bus that cannot be reached. `running`: whether the user's bus is at its usual
/// place; `why`: what connecting said, `None` when the environment named no bus.
#[must_use]
pub fn no_bus(env: &Env, running: bool, why: Option<&str>) -> Error {
    let error = match why {
        Some(why) => Error::host("cannot reach the user's systemd").cause(why.to_owned()),
        None => Error::host("there is no session of the user's systemd here")
            .cause("neither XDG_RUNTIME_DIR nor DBUS_SESSION_BUS_ADDRESS is set"),
    };
    let (uid, user) = (env.uid, &env.user);
    if uid == 0 {
        return error
            .hint("run ragpod as an ordinary user; as root, for one: machinectl shell USER@");
    }
    if running {
        let unset = if env.bus_address.is_some() { "unset DBUS_SESSION_BUS_ADDRESS; " } else { "" };
        error
            .hint(format!("{unset}export XDG_RUNTIME_DIR=/run/user/{uid}"))
            .hint(format!("after `su` or `sudo -u`, open a real session: machinectl shell {user}@"))
    } else {
        error
            .hint(format!(
                "let the user's systemd run without a login: sudo loginctl enable-linger {user}"
            ))
            .hint(format!("then: export XDG_RUNTIME_DIR=/run/user/{uid}"))
            .hint(format!("after `su` or `sudo -u`, open a real session: machinectl shell {user}@"))
    }
}

/// The D-Bus name of a method error.
pub(super) fn error_name(e: &zbus::Error) -> Option<&str> {
    match e {
        zbus::Error::MethodError(name, _, _) => Some(name.as_str()),
        _ => None,
    }
}

/// The error for a call that failed. What systemd says is worth more than the name of its error.
pub(super) fn call_failed(what: &str, e: &zbus::Error) -> Error {
    match e {
        zbus::Error::MethodError(name, text, _) => {
            let said = text.clone().unwrap_or_else(|| name.to_string());
            Error::failed(format!("cannot {what}")).cause(said)
        }
        zbus::Error::InputOutput(io) if io.kind() == std::io::ErrorKind::TimedOut => {
            Error::host(format!("cannot {what}: systemd does not answer"))
                .hint("see what it is doing: systemctl --user list-jobs")
        }
        zbus::Error::InputOutput(_) => lost(what).cause(e.to_string()),
        zbus::Error::FDO(fdo) => match &**fdo {
            fdo::Error::NoReply(_)
            | fdo::Error::Disconnected(_)
            | fdo::Error::ServiceUnknown(_)
            | fdo::Error::NameHasNoOwner(_) => lost(what).cause(e.to_string()),
            fdo => Error::failed(format!("cannot {what}")).cause(fdo.to_string()),
        },
        e => Error::failed(format!("cannot {what}")).cause(e.to_string()),
    }
}

/// The bus went away.
pub(super) fn lost(what: &str) -> Error {
    Error::new(Kind::Host, format!("cannot {what}: the connection to the user's systemd was lost"))
        .hint("see whether it runs: systemctl --user is-system-running")
        .hint("then run the same command again; it goes on where this one stopped")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(uid: u32) -> Env {
        let mut env = Env::from_process().unwrap();
        env.uid = uid;
        env.user = "ann".to_owned();
        env.runtime_dir = None;
        env.bus_address = None;
        env
    }

    #[test]
    fn each_missing_bus_has_its_cure() {
        let e = no_bus(&env(1000), true, None);
        assert_eq!(e.kind.exit_code(), 3);
        assert_eq!(e.hints()[0], "export XDG_RUNTIME_DIR=/run/user/1000");
        let e = no_bus(&env(1000), false, Some("x: connection refused"));
        assert!(e.hints()[0].ends_with("sudo loginctl enable-linger ann"), "{e:?}");
        assert!(e.causes[0].contains("refused"));
        assert!(no_bus(&env(0), true, None).hints()[0].contains("ordinary user"));
    }

    #[tokio::test]
    async fn a_dead_socket_is_the_hosts_fault() {
        let mut env = env(1000);
        env.runtime_dir = Some("/nonexistent".into());
        assert_eq!(Systemd::connect(&env).await.unwrap_err().kind, Kind::Host);
        env.runtime_dir = None;
        assert_eq!(Systemd::connect(&env).await.unwrap_err().kind, Kind::Host);
    }
}
