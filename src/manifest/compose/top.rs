//! Everything of a compose file but its services.

use std::collections::BTreeSet;

use super::Outcome;
use super::reader::Reader;
use super::yaml::Node;

const RESOLVE: &str = "let compose put it in: docker compose config > resolved.yaml, then \
                       --from-compose resolved.yaml";

impl Reader<'_> {
    /// Everything but the services.
    pub fn top(&mut self, root: &Node) {
        let named = root.get("name").and_then(Node::text).filter(|n| !n.is_empty());
        let folder = self.folder.root().file_name().unwrap_or_default().to_lowercase();
        let good = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c);
        self.out.project =
            named.map_or_else(|| folder.chars().filter(good).collect(), str::to_owned);
        for (key, node) in root.entries() {
            let name = key.text.as_str();
            match name {
                "services" => {}
                "version" => {
                    self.note(key.line, name, Outcome::NotNeeded, "compose ignores it, too");
                }
                "name" => {
                    let detail = "the instance's own name counts";
                    self.note(key.line, name, Outcome::NotNeeded, detail);
                }
                "networks" => self.networks(node),
                // Told where they are used; one that nobody uses is told here.
                "volumes" | "secrets" => self.unused(name, node, root),
                "configs" => {
                    for (config, _) in node.entries() {
                        let key = format!("configs.{}", config.text);
                        let detail = "files are not put into the containers";
                        self.note(config.line, &key, Outcome::NotUnderstood, detail);
                    }
                }
                "include" => self.note(key.line, name, Outcome::NotUnderstood, RESOLVE),
                _ if name.starts_with("x-") => {
                    let detail = "compose ignores it, too";
                    self.note(key.line, name, Outcome::NotNeeded, detail);
                }
                _ => {
                    let detail = "no compose file has this key";
                    self.note(key.line, name, Outcome::NotUnderstood, detail);
                }
            }
        }
    }

    fn networks(&mut self, node: &Node) {
        for (name, network) in node.entries() {
            let key = format!("networks.{}", name.text);
            let external = network.get("external").and_then(Node::text) == Some("true");
            if external {
                let detail = "nothing outside of the instance reaches it: others on this network do \
                              not, and the instance does not reach them";
                self.note(name.line, &key, Outcome::Warning, detail);
            } else {
                let detail = "the instance has networks of its own";
                self.note(name.line, &key, Outcome::NotNeeded, detail);
            }
        }
    }

    fn unused(&mut self, kind: &str, node: &Node, root: &Node) {
        let used: BTreeSet<String> = root
            .get("services")
            .into_iter()
            .flat_map(Node::entries)
            .filter_map(|(_, service)| service.get(kind))
            .flat_map(Node::texts)
            .map(|text| text.split(':').next().unwrap_or_default().to_owned())
            .collect();
        for (name, _) in node.entries() {
            let key = format!("{kind}.{}", name.text);
            if used.contains(&name.text) {
                self.note(name.line, &key, Outcome::NotNeeded, "see where it is used");
            } else {
                self.note(name.line, &key, Outcome::NotNeeded, "no service uses it");
            }
        }
    }
}
