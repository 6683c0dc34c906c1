//! Podman's own generator, asked before anything is installed.
//!
//! A unit with one key that the host's Podman does not know is dropped in silence at the next
//! reload. So the generator runs over the staged directory first (`-dryrun`, see
//! podman-systemd.unit(5)) and must make exactly the services that are wanted.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Error, Kind, Result};
use crate::exec::Cmd;
use crate::model::{Name, Part};

/// Where distributions install it.
const PLACES: [&str; 6] = [
    "/usr/libexec/podman/quadlet",
    "/usr/lib/podman/quadlet",
    "/usr/local/libexec/podman/quadlet",
    "/usr/local/lib/podman/quadlet",
    "/usr/lib/systemd/user-generators/podman-user-generator",
    "/usr/local/lib/systemd/user-generators/podman-user-generator",
];

/// The host's quadlet generator.
#[derive(Clone, Debug)]
pub struct Generator {
    path: Utf8PathBuf,
}

/// What the generator made of a directory, and what it said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DryRun {
    /// Service name → the unit's text.
    pub services: BTreeMap<String, String>,
    /// Errors and warnings, without the program's name and the notes of what it loads.
    pub messages: Vec<String>,
    /// Whether it ended with exit code 0.
    pub success: bool,
}

/// A staged directory that the generator understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The services that it makes of the instance's units.
    pub services: BTreeSet<String>,
    /// What it said about files of others.
    pub warnings: Vec<String>,
}

impl Generator {
    /// Finds the host's generator.
    ///
    /// # Errors
    /// [`Kind::Host`] when Podman came without it.
    pub fn find() -> Result<Self> {
        Self::find_in(&PLACES)
    }

    fn find_in(places: &[&str]) -> Result<Self> {
        places.iter().map(Utf8Path::new).find(|p| p.is_file()).map_or_else(
            || {
                Err(Error::host("Podman's quadlet generator is not installed")
                    .cause(format!("looked for {}", places.join(", ")))
                    .hint("install the whole of Podman: sudo apt install --reinstall podman"))
            },
            |path| Ok(Self::at(path.to_owned())),
        )
    }

    /// The generator at `path`.
    #[must_use]
    pub fn at(path: Utf8PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// What it makes of a directory. Nothing is written.
    pub fn dry_run(&self, dir: &Utf8Path) -> Result<DryRun> {
        let output = Cmd::new(self.path.as_str())
            .args(["-dryrun", "-user"])
            .env("QUADLET_UNIT_DIRS", dir.as_str())
            .output()?;
        Ok(parse(
            &String::from_utf8_lossy(&output.stdout),
            &String::from_utf8_lossy(&output.stderr),
            output.status.success(),
        ))
    }

    /// Checks the staged directory for one instance: its `files` must become exactly their
    /// services, and the generator must say nothing against them. Trouble with files of others is
    /// a warning.
    ///
    /// # Errors
    /// [`Kind::Failed`] with the generator's own words.
    pub fn check<'a>(
        &self,
        staged: &Utf8Path,
        name: &Name,
        files: impl IntoIterator<Item = &'a String>,
    ) -> Result<Checked> {
        let files: BTreeSet<&String> = files.into_iter().collect();
        let run = self.dry_run(staged)?;
        let mut verdict = judge(&run, name, &files);
        if verdict.doubt && !files.is_empty() {
            // Somebody said something without a name: hear this instance's files alone.
            let alone = alone(staged, &files)?;
            let dir = Utf8Path::from_path(alone.path()).unwrap_or(staged);
            let run = self.dry_run(dir)?;
            if !run.messages.is_empty() || !run.success {
                verdict.against.extend(run.messages);
            }
        }
        if verdict.against.is_empty() && verdict.missing.is_empty() && verdict.extra.is_empty() {
            return Ok(Checked { services: verdict.services, warnings: verdict.warnings });
        }
        Err(refusal(name, &verdict))
    }
}

/// What a dry run says about one instance.
struct Verdict {
    services: BTreeSet<String>,
    missing: BTreeSet<String>,
    extra: BTreeSet<String>,
    /// Messages that name one of its files.
    against: Vec<String>,
    /// Messages about others.
    warnings: Vec<String>,
    /// A message names no file: it may be about one of ours.
    doubt: bool,
}

fn judge(run: &DryRun, name: &Name, files: &BTreeSet<&String>) -> Verdict {
    let wanted: BTreeSet<String> = files
        .iter()
        .filter_map(|file| Part::of_file(file))
        .map(|(_, part)| part.service(name))
        .collect();
    let services: BTreeSet<String> = run
        .services
        .keys()
        .filter(|s| Part::of_service(s).is_some_and(|(owner, _)| owner == *name))
        .cloned()
        .collect();
    let mut verdict = Verdict {
        missing: wanted.difference(&services).cloned().collect(),
        extra: services.difference(&wanted).cloned().collect(),
        services,
        against: Vec::new(),
        warnings: Vec::new(),
        doubt: false,
    };
    for message in &run.messages {
        match named(message) {
            Some(file) if is_of(&file, name) => verdict.against.push(message.clone()),
            Some(_) => verdict.warnings.push(message.clone()),
            None => {
                verdict.doubt = true;
                verdict.warnings.push(message.clone());
            }
        }
    }
    // A failure without any message at all.
    verdict.doubt |= !run.success && run.messages.is_empty();
    verdict
}

/// Whether a file or a drop-in directory is the instance's.
fn is_of(file: &str, name: &Name) -> bool {
    Part::of_file(file.strip_suffix(".d").unwrap_or(file)).is_some_and(|(owner, _)| owner == *name)
}

/// The unit that a message is about: the first word that looks like a quadlet file or its drop-ins.
fn named(message: &str) -> Option<String> {
    message
        .split(|c: char| c.is_whitespace() || "\"'`,;()[]/".contains(c))
        .map(|word| word.trim_end_matches([':', '.']))
        .find(|word| {
            let unit = word.strip_suffix(".d").unwrap_or(word);
            ["container", "pod", "network", "volume", "kube", "image", "build", "artifact"]
                .into_iter()
                .any(|kind| {
                    unit.strip_suffix(kind)
                        .is_some_and(|stem| stem.len() > 1 && stem.ends_with('.'))
                })
        })
        .map(str::to_owned)
}

fn refusal(name: &Name, verdict: &Verdict) -> Error {
    let mut error = Error::new(
        Kind::Failed,
        format!("Podman's generator does not accept the units of {name}; nothing was changed"),
    );
    for message in &verdict.against {
        error = error.cause(message.clone());
    }
    if !verdict.missing.is_empty() {
        let missing: Vec<&str> = verdict.missing.iter().map(String::as_str).collect();
        error = error.cause(format!("it makes no {}", missing.join(", ")));
    }
    if !verdict.extra.is_empty() {
        let extra: Vec<&str> = verdict.extra.iter().map(String::as_str).collect();
        error = error.cause(format!("it makes {}, which nobody asked for", extra.join(", ")));
    }
    error
        .hint(format!("look at the units: ragpod render {name}"))
        .hint("if a drop-in of yours is named above, correct it there")
}

/// The instance's files and drop-ins by themselves, in a temporary directory.
fn alone(staged: &Utf8Path, files: &BTreeSet<&String>) -> Result<tempfile::TempDir> {
    let failed = |e: &std::io::Error| Error::io("copy", staged, e);
    let dir = tempfile::tempdir().map_err(|e| failed(&e))?;
    for file in files {
        std::fs::copy(staged.join(file), dir.path().join(file)).map_err(|e| failed(&e))?;
        let drop_ins = format!("{file}.d");
        let from = staged.join(&drop_ins);
        if from.is_dir() {
            std::os::unix::fs::symlink(&from, dir.path().join(&drop_ins))
                .map_err(|e| failed(&e))?;
        }
    }
    Ok(dir)
}

/// Reads what a dry run printed: units after `---NAME---` lines, messages as
/// `quadlet-generator[PID]: TEXT`.
#[must_use]
pub fn parse(stdout: &str, stderr: &str, success: bool) -> DryRun {
    let mut run = DryRun { success, ..DryRun::default() };
    let mut current: Option<(String, String)> = None;
    for line in stdout.lines() {
        let header = line.strip_prefix("---").and_then(|l| l.strip_suffix("---"));
        if let Some(name) = header.filter(|n| n.ends_with(".service")) {
            run.services.extend(current.take());
            current = Some((name.to_owned(), String::new()));
        } else if let Some((_, text)) = &mut current {
            text.push_str(line);
            text.push('\n');
        }
    }
    run.services.extend(current);
    run.messages = stderr
        .lines()
        .map(|line| match line.split_once("]: ") {
            Some((program, rest)) if program.starts_with("quadlet-generator[") => rest,
            _ => line,
        })
        .map(str::trim)
        .filter(|m| {
            !m.is_empty()
                && !m.starts_with("Loading source ")
                // An empty directory: the last instance is taken off.
                && !m.starts_with("No files parsed from ")
                && *m != "processing encountered some errors"
        })
        .map(str::to_owned)
        .collect();
    run
}

#[cfg(test)]
mod tests;
