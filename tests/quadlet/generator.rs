//! Podman's generator, run on a directory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ragpod::model::PodmanVersion;

/// Where distributions put the generator.
const USUAL: &[&str] = &["/usr/libexec/podman/quadlet", "/usr/lib/podman/quadlet"];

/// A generator and its version.
pub struct Generator {
    path: PathBuf,
    pub version: PodmanVersion,
}

impl fmt::Display for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "quadlet {}", self.version)
    }
}

/// The generators to ask; says so when there is none.
pub fn generators() -> Vec<Generator> {
    let listed = std::env::var("RAGPOD_QUADLET").unwrap_or_default();
    let mut paths: Vec<PathBuf> =
        listed.split(':').filter(|p| !p.is_empty()).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths.extend(USUAL.iter().map(PathBuf::from).filter(|p| p.exists()).take(1));
    }
    let mut generators: Vec<_> = paths
        .into_iter()
        .map(|path| {
            let out = Command::new(&path).arg("-version").output().expect("a generator runs");
            let version = String::from_utf8_lossy(&out.stdout).trim().parse().expect("a version");
            Generator { path, version }
        })
        .filter(|g| g.version >= PodmanVersion::OLDEST)
        .collect();
    // The host's own may be one that Debian has, too.
    generators.sort_by_key(|g| g.version);
    generators.dedup_by_key(|g| g.version);
    if generators.is_empty() {
        eprintln!("SKIPPED: no quadlet generator of 5.0 or newer; name some in RAGPOD_QUADLET");
    }
    generators
}

impl Generator {
    /// The services that it makes of a directory, by name. Fails on any warning.
    pub fn services(&self, dir: &Path) -> BTreeMap<String, String> {
        let (stdout, said, success) = self.run(dir);
        let complaints: Vec<_> =
            said.lines().filter(|l| !l.contains("Loading source unit file")).collect();
        assert!(complaints.is_empty(), "{self}: {complaints:?}");
        assert!(success, "{self} failed");
        let mut services = BTreeMap::new();
        for part in format!("\n{stdout}").split("\n---").skip(1) {
            let (name, text) = part.split_once("---\n").expect("a heading");
            services.insert(name.to_owned(), text.to_owned());
        }
        services
    }

    /// What it prints of a directory, what it says to that, and whether it is content.
    pub fn run(&self, dir: &Path) -> (String, String, bool) {
        let out = Command::new(&self.path)
            .args(["-dryrun", "-user"])
            .env("QUADLET_UNIT_DIRS", dir)
            .output()
            .expect("a generator runs");
        let stdout = String::from_utf8(out.stdout).expect("units are UTF-8");
        (stdout, String::from_utf8_lossy(&out.stderr).into_owned(), out.status.success())
    }
}
