//! Who may reach whom, drawn from the manifests: instances, their networks and gateways, what they
//! read and what they may reach. Pure: texts go in, a text comes out.

mod svg;
mod text;

use camino::Utf8Path;

use crate::model::{Egress, Instance, Part};

pub use svg::svg;
pub use text::text;

/// An instance, as it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    name: String,
    /// The engine and the provider.
    engine: String,
    /// The folders that it reads.
    sources: Vec<String>,
    /// The internal network that its pod is on.
    network: String,
    /// Where it may go from there.
    way: Way,
}

/// The way out of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// There is none.
    Nowhere,
    /// Through the gateway, on its network, to these.
    Allowed(String, Vec<String>),
    /// An ordinary network, to whatever the host reaches.
    Anywhere(String),
}

/// What a drawing says below its instances.
const LEGEND: [&str; 3] = [
    "You reach an instance by podman exec alone: no port is published.",
    "No instance reaches another: each has networks of its own.",
    "Sources are read-only.",
];

/// Of a pod on an ordinary network.
const ANYWHERE: &str = "whatever this machine reaches, services on it too";
/// Of a pod without a way out.
const NOWHERE: &str = "nothing: there is no way out";

impl Drawn {
    /// How an instance is drawn. Folders below `home` begin with `~`.
    #[must_use]
    pub fn new(instance: &Instance, home: &Utf8Path) -> Self {
        let source = |source: &crate::model::Source| {
            let path = match source.path.strip_prefix(home) {
                Ok(rest) if rest.as_str().is_empty() => "~".to_owned(),
                Ok(rest) => format!("~/{rest}"),
                Err(_) => source.path.to_string(),
            };
            match &source.pattern {
                Some(pattern) => format!("{path} ({})", pattern.as_str()),
                None => path,
            }
        };
        let egress = || Part::EgressNetwork.podman_name(&instance.name);
        Self {
            name: instance.name.to_string(),
            engine: format!(
                "{}, {}",
                instance.engine.profile.as_str(),
                instance.provider.kind.as_str()
            ),
            sources: instance.sources.iter().map(source).collect(),
            network: Part::Network.podman_name(&instance.name),
            way: match &instance.egress {
                Egress::None => Way::Nowhere,
                Egress::Allow(list) => {
                    Way::Allowed(egress(), list.iter().map(ToString::to_string).collect())
                }
                Egress::Open => Way::Anywhere(egress()),
            },
        }
    }

    /// What it may reach, one a line.
    fn targets(&self) -> Vec<&str> {
        match &self.way {
            Way::Nowhere => vec![NOWHERE],
            Way::Allowed(_, list) if list.is_empty() => vec![NOWHERE],
            Way::Allowed(_, list) => list.iter().map(String::as_str).collect(),
            Way::Anywhere(_) => vec![ANYWHERE],
        }
    }
}

/// How many columns a text takes in a font of fixed width.
fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

#[cfg(test)]
mod tests;
