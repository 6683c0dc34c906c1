//! The process's surroundings, read once: the only reader of environment variables.

use std::collections::BTreeMap;
use std::env;
use std::io::IsTerminal;

use camino::Utf8PathBuf;

use crate::error::{Error, Result};

/// Where things lie for this user, and what kind of terminal this is.
///
/// Directories follow the XDG Base Directory Specification: a relative value counts as unset.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own.
pub struct Env {
    /// `$HOME`, or the passwd entry's.
    pub home: Utf8PathBuf,
    /// `$XDG_CONFIG_HOME`, default `~/.config`.
    pub config_home: Utf8PathBuf,
    /// `$XDG_STATE_HOME`, default `~/.local/state`.
    pub state_home: Utf8PathBuf,
    /// `$XDG_DATA_HOME`, default `~/.local/share`.
    pub data_home: Utf8PathBuf,
    /// `$XDG_RUNTIME_DIR`, where set.
    pub runtime_dir: Option<Utf8PathBuf>,
    /// `$DBUS_SESSION_BUS_ADDRESS`, where set.
    pub bus_address: Option<String>,
    /// The real user id.
    pub uid: u32,
    /// The login name, for hints such as `loginctl enable-linger NAME`.
    pub user: String,
    /// `$RAGPOD_HOST`: the machine that commands run on, where set.
    pub host: Option<String>,
    /// Standard input is a terminal: prompts are allowed.
    pub stdin_tty: bool,
    /// Standard output is a terminal.
    pub stdout_tty: bool,
    /// Standard error is a terminal: live progress is allowed.
    pub stderr_tty: bool,
    /// `$RAGPOD_SCHEDULED` is set: ragpod runs this by itself, and it is nobody's use.
    pub scheduled: bool,
}

impl Env {
    /// Reads the surroundings of this process.
    ///
    /// # Errors
    /// [`Kind::Host`](crate::error::Kind::Host) when there is no home directory, or it is not UTF-8
    /// (unit files are text).
    pub fn from_process() -> Result<Self> {
        let uid = nix::unistd::getuid();
        let passwd = nix::unistd::User::from_uid(uid).ok().flatten();
        let home = match absolute("HOME")? {
            Some(home) => home,
            None => passwd
                .as_ref()
                .and_then(|p| Utf8PathBuf::from_path_buf(p.dir.clone()).ok())
                .ok_or_else(|| {
                    Error::host("there is no home directory")
                        .hint("set HOME to a directory of yours")
                })?,
        };
        Ok(Self {
            config_home: absolute("XDG_CONFIG_HOME")?.unwrap_or_else(|| home.join(".config")),
            state_home: absolute("XDG_STATE_HOME")?.unwrap_or_else(|| home.join(".local/state")),
            data_home: absolute("XDG_DATA_HOME")?.unwrap_or_else(|| home.join(".local/share")),
            runtime_dir: absolute("XDG_RUNTIME_DIR")?,
            bus_address: env::var("DBUS_SESSION_BUS_ADDRESS").ok().filter(|v| !v.is_empty()),
            host: env::var("RAGPOD_HOST").ok(),
            uid: uid.as_raw(),
            user: passwd.map_or_else(|| uid.to_string(), |p| p.name),
            stdin_tty: std::io::stdin().is_terminal(),
            stdout_tty: std::io::stdout().is_terminal(),
            stderr_tty: std::io::stderr().is_terminal(),
            scheduled: env::var_os("RAGPOD_SCHEDULED").is_some(),
            home,
        })
    }

    /// Manifests: `$XDG_CONFIG_HOME/ragpod/instances`.
    #[must_use]
    pub fn manifests(&self) -> Utf8PathBuf {
        self.config_home.join("ragpod/instances")
    }

    /// The flat directory of installed units: `$XDG_CONFIG_HOME/containers/systemd/ragpod`.
    #[must_use]
    pub fn units(&self) -> Utf8PathBuf {
        self.config_home.join("containers/systemd/ragpod")
    }

    /// The same with the user's runtime directory where it always is, if it is there and nothing
    /// says where it lies: clients of the Model Context Protocol start programs with little of
    /// their environment.
    #[must_use]
    pub fn with_runtime_dir(&self) -> Self {
        let mut env = self.clone();
        if env.runtime_dir.is_none() && env.bus_address.is_none() {
            let usual = Utf8PathBuf::from(format!("/run/user/{}", env.uid));
            env.runtime_dir = Some(usual).filter(|dir| dir.is_dir());
        }
        env
    }

    /// The variables that somebody set to another directory than the usual one: a program of ours
    /// that is started without them would look elsewhere.
    #[must_use]
    pub fn unusual_dirs(&self) -> BTreeMap<&'static str, String> {
        [
            ("XDG_CONFIG_HOME", &self.config_home, ".config"),
            ("XDG_STATE_HOME", &self.state_home, ".local/state"),
            ("XDG_DATA_HOME", &self.data_home, ".local/share"),
        ]
        .into_iter()
        .filter(|(_, dir, usual)| **dir != self.home.join(usual))
        .map(|(name, dir, _)| (name, dir.to_string()))
        .collect()
    }

    /// Where the backups of all instances lie, a directory for each: `$XDG_DATA_HOME/ragpod/backups`.
    #[must_use]
    pub fn backups(&self) -> Utf8PathBuf {
        self.data_home.join("ragpod/backups")
    }

    /// State of all instances: `$XDG_STATE_HOME/ragpod`.
    #[must_use]
    pub fn state(&self) -> Utf8PathBuf {
        self.state_home.join("ragpod")
    }
}

fn absolute(name: &str) -> Result<Option<Utf8PathBuf>> {
    let Some(value) = env::var_os(name).filter(|v| !v.is_empty()) else { return Ok(None) };
    let path = Utf8PathBuf::from_path_buf(value.into()).map_err(|p| {
        Error::host(format!("{name} is not UTF-8: {}", p.display()))
            .hint(format!("set {name} to a directory whose path is UTF-8 text"))
    })?;
    Ok(path.is_absolute().then_some(path))
}
