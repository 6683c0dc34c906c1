//! What Podman says of the containers and networks that are there.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::containers::{Container, nullable};
use super::{Podman, settled};
use crate::error::{Error, Result};

/// A container, as `podman container inspect` describes it; what matters for its isolation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Inspected {
    /// Its name.
    pub name: String,
    /// The name of its image.
    pub image_name: String,
    /// What its processes may do at most, `CAP_…`.
    #[serde(deserialize_with = "nullable")]
    pub bounding_caps: Vec<String>,
    /// How it was made.
    pub host_config: HostConfig,
    /// Its networks.
    pub network_settings: NetworkSettings,
    /// Volumes and folders in it.
    #[serde(deserialize_with = "nullable")]
    pub mounts: Vec<Mount>,
}

/// Containers that run.
#[derive(Clone, Debug, Default)]
pub struct Running {
    /// As `podman ps` lists them.
    pub containers: Vec<Container>,
    /// What `podman container inspect` says of them, as it is.
    pub described: String,
    /// What matters of that.
    pub inspected: Vec<Inspected>,
}

/// `HostConfig` in `podman container inspect`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// The root file system is read-only.
    pub readonly_rootfs: bool,
    /// Made with `--privileged`.
    pub privileged: bool,
    /// `bridge`, `container:ID`, `host`, ….
    pub network_mode: String,
    /// `private`, `host`, ….
    pub pid_mode: String,
    /// `private`, `host`, `container:ID`, ….
    pub ipc_mode: String,
    /// Its user namespace.
    pub userns_mode: String,
    /// `no-new-privileges`, `seccomp=unconfined`, ….
    #[serde(deserialize_with = "nullable")]
    pub security_opt: Vec<String>,
    /// Devices of the host in it.
    #[serde(deserialize_with = "nullable")]
    pub devices: Vec<serde_json::Value>,
    /// The ports that it was made with.
    #[serde(deserialize_with = "nullable")]
    pub port_bindings: Ports,
    /// All exposed ports are published.
    pub publish_all_ports: bool,
}

/// Ports of a container (`5432/tcp`) and where the host listens for them.
pub type Ports = BTreeMap<String, Option<Vec<Binding>>>;

/// Where the host listens for a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Binding {
    /// The host's address; empty for all.
    pub host_ip: String,
    /// The host's port.
    pub host_port: String,
}

/// `NetworkSettings` in `podman container inspect`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkSettings {
    /// Ports that are exposed, and published where they have a binding.
    #[serde(deserialize_with = "nullable")]
    pub ports: Ports,
    /// Its place in each network, by the network's name.
    #[serde(deserialize_with = "nullable")]
    pub networks: BTreeMap<String, Attachment>,
}

/// A container's place in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// Its address; empty while it is not connected.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// The network's own address.
    #[serde(rename = "Gateway")]
    pub gateway: String,
}

/// A volume or folder in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// `volume`, `bind`, ….
    #[serde(rename = "Type")]
    pub kind: String,
    /// The volume's name.
    #[serde(rename = "Name")]
    pub name: String,
    /// Where it lies on the host.
    #[serde(rename = "Source")]
    pub source: String,
    /// Where the container sees it.
    #[serde(rename = "Destination")]
    pub destination: String,
    /// The container may write to it.
    #[serde(rename = "RW")]
    pub writable: bool,
}

/// A network, as `podman network inspect` describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NetworkInfo {
    /// Its name.
    pub name: String,
    /// `bridge`, `macvlan`, ….
    pub driver: String,
    /// Its interface, where containers are on it.
    pub network_interface: String,
    /// It has no way out.
    pub internal: bool,
    /// Its driver's options: `isolate`, ….
    #[serde(deserialize_with = "nullable")]
    pub options: BTreeMap<String, String>,
}

impl Podman {
    /// The containers of all instances that run, and what Podman says of each: two calls, and more
    /// where one goes between the two.
    pub fn inspect_running(&self) -> Result<Running> {
        let list = || -> Result<Vec<Container>> {
            Ok(self.ps_all()?.into_iter().filter(|c| c.state == "running").collect())
        };
        let ids = |all: &Vec<Container>| all.iter().map(|c| c.id.clone()).collect::<BTreeSet<_>>();
        let (containers, (described, inspected)) =
            settled(list, ids, |all| self.inspect(all.iter().filter_map(|c| c.names.first())))?;
        Ok(Running { containers, described, inspected })
    }

    /// Describes containers, all in one call. One that is not there is an error.
    fn inspect<'a>(
        &self,
        names: impl Iterator<Item = &'a String>,
    ) -> Result<(String, Vec<Inspected>)> {
        let mut names = names.peekable();
        if names.peek().is_none() {
            return Ok((String::new(), Vec::new()));
        }
        let text = self.cmd(["container", "inspect", "--"]).args(names).stdout()?;
        let parsed = serde_json::from_str(&text).map_err(|e| {
            Error::failed(
                "podman container inspect printed something that is not the JSON expected",
            )
            .cause(e.to_string())
        })?;
        Ok((text, parsed))
    }

    /// Describes all networks.
    pub fn networks(&self) -> Result<Vec<NetworkInfo>> {
        self.cmd(["network", "ls", "--format", "json"]).json()
    }

    /// Whether each interface of the network namespace that rootless containers share forwards
    /// packets. To be asked only while a container runs: Podman would make the namespace.
    pub fn forwarding(&self) -> Result<BTreeMap<String, bool>> {
        const LIST: &str = "cd /proc/sys/net/ipv4/conf && grep -H . */forwarding";
        let text = self.cmd(["unshare", "--rootless-netns", "sh", "-c", LIST]).stdout()?;
        Ok(text
            .lines()
            .filter_map(|line| line.split_once("/forwarding:"))
            .map(|(interface, value)| (interface.to_owned(), value.trim() == "1"))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    /// A `ps` that lists the names in `$0.ps`, one a line.
    const PS: &str = r#"
        list() {
            sed 's/.*/{"Id":"id-&","Names":["&"],"State":"running"}/' "$0.ps" | paste -sd, | sed 's/.*/[&]/'
        }"#;

    #[test]
    fn one_call_for_all_containers() {
        let (dir, podman) = fake::podman(&format!(
            r#"{PS}
case "$1" in ps) list; exit;; esac
cat <<'E'
[{{"Name":"a","ImageName":"localhost/x:1","BoundingCaps":null,"Mounts":[{{"Type":"bind",
  "Source":"/s","Destination":"/d","RW":false}}],"HostConfig":{{"ReadonlyRootfs":true,
  "NetworkMode":"container:9","PortBindings":{{"5432/tcp":[{{"HostIp":"","HostPort":"15432"}}]}},
  "SecurityOpt":["no-new-privileges"],"Devices":[]}},
  "NetworkSettings":{{"Ports":{{"5432/tcp":null}},"Networks":{{"n":{{"IPAddress":"10.89.0.2",
  "Gateway":"10.89.0.1"}}}}}}}}]
E"#
        ));
        std::fs::write(dir.path().join("podman.ps"), "a\n").unwrap();
        let Running { containers, described, inspected: all } = podman.inspect_running().unwrap();
        assert_eq!(containers[0].id, "id-a");
        assert!(described.contains("15432"));
        assert!(all[0].host_config.readonly_rootfs && !all[0].mounts[0].writable);
        assert_eq!(all[0].network_settings.networks["n"].ip_address, "10.89.0.2");
        assert_eq!(all[0].network_settings.ports["5432/tcp"], None);
        assert!(fake::calls(&dir).ends_with("container inspect -- a\n"));
        std::fs::write(dir.path().join("podman.ps"), "").unwrap();
        assert!(podman.inspect_running().unwrap().inspected.is_empty());
    }

    #[test]
    fn one_that_goes_between_the_list_and_the_look_does_not_count() {
        let body = format!(
            r#"{PS}
case "$1,$*" in
    ps,*) list;;
    *b*) sed -i /b/d "$0.ps"; echo '[{{"Name":"a"}}]'; echo 'Error: no such container b' >&2; exit 125;;
    *) echo '[{{"Name":"a"}}]';;
esac"#
        );
        let (dir, podman) = fake::podman(&body);
        std::fs::write(dir.path().join("podman.ps"), "a\nb\n").unwrap();
        let now = podman.inspect_running().unwrap();
        assert_eq!((now.containers.len(), now.inspected.len()), (1, 1));
        // One that stays and cannot be looked at is an error.
        let stays = body.replace("sed -i /b/d \"$0.ps\";", "");
        let (dir, podman) = fake::podman(&stays);
        std::fs::write(dir.path().join("podman.ps"), "a\nb\n").unwrap();
        assert_eq!(podman.inspect_running().unwrap_err().causes, ["Error: no such container b"]);
    }

    #[test]
    fn which_bridges_forward() {
        let (_dir, podman) =
            fake::podman("printf 'all/forwarding:1\\npodman1/forwarding:0\\nnoise\\n'");
        let all = podman.forwarding().unwrap();
        assert_eq!((all["all"], all["podman1"], all.len()), (true, false, 2));
    }
}
