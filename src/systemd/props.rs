//! A service's properties, as the bus gives them.

use std::collections::HashMap;

use camino::Utf8Path;
use zbus::OwnedVariant;

use crate::error::{Error, Kind, Result};

pub(super) const UNIT: &str = "org.freedesktop.systemd1.Unit";
pub(super) const SERVICE: &str = "org.freedesktop.systemd1.Service";

/// What is asked of each service, one by one: `GetAll` makes systemd count and search for two
/// hundred more, which takes five times as long.
pub(super) const PROPERTIES: [(&str, &str); 15] = [
    (UNIT, "LoadState"),
    (UNIT, "ActiveState"),
    (UNIT, "SubState"),
    (UNIT, "ActiveEnterTimestamp"),
    (UNIT, "StateChangeTimestamp"),
    (UNIT, "SourcePath"),
    (UNIT, "FragmentPath"),
    (UNIT, "DropInPaths"),
    (SERVICE, "Result"),
    (SERVICE, "ExecMainStatus"),
    (SERVICE, "NRestarts"),
    (SERVICE, "MemoryCurrent"),
    (SERVICE, "MemoryMax"),
    (SERVICE, "ControlGroup"),
    (SERVICE, "StatusText"),
];

/// What is known of a service's unit: org.freedesktop.systemd1(5), the Unit and Service interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceProps {
    /// The unit's name.
    pub service: String,
    /// `loaded`, `not-found`, `bad-setting`, `error`, `masked`.
    pub load_state: String,
    /// `active`, `reloading`, `inactive`, `failed`, `activating`, `deactivating`.
    pub active_state: String,
    /// Finer: `running`, `exited`, `start`, `start-pre`, `auto-restart`, `dead`, ….
    pub sub_state: String,
    /// How it ended: `success`, `exit-code`, `signal`, `timeout`, `start-limit-hit`, `oom-kill`, ….
    pub result: String,
    /// The main process's exit code, or signal.
    pub exec_main_status: i32,
    /// How often systemd has restarted it by itself since it was last started.
    pub n_restarts: u32,
    /// Memory in use now, in bytes; `None` when nobody counts.
    pub memory_current: Option<u64>,
    /// The most memory it may have, in bytes; `None` when there is no limit.
    pub memory_max: Option<u64>,
    /// When it became active, in microseconds since 1970; `None` when it never did.
    pub active_enter_timestamp: Option<u64>,
    /// When its state changed last, in microseconds since 1970; `None` when it never did.
    pub state_change_timestamp: Option<u64>,
    /// Its control group, empty when it has none.
    pub control_group: String,
    /// The quadlet that it was generated from; empty before 5.0 for networks and volumes.
    pub source_path: String,
    /// The unit file that is in effect. A generated one lies in the runtime directory; anything
    /// else hides what was generated.
    pub fragment_path: String,
    /// The drop-ins in effect.
    pub drop_in_paths: Vec<String>,
    /// What the service says of itself (`STATUS=`, see `sd_notify(3)`).
    pub status_text: String,
}

impl ServiceProps {
    pub(super) fn new(service: &str, mut map: HashMap<String, OwnedVariant>) -> Self {
        let mut props = Props(&mut map);
        Self {
            service: service.to_owned(),
            load_state: props.text("LoadState"),
            active_state: props.text("ActiveState"),
            sub_state: props.text("SubState"),
            result: props.text("Result"),
            exec_main_status: props.take("ExecMainStatus").unwrap_or_default(),
            n_restarts: props.take("NRestarts").unwrap_or_default(),
            memory_current: props.amount("MemoryCurrent"),
            memory_max: props.amount("MemoryMax"),
            active_enter_timestamp: props.take("ActiveEnterTimestamp").filter(|t| *t != 0),
            state_change_timestamp: props.take("StateChangeTimestamp").filter(|t| *t != 0),
            control_group: props.text("ControlGroup"),
            source_path: props.text("SourcePath"),
            fragment_path: props.text("FragmentPath"),
            drop_in_paths: props.take("DropInPaths").unwrap_or_default(),
            status_text: props.text("StatusText"),
        }
    }

    /// Whether its unit is there.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.load_state == "loaded"
    }

    /// Whether it is on its way from one state to another. A failed start counts: systemd cleans
    /// up (`deactivating`), and only then is it decided whether there is another try.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        ["activating", "deactivating", "reloading", "refreshing"]
            .contains(&self.active_state.as_str())
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active_state == "active"
    }
}

/// Whether systemd runs what was installed in `units`: every unit loaded, generated from a file
/// there, and hidden by no other unit file.
///
/// # Errors
/// [`Kind::Unit`], with what is in the way and how to see it.
pub fn check_loaded(props: &[ServiceProps], units: &Utf8Path) -> Result<()> {
    for unit in props {
        let service = &unit.service;
        if unit.fragment_path.is_empty() && !unit.is_loaded() {
            return Err(Error::new(
                Kind::Unit,
                format!("systemd does not see {service} after the reload ({})", unit.load_state),
            )
            .cause(format!("its quadlet is in {units}"))
            .hint("see whether systemd looks for units there: ragpod doctor")
            .hint("see what the generator says: journalctl --quiet -b | grep quadlet-generator"));
        }
        if !unit.is_loaded() || stranger(unit, units).is_some() {
            return Err(not_ours(unit, units));
        }
    }
    Ok(())
}

/// Whether nobody else's unit has one of these names: each is unknown to systemd, or is what was
/// installed in `units` before.
///
/// # Errors
/// [`Kind::Unit`], with what is in the way and how to see it.
pub fn check_free(props: &[ServiceProps], units: &Utf8Path) -> Result<()> {
    match props.iter().find(|u| !u.fragment_path.is_empty() && stranger(u, units).is_some()) {
        Some(unit) => Err(not_ours(unit, units)),
        None => Ok(()),
    }
}

/// The file that a unit is made from, when that is none of those in `units`, and whether it hides
/// what a generator makes.
fn stranger<'a>(unit: &'a ServiceProps, units: &Utf8Path) -> Option<(&'a str, bool)> {
    if !unit.fragment_path.contains("/systemd/generator") {
        return Some((&unit.fragment_path, true));
    }
    let elsewhere =
        !unit.source_path.is_empty() && !Utf8Path::new(&unit.source_path).starts_with(units);
    elsewhere.then_some((&unit.source_path, false))
}

fn not_ours(unit: &ServiceProps, units: &Utf8Path) -> Error {
    let error = Error::new(Kind::Unit, format!("{} is not ragpod's unit", unit.service));
    let (path, why) = match stranger(unit, units) {
        Some((path, true)) => (path, format!("{path} hides what ragpod installs")),
        Some((path, false)) => (path, format!("it is made from {path}")),
        None => (&*unit.fragment_path, format!("its load state is {:?}", unit.load_state)),
    };
    error.cause(why).hint(format!("look at it, and move it away if you do not need it: {path}"))
}

struct Props<'a>(&'a mut HashMap<String, OwnedVariant>);

impl Props<'_> {
    fn take<T: TryFrom<OwnedVariant>>(&mut self, name: &str) -> Option<T> {
        self.0.remove(name)?.try_into().ok()
    }

    fn text(&mut self, name: &str) -> String {
        self.take(name).unwrap_or_default()
    }

    /// `u64::MAX` stands for "unlimited" and "not known".
    fn amount(&mut self, name: &str) -> Option<u64> {
        self.take(name).filter(|n| *n != u64::MAX)
    }
}

/// The object path of a unit: everything but ASCII letters and digits as `_XX`, like
/// `sd_bus_path_encode(3)`.
pub(super) fn unit_path(unit: &str) -> String {
    use std::fmt::Write;
    let mut path = String::from("/org/freedesktop/systemd1/unit/");
    if unit.is_empty() {
        path.push('_');
    }
    for (i, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (i > 0 && byte.is_ascii_digit()) {
            path.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(path, "_{byte:02x}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_units() {
        assert_eq!(
            unit_path("hybridrag-a-pod.service"),
            "/org/freedesktop/systemd1/unit/hybridrag_2da_2dpod_2eservice"
        );
        assert_eq!(unit_path("1a1"), "/org/freedesktop/systemd1/unit/_31a1");
    }

    #[test]
    fn properties_are_typed_and_unlimited_is_none() {
        let map: HashMap<String, OwnedVariant> = [
            ("ActiveState", zbus::Variant::new("active")),
            ("MemoryCurrent", zbus::Variant::new(4096_u64)),
            ("MemoryMax", zbus::Variant::new(u64::MAX)),
            ("NRestarts", zbus::Variant::new(2_u32)),
            ("ExecMainStatus", zbus::Variant::new("a wrong type")),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.try_into().unwrap()))
        .collect();
        let props = ServiceProps::new("x.service", map);
        assert!(props.is_active());
        assert_eq!((props.memory_current, props.memory_max), (Some(4096), None));
        assert_eq!((props.n_restarts, props.exec_main_status), (2, 0));
    }

    #[test]
    fn units_that_are_not_what_was_installed() {
        let units = Utf8Path::new("/h/.config/containers/systemd/ragpod");
        let good = ServiceProps {
            service: "hybridrag-a-app.service".into(),
            load_state: "loaded".into(),
            fragment_path: "/run/user/1000/systemd/generator/hybridrag-a-app.service".into(),
            source_path: format!("{units}/hybridrag-a-app.container"),
            ..ServiceProps::default()
        };
        let of = |change: fn(&mut ServiceProps)| {
            let mut props = good.clone();
            change(&mut props);
            check_loaded(&[good.clone(), props], units).map_err(|e| e.to_string())
        };
        assert_eq!(of(|_| {}), Ok(()));
        // Networks and volumes had no source path once.
        assert_eq!(of(|p| p.source_path.clear()), Ok(()));
        let absent = of(|p| {
            *p = ServiceProps {
                service: "x".into(),
                load_state: "not-found".into(),
                ..Default::default()
            };
        });
        assert!(absent.unwrap_err().contains("does not see x"));
        let hidden = of(|p| p.fragment_path = "/h/.config/systemd/user/x.service".into());
        assert!(hidden.unwrap_err().contains("/h/.config/systemd/user/x.service hides"));
        let masked = of(|p| {
            p.load_state = "masked".into();
            p.fragment_path = "/dev/null".into();
        });
        assert!(masked.unwrap_err().contains("hides"));
        let other = of(|p| p.source_path = "/h/.config/containers/systemd/x.container".into());
        assert!(other.unwrap_err().contains("made from"));
        assert!(of(|p| p.load_state = "bad-setting".into()).unwrap_err().contains("bad-setting"));
    }
}
