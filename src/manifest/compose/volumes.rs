//! What is mounted: sources, the database's files, and what the engine kept.

use camino::{Utf8Path, Utf8PathBuf};

use super::Outcome::{NotNeeded, NotUnderstood, Taken, Warning};
use super::reader::Reader;
use super::service::Role;
use super::yaml::Node;
use super::{Data, Outcome, There};
use crate::model::FIRST_SOURCE;

/// One mount.
struct Mount {
    line: usize,
    /// A path of the host, a volume's name, or nothing.
    from: String,
    to: String,
    read_only: bool,
}

impl Mount {
    /// `FROM:TO[:OPTIONS]`, or the long form; `None` when it is neither.
    fn of(node: &Node) -> Option<Self> {
        let line = node.line;
        if let Some(text) = node.text() {
            let parts: Vec<&str> = text.split(':').collect();
            let (from, to, options) = match parts.as_slice() {
                [to] => ("", *to, ""),
                [from, to] => (*from, *to, ""),
                [from, to, options] => (*from, *to, *options),
                _ => return None,
            };
            let read_only = options.split(',').any(|o| o == "ro");
            return Some(Self { line, from: from.to_owned(), to: to.to_owned(), read_only });
        }
        let of = |key| node.get(key).and_then(Node::text);
        let from = match of("type") {
            Some("tmpfs") => "",
            _ => of("source").unwrap_or_default(),
        };
        let read_only = of("read_only") == Some("true");
        Some(Self { line, from: from.to_owned(), to: of("target")?.to_owned(), read_only })
    }

    fn is_path(&self) -> bool {
        self.from.starts_with(['/', '.', '~'])
    }
}

impl Reader<'_> {
    /// Notes what becomes of each mount of a service.
    pub fn volumes(&mut self, key: &str, node: &Node, role: Role, root: &Node) {
        let mut sources: Vec<(String, Utf8PathBuf)> = Vec::new();
        for item in node.items() {
            let Some(mount) = Mount::of(item) else {
                self.note(item.line, key, NotUnderstood, "it is no FROM:TO");
                continue;
            };
            let key = format!("{key}[{}]", mount.to);
            if item.secret.is_some() {
                let detail = "its path comes from a variable whose name says that it is secret";
                self.note(mount.line, &key, NotUnderstood, detail);
                continue;
            }
            let (outcome, detail) = match role {
                Role::Database => self.of_database(&mount, root),
                Role::Engine => self.of_engine(&mount, &mut sources),
            };
            self.note(mount.line, &key, outcome, detail);
        }
        // The first source is where the old engine had it, so that paths stay what they were.
        sources.sort_by_key(|(to, _)| !to.trim_end_matches('/').eq(FIRST_SOURCE));
        for (_, path) in sources {
            if !self.out.sources.contains(&path) {
                self.out.sources.push(path);
            }
        }
    }

    fn of_database(&mut self, mount: &Mount, root: &Node) -> (Outcome, String) {
        let data = ["/var/lib/postgresql", "/bitnami/postgresql"];
        if !data.iter().any(|place| mount.to.starts_with(place)) {
            let detail = if mount.to.contains("initdb.d") {
                "such scripts are not run; the extensions come with the instance's image"
            } else {
                "nothing further is mounted into the database"
            };
            return (NotUnderstood, detail.to_owned());
        }
        let place = if mount.is_path() {
            Some(Data::Folder(self.path(&mount.from)))
        } else if mount.from.is_empty() {
            None
        } else {
            Some(Data::Volume(self.volume_names(&mount.from, root)))
        };
        let known = place.is_some();
        if let Some(database) = &mut self.out.database {
            database.data = place;
        }
        let detail = if known {
            "the database has a volume of its own; --import-data brings over what is in this one"
        } else {
            "the database has a volume of its own"
        };
        (NotNeeded, detail.to_owned())
    }

    /// What a volume may be called: compose puts the project's name before it.
    fn volume_names(&self, name: &str, root: &Node) -> Vec<String> {
        let volume = root.get("volumes").and_then(|v| v.get(name));
        let own = volume.and_then(|v| v.get("name")).and_then(Node::text);
        let external = volume.and_then(|v| v.get("external")).and_then(Node::text) == Some("true");
        match own {
            Some(own) => vec![own.to_owned()],
            None if external => vec![name.to_owned()],
            None => vec![format!("{}_{name}", self.out.project)],
        }
    }

    fn of_engine(
        &mut self,
        mount: &Mount,
        sources: &mut Vec<(String, Utf8PathBuf)>,
    ) -> (Outcome, String) {
        const OWN: &str = "the engine keeps what it needs on a volume of its own";
        if !mount.is_path() {
            let own = mount.from.is_empty() || mount.to.starts_with("/app");
            return if own {
                (NotNeeded, OWN.to_owned())
            } else {
                (NotUnderstood, "what is in this volume is not brought over".to_owned())
            };
        }
        let path = self.path(&mount.from);
        let inside = |place: &str| Utf8Path::new(&mount.to).starts_with(place);
        if inside("/app") && !mount.read_only {
            return (NotNeeded, OWN.to_owned());
        }
        if path.extension() == Some("sock") {
            return (NotUnderstood, "the engine gets no socket of the host".to_owned());
        }
        if !mount.read_only && !inside("/data") {
            return (NotUnderstood, "no folder is mounted that can be written to".to_owned());
        }
        match self.folder.look(&path) {
            There::Folder => {
                sources.push((mount.to.clone(), path));
                let mut detail = "taken into a [[source]]".to_owned();
                if !mount.read_only {
                    detail += ", which is mounted read-only";
                }
                (Taken, detail)
            }
            There::File => (NotUnderstood, "folders are mounted, single files are not".to_owned()),
            There::Nothing => (
                Warning,
                "there is no such folder; make it, and name it in the manifest as a [[source]]"
                    .to_owned(),
            ),
        }
    }
}
