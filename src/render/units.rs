//! The templates and their values: one struct for each unit.

use askama::Template;
use camino::Utf8Path;

use super::encode::{Line, Plain, Raw, Refused, Words};
use super::environment::CA_FILE;
use super::filters;
use super::versions::{Key, Known};
use super::{Target, environment};
use crate::model::{Bytes, Command, ImageRef, Instance, Part, Relaxation, SecretKey};

/// The label that everything of an instance has.
const LABEL: &str = "io.ragpod.instance";
/// The user and group that `PostgreSQL` runs as in its container.
const POSTGRES_UID: u32 = 999;
/// The user and group that the engine runs as: in the pod's mapping, the user's own.
const ENGINE_UID: u32 = 1000;
/// The user and group that the gateway runs as: Debian's `proxy`.
const EGRESS_UID: u32 = 13;

/// What every unit has.
struct Common {
    known: Known,
    stem: Plain,
    instance: Plain,
    file: Plain,
    description: Line,
    label: Words,
}

#[derive(Template)]
#[template(path = "pod.pod")]
struct Pod {
    unit: Common,
    gateway: bool,
    open: bool,
    autostart: bool,
    keep_in: Words,
}

#[derive(Template)]
#[template(path = "bridge.network")]
struct Network {
    unit: Common,
    name: Plain,
    internal: bool,
}

#[derive(Template)]
#[template(path = "data.volume")]
struct Volume {
    unit: Common,
    name: Plain,
}

/// What `hardening.container` prints, which every container's unit includes.
struct Hardened {
    user: Plain,
    read_only: bool,
    no_capabilities: bool,
    no_new_privileges: bool,
}

#[derive(Template)]
#[template(path = "postgres.container")]
struct Postgres {
    unit: Common,
    hardened: Hardened,
    container: Plain,
    image: Raw,
    local: bool,
    password: Words,
    environment: Vec<Words>,
    health: Raw,
    memory: Option<Plain>,
}

#[derive(Template)]
#[template(path = "app.container")]
struct App {
    unit: Common,
    hardened: Hardened,
    container: Plain,
    image: Raw,
    local: bool,
    gateway: bool,
    mounts: Vec<Words>,
    secrets: Vec<Words>,
    environment: Vec<Words>,
    serve: Option<Serve>,
    health: Option<Raw>,
    memory: Option<Plain>,
}

/// What runs in a container instead of its image's own program.
struct Serve {
    program: Raw,
    args: Vec<Words>,
}

#[derive(Template)]
#[template(path = "egress.container")]
struct Egress {
    unit: Common,
    hardened: Hardened,
    container: Plain,
    image: Raw,
    local: bool,
    environment: Vec<Words>,
    health: Raw,
}

/// The unit of one part, as a template that is ready to be printed.
pub(super) fn unit(
    part: Part,
    instance: &Instance,
    target: &Target,
) -> Result<Box<dyn askama::DynTemplate>, Refused> {
    let unit = Unit { part, instance, target };
    Ok(match part {
        Part::Pod => Box::new(unit.pod()?),
        Part::Network | Part::EgressNetwork => Box::new(unit.network()?),
        Part::PostgresVolume | Part::EngineVolume => Box::new(unit.volume()?),
        Part::Postgres => Box::new(unit.postgres()?),
        Part::App => Box::new(unit.app()?),
        Part::Egress => Box::new(unit.egress()?),
    })
}

struct Unit<'a> {
    part: Part,
    instance: &'a Instance,
    target: &'a Target,
}

impl Unit<'_> {
    fn common(&self) -> Result<Common, Refused> {
        const FIELD: &str = "instance.name";
        let name = &self.instance.name;
        let what = match self.part {
            Part::Pod => "pod",
            Part::Network => "internal network",
            Part::EgressNetwork => "network to the outside",
            Part::PostgresVolume => "data of PostgreSQL",
            Part::EngineVolume => "state of the engine",
            Part::Postgres => "PostgreSQL",
            Part::App => "engine",
            Part::Egress => "gateway to the allowed hosts",
        };
        Ok(Common {
            known: Known(self.target.podman),
            stem: Plain::one(FIELD, &name.stem())?,
            instance: Plain::one(FIELD, name.as_str())?,
            file: Plain::one(FIELD, &self.part.file(name))?,
            description: Line::one(FIELD, &format!("HybridRAG {name}: {what}"))?,
            label: Words::pair(FIELD, LABEL, name.as_str())?,
        })
    }

    /// What Podman calls the part.
    fn name(&self) -> Result<Plain, Refused> {
        Plain::one("instance.name", &self.part.podman_name(&self.instance.name))
    }

    /// The user that the container runs as.
    fn uid(&self, own: u32) -> u32 {
        let root = self.instance.hardening.relaxed(Relaxation::RootUser, self.part);
        if root { 0 } else { own }
    }

    fn hardened(&self, own: u32) -> Result<Hardened, Refused> {
        let holds = |rule| !self.instance.hardening.relaxed(rule, self.part);
        Ok(Hardened {
            user: Plain::one("hardening.root_user", &self.uid(own).to_string())?,
            read_only: holds(Relaxation::WritableRoot),
            no_capabilities: holds(Relaxation::KeepCapabilities),
            no_new_privileges: holds(Relaxation::NewPrivileges),
        })
    }

    /// `Secret=`: a file under `/run/secrets` that only its reader can read.
    fn secret(&self, key: &SecretKey, uid: u32) -> Result<Words, Refused> {
        let version = self.target.secrets.of(key);
        let (owner, group) = (format!("uid={uid}"), format!("gid={uid}"));
        let name = key.podman_name(&self.instance.name, version);
        let file = format!("target={key}");
        Words::csv("provider.api_key", &[&name, "type=mount", &file, &owner, &group, "mode=0400"])
    }

    fn pod(&self) -> Result<Pod, Refused> {
        Ok(Pod {
            unit: self.common()?,
            gateway: self.instance.egress.has_gateway(),
            open: self.instance.egress.has_network() && !self.instance.egress.has_gateway(),
            // One that stops when it is idle is started by its first use: a hundred of them at once
            // would be more than the machine can hold.
            autostart: self.instance.autostart && self.instance.schedule.idle_stop.is_none(),
            keep_in: self.keep_in()?,
        })
    }

    /// The script that keeps the bridge of the internal network from forwarding.
    fn keep_in(&self) -> Result<Words, Refused> {
        let network = Part::Network.podman_name(&self.instance.name);
        let inside = "cd /proc/sys/net/ipv4 && { grep -q 1 ip_forward || echo 1 > ip_forward; } \
                      && echo 0 > conf/$1/forwarding";
        let script = format!(
            "bridge=$(podman network inspect --format '{{{{.NetworkInterface}}}}' {network}) && \
             podman unshare --rootless-netns /bin/sh -c '{inside}' sh \"$bridge\""
        );
        Words::one("instance.name", &script)
    }

    fn network(&self) -> Result<Network, Refused> {
        let internal = self.part == Part::Network;
        Ok(Network { unit: self.common()?, name: self.name()?, internal })
    }

    fn volume(&self) -> Result<Volume, Refused> {
        Ok(Volume { unit: self.common()?, name: self.name()? })
    }

    fn postgres(&self) -> Result<Postgres, Refused> {
        let postgres = &self.instance.postgres;
        let (database, user) = (postgres.database.as_str(), postgres.user.as_str());
        let probe = ["pg_isready", "-q", "-h", "127.0.0.1", "-d", database, "-U", user];
        Ok(Postgres {
            unit: self.common()?,
            hardened: self.hardened(POSTGRES_UID)?,
            container: self.name()?,
            image: image(&postgres.image, "postgres.image")?,
            local: postgres.image.is_local(),
            password: self.secret(&SecretKey::postgres_password(), POSTGRES_UID)?,
            environment: environment::postgres(self.instance)?,
            health: Raw::command("postgres.database", &probe)?,
            memory: memory(postgres.memory, "postgres.memory")?,
        })
    }

    fn app(&self) -> Result<App, Refused> {
        let engine = &self.instance.engine;
        let secrets = self.instance.secret_keys();
        let reader = self.uid(ENGINE_UID);
        let sources = self.instance.sources.iter().map(|s| mount("source.path", &s.path, &s.mount));
        let ca_file = self.instance.provider.ca_file.iter();
        let ca_file = ca_file.map(|file| mount("provider.ca_file", file, CA_FILE.into()));
        Ok(App {
            unit: self.common()?,
            hardened: self.hardened(ENGINE_UID)?,
            container: self.name()?,
            image: image(&engine.image, "engine.image")?,
            local: engine.image.is_local(),
            gateway: self.instance.egress.has_gateway(),
            mounts: sources.chain(ca_file).collect::<Result<_, _>>()?,
            secrets: secrets
                .iter()
                .map(|key| self.secret(key, reader))
                .collect::<Result<_, _>>()?,
            environment: environment::app(self.instance)?,
            serve: self.serve()?,
            health: self.engine_health()?,
            memory: memory(engine.memory, "engine.memory")?,
        })
    }

    /// What keeps the app container up, where it is not its image's own program.
    fn serve(&self) -> Result<Option<Serve>, Refused> {
        const FIELD: &str = "engine.commands.serve";
        let Some(words) = self.command(Command::Serve) else { return Ok(None) };
        let Some((program, args)) = words.split_first() else { return Ok(None) };
        let args = args.iter().map(|word| Words::one(FIELD, word)).collect::<Result<_, _>>()?;
        Ok(Some(Serve { program: Raw::one(FIELD, program)?, args }))
    }

    /// `None`: the container is healthy while it runs.
    fn engine_health(&self) -> Result<Option<Raw>, Refused> {
        if self.instance.engine.profile.commands().is_none() {
            // -S and -E: neither site-packages nor the environment, so that the probe is cheap.
            let probe = ["python", "-S", "-E", "/app/hybridrag.py", "health"];
            return Raw::command("engine.image", &probe).map(Some);
        }
        self.command(Command::Health)
            .map(|words| Raw::command("engine.commands.health", &words))
            .transpose()
    }

    /// The words of a command of the profile's that has no placeholders.
    fn command(&self, command: Command) -> Option<Vec<&str>> {
        let argv = self.instance.engine.profile.commands()?.get(command)?;
        Some(argv.beginning())
    }

    fn egress(&self) -> Result<Egress, Refused> {
        let gateway = ImageRef::egress();
        // Somebody listens on port 3128 (0C38): a connection would be one more line in its log.
        let probe = ["grep", "-sqE", "^ *[0-9]+: [0-9A-F]+:0C38 [0-9A-F]+:0000 0A"];
        let probe = [&probe[..], &["/proc/net/tcp", "/proc/net/tcp6"]].concat();
        Ok(Egress {
            unit: self.common()?,
            hardened: self.hardened(EGRESS_UID)?,
            container: self.name()?,
            image: image(&gateway, "egress.mode")?,
            local: gateway.is_local(),
            environment: environment::egress(self.instance)?,
            health: Raw::command("egress.mode", &probe)?,
        })
    }
}

fn image(image: &ImageRef, field: &str) -> Result<Raw, Refused> {
    Raw::one(field, image.as_str())
}

fn memory(memory: Option<Bytes>, field: &str) -> Result<Option<Plain>, Refused> {
    memory.map(|bytes| Plain::one(field, &bytes.to_string())).transpose()
}

/// `Mount=`: a folder or file of the host, read-only. Not `Volume=`, which cannot say a path with a
/// colon.
fn mount(field: &str, from: &Utf8Path, to: &Utf8Path) -> Result<Words, Refused> {
    let (from, to) = (format!("source={from}"), format!("destination={to}"));
    Words::csv(field, &["type=bind", &from, &to, "ro=true"])
}
