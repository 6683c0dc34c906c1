//! A Docker Compose folder on this host's disk.

use camino::{Utf8Path, Utf8PathBuf};

use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::manifest::Problem;
use crate::manifest::compose::{
    self, Deployment, FILES, Finding, Folder, MERGE, OVERRIDES, Outcome, There,
};
use crate::model::ProviderKind;

/// No file of a deployment is longer; what is longer is not read into memory.
const LONGEST: u64 = 1 << 20;

struct OnDisk<'a> {
    env: &'a Env,
    root: Utf8PathBuf,
}

impl Folder for OnDisk<'_> {
    fn root(&self) -> &Utf8Path {
        &self.root
    }

    fn home(&self) -> &Utf8Path {
        &self.env.home
    }

    fn look(&self, path: &Utf8Path) -> There {
        match std::fs::metadata(path) {
            Ok(there) if there.is_dir() => There::Folder,
            Ok(_) => There::File,
            Err(_) => There::Nothing,
        }
    }

    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, String> {
        let there = match std::fs::metadata(path) {
            Ok(there) => there,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.to_string()),
        };
        // A pipe or a device could be read for ever.
        if !there.is_file() {
            return Err("it is no file".to_owned());
        }
        if there.len() > LONGEST {
            return Err(format!("it has {} bytes; 1 MiB is the most", there.len()));
        }
        std::fs::read(path).map(Some).map_err(|e| e.to_string())
    }
}

/// Reads the deployment in a folder, or that of a compose file.
///
/// # Errors
/// [`Kind::Usage`] when there is none, or it cannot be read.
pub(super) fn read(
    env: &Env,
    place: &Utf8Path,
    chosen: Option<ProviderKind>,
) -> Result<Deployment> {
    let place = place.canonicalize_utf8().map_err(|e| {
        Error::usage(format!("cannot read {place}"))
            .cause(e.to_string())
            .hint("name the folder that has the compose file: --from-compose DIR")
    })?;
    let (root, file, more) = if place.is_dir() {
        let mut there = FILES.iter().filter(|f| place.join(f).exists());
        let Some(file) = there.next() else {
            return Err(Error::usage(format!("there is no compose file in {place}"))
                .cause(format!("it would be called {}", FILES.join(", ")))
                .hint("name the folder that has it, or the file: --from-compose DIR"));
        };
        let others = there.chain(OVERRIDES.iter().filter(|f| place.join(f).exists()));
        let others: Vec<&str> = others.copied().collect();
        (place.clone(), (*file).to_owned(), others)
    } else {
        let root = place.parent().unwrap_or(&place).to_owned();
        (root, place.file_name().unwrap_or_default().to_owned(), Vec::new())
    };
    let folder = OnDisk { env, root };
    let path = folder.root.join(&file);
    let cannot = |why: String| {
        Error::usage(format!("cannot read {path}"))
            .cause(why)
            .hint("name a folder whose compose file you can read")
    };
    let bytes =
        folder.read(&path).map_err(cannot)?.ok_or_else(|| cannot("it is not there".to_owned()))?;
    let text = String::from_utf8(bytes).map_err(|_| cannot("it is no UTF-8 text".to_owned()))?;
    let mut deployment = compose::read(&folder, &file, &text, chosen).map_err(|problems| {
        let mut error = Problem::into_error(&problems);
        error.kind = Kind::Usage;
        let file = problems.first().map_or(file.as_str(), |p| p.file.as_str());
        error.hint(format!("correct {file} in {}, then run the same command again", folder.root))
    })?;
    for other in more {
        let detail = if OVERRIDES.contains(&other) {
            format!("it is not read; {MERGE}")
        } else {
            "it is not read: compose, too, takes one of several".to_owned()
        };
        deployment.findings.push(Finding {
            file: other.to_owned(),
            line: 0,
            key: String::new(),
            outcome: Outcome::NotUnderstood,
            detail,
        });
    }
    Ok(deployment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_compose_would_merge_are_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(dir.path()).unwrap();
        let text = "services:\n  db: {image: postgres}\n";
        for (file, text) in [
            ("docker-compose.yaml", text),
            ("docker-compose.override.yaml", "services: {}\n"),
            ("compose.override.yml", "services: {}\n"),
            (".env", "COMPOSE_FILE=other.yaml\n"),
        ] {
            std::fs::write(place.join(file), text).unwrap();
        }
        let found = read(&Env::from_process().unwrap(), place, None).unwrap().findings;
        for (file, key) in [
            ("docker-compose.override.yaml", ""),
            ("compose.override.yml", ""),
            (".env", "COMPOSE_FILE"),
        ] {
            let told = found.iter().find(|f| f.file == file && f.key == key);
            let told = told.unwrap_or_else(|| panic!("{file}: {found:?}"));
            assert_eq!(told.outcome, Outcome::NotUnderstood);
            assert!(told.detail.contains("docker compose config"), "{told}");
        }
        // By its own name it is read alone, as compose reads it.
        let alone = read(&Env::from_process().unwrap(), &place.join("docker-compose.yaml"), None);
        assert!(!alone.unwrap().findings.iter().any(|f| f.file.contains("override")));
    }
}
