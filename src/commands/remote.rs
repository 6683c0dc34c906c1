//! `--host`: the whole command line goes to another machine's ragpod, over ssh.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::NamedTempFile;

use super::Front;
use super::talk::become_program;
use crate::cli::{Verb, Way, staged};
use crate::error::{Error, Result};
use crate::exec::Cmd;
use crate::ops::interruption::Interruption;
use crate::remote::{self, Host};

/// The machine that a command line is for, unless it is this one: `--host`, or `RAGPOD_HOST`. An
/// empty one is this one.
///
/// # Errors
/// It is no name of a machine.
pub(super) fn host(front: &Front<'_>, option: Option<&str>, verb: &Verb) -> Result<Option<Host>> {
    let said = option.or(front.env.host.as_deref()).filter(|host| !host.is_empty());
    let Some(host) = said.filter(|_| !verb.is_local()) else { return Ok(None) };
    host.parse().map(Some).map_err(|why| {
        let origin = if option.is_some() { "--host" } else { "RAGPOD_HOST" };
        Error::usage(format!("{origin} is no machine: {host:?}"))
            .cause(why)
            .hint("name it as ssh does: ragpod --host me@server list")
    })
}

/// Runs a verb there. Without files, ssh takes this process's place.
pub(super) async fn run(
    front: &Front<'_>,
    host: &Host,
    verb: &mut Verb,
    typed: &[OsString],
) -> Result<ExitCode> {
    let args = remote::arguments(typed)?;
    let terminal = front.env.stdin_tty && front.env.stdout_tty && front.env.stderr_tty;
    let streams = if terminal {
        "-t"
    } else if verb.reads_input() {
        "-T"
    } else {
        // Otherwise ssh reads what the next command of a script was to read.
        "-nT"
    };
    let script = remote::run(&missing(front, host), terminal && !front.printer.colour());
    if let Verb::McpConfig(wanted) = &*verb {
        // Whether the instances are there is said there; what a client starts is this program.
        let there = ssh(host, &["-nT"], &remote::command(&script, &args)).output()?;
        if !there.status.success() {
            let _ = io::stderr().write_all(&there.stderr);
            return Ok(ExitCode::from(crate::exec::exit_code(there.status)));
        }
        return super::mcp::print_config(front, wanted, Some(host));
    }
    if verb.files().is_empty() {
        let ssh = ssh(host, &[streams], &remote::command(&script, &args));
        return become_program(&ssh);
    }
    let shared = Shared::new(front, host);
    let dir = shared.lay(verb)?;
    let args = [vec![format!("--files={dir}")], args].concat();
    let ran = shared.ssh(&[streams], &script, &args).passed().await;
    if let Ok(0) = ran {
        // What was made there may not be had again: it stays until it is here.
        shared.fetch(&dir, verb)?;
    }
    let cleared = shared.ssh(&["-nT"], remote::CLEAR, &[dir.to_string()]).stdout();
    let code = ran?;
    if let Err(e) = cleared {
        front.printer.warn(&format!("{dir} is left on {host}: {e}"));
    }
    Ok(ExitCode::from(code))
}

/// What is said when the other machine has no ragpod, in the form that was asked for.
fn missing(front: &Front<'_>, host: &Host) -> String {
    let error = Error::host(format!("{host} has no ragpod"))
        .cause("it is neither in PATH there nor in ~/.local/bin or ~/.cargo/bin")
        .hint(format!("install it there, then try: ragpod --host {host} doctor"));
    if front.printer.json {
        return error.to_json().to_string();
    }
    format!("error: {}\n  {}\nhint: {}", error.message, error.causes.join("\n"), error.hints()[0])
}

/// `--` ends ssh's options: a machine that looks like one is none.
fn ssh(host: &Host, options: &[&str], line: &str) -> Cmd {
    Cmd::new("ssh").args(options.iter().copied()).arg("--").arg(host.to_string()).arg(line)
}

/// Several calls over one connection: a password or a touch of a key is asked for once.
struct Shared<'a> {
    host: &'a Host,
    options: Vec<String>,
}

impl<'a> Shared<'a> {
    fn new(front: &Front<'_>, host: &'a Host) -> Self {
        // A connection that hangs ends by itself: nothing else ends the wait for a file.
        let mut options = vec!["-oServerAliveInterval=15".to_owned()];
        if let Some(dir) = &front.env.runtime_dir {
            options.extend([
                "-oControlMaster=auto".to_owned(),
                format!("-oControlPath={dir}/ragpod-ssh-%C"),
                "-oControlPersist=10".to_owned(),
            ]);
        }
        Self { host, options }
    }

    fn ssh(&self, options: &[&str], script: &str, args: &[String]) -> Cmd {
        let mut all: Vec<&str> = self.options.iter().map(String::as_str).collect();
        all.extend(options);
        ssh(self.host, &all, &remote::command(script, args))
    }

    /// Sends the files that the verb reads, and makes room for those that it writes; the directory
    /// there.
    fn lay(&self, verb: &mut Verb) -> Result<Utf8PathBuf> {
        let files: Vec<(Utf8PathBuf, Way)> =
            verb.files().into_iter().map(|file| (file.path.clone(), file.way)).collect();
        // What is meant for the other machine is a path from its root.
        let there = |path: &Utf8Path| path.is_absolute() && !path.exists();
        for (path, _) in files.iter().filter(|(path, way)| *way == Way::In && !there(path)) {
            // Before anything is sent: it says the same as it would here.
            std::fs::metadata(path).map_err(|e| Error::io("read", path, &e))?;
        }
        let dir = self
            .ssh(&["-T"], remote::LAY, &[])
            .feed(|input| {
                let mut archive = tar::Builder::new(input);
                for (n, (path, way)) in files.iter().enumerate() {
                    let place = staged(n, path);
                    match way {
                        Way::In if there(path) => {}
                        Way::In if path.is_dir() => archive.append_dir_all(&place, path)?,
                        Way::In => archive.append_path_with_name(path, &place)?,
                        Way::Out => {
                            let room = place.parent().unwrap_or(&place);
                            archive.append_dir(room, ".")?;
                        }
                    }
                }
                archive.into_inner()?.flush()
            })
            .map_err(|e| unreachable_host(self.host, e))?;
        Ok(dir.trim().into())
    }

    /// Brings what the verb wrote there.
    fn fetch(&self, dir: &Utf8Path, verb: &mut Verb) -> Result<()> {
        for (n, file) in verb.files().into_iter().enumerate() {
            if file.way == Way::In {
                continue;
            }
            let from = dir.join(n.to_string());
            let fetch = self.ssh(&["-nT"], remote::FETCH, &[from.to_string()]);
            let interruption = Interruption::heed("nothing of it is here", || {});
            let fetched = fetch.drain(|output| {
                unpack(&mut interruption.reading(output), file.path)
                    .map_err(|e| Error::io("write", &*file.path, &e))
            });
            // Nothing of it is put in place before all of it came through.
            let placed = interruption.rather(fetched).and_then(|unpacked| {
                unpacked.place().map_err(|e| Error::io("write", &*file.path, &e))
            });
            placed.map_err(|e| {
                let lies = dir.join(staged(n, file.path));
                let host = self.host;
                e.cause(format!("it is done; what it wrote lies on {host} for a day: {lies}"))
                    .hint(format!("fetch it: ssh {host} tar -c -C {from} . | tar -x"))
                    .hint(format!("then remove it there: ssh {host} rm -r {dir}"))
            })?;
        }
        Ok(())
    }
}

/// Files that were unpacked beside the places where they are to be, each with its place and the mode
/// that it had. What is not placed is removed.
struct Unpacked(Vec<(NamedTempFile, PathBuf, u32)>);

impl Unpacked {
    /// Puts all of it in its place, each file in one step.
    fn place(self) -> io::Result<()> {
        for (mut file, place, mode) in self.0 {
            if is_special(&place) {
                file.rewind()?;
                io::copy(&mut file, &mut File::options().write(true).open(&place)?)?;
                continue;
            }
            // What only its owner could read there, nobody else reads here.
            file.as_file().set_permissions(Permissions::from_mode(mode & 0o755))?;
            file.as_file().sync_all()?;
            file.persist(place)?;
        }
        Ok(())
    }
}

/// Unpacks the one entry of an archive, a file or a folder of whatever name, for `to`: files under
/// temporary names and readable by their owner alone.
fn unpack(archive: &mut dyn io::Read, to: &Utf8Path) -> io::Result<Unpacked> {
    let mut unpacked = Vec::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        // `.`, its one entry, and what is in that.
        let inner = path.components().skip_while(|c| c.as_os_str() == ".").skip(1);
        let inner: PathBuf = inner.collect();
        let plain = inner.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        let kind = entry.header().entry_type();
        if path.components().all(|c| c.as_os_str() == ".") {
            continue;
        }
        if !plain || !(kind.is_file() || kind.is_dir()) {
            return Err(io::Error::other(format!("the archive holds {}", path.display())));
        }
        let place = if inner.as_os_str().is_empty() {
            to.as_std_path().to_owned()
        } else {
            to.as_std_path().join(inner)
        };
        if kind.is_dir() {
            fs::create_dir_all(&place)?;
            continue;
        }
        let parent = place.parent().filter(|p| !p.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".ragpod-");
        let mut file = if is_special(&place) {
            builder.tempfile()?
        } else {
            builder.tempfile_in(parent.unwrap_or(Path::new(".")))?
        };
        let mode = entry.header().mode()?;
        if io::copy(&mut entry, &mut file)? != entry.header().size()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        unpacked.push((file, place, mode));
    }
    Ok(Unpacked(unpacked))
}

/// A pipe or a device, which stays what it is.
fn is_special(place: &Path) -> bool {
    place.exists() && !place.is_file()
}

fn unreachable_host(host: &Host, e: Error) -> Error {
    let mut error = Error::host(format!("cannot send files to {host}"))
        .hint(format!("see whether this works: ssh {host} true"));
    error.causes = e.causes;
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive as the other machine sends it: `.`, and one file or folder in it.
    fn archive(files: &[(&str, u32)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_dir(".", ".").unwrap();
        for (name, mode) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(5000);
            header.set_mode(*mode);
            archive.append_data(&mut header, name, &[b'x'; 5000][..]).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn mode(path: &Utf8Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_fetched_comes_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let to = dir.join("here.bak");
        fs::write(&to, "old").unwrap();
        let whole = archive(&[("there.bak", 0o600)]);
        // Cut off anywhere: within the file, too.
        for length in [whole.len() - 1024 - 512 - 3000, whole.len() - 1024 - 200, 700] {
            let cut = &whole[..length];
            assert!(unpack(&mut &cut[..], &to).is_err(), "{length}");
        }
        // Whole, but its sender failed: nobody places it.
        let unpacked = unpack(&mut &whole[..], &to).unwrap();
        assert_eq!(
            unpacked.0[0].0.as_file().metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read(&to).unwrap(), b"old");
        drop(unpacked);
        assert_eq!(fs::read_dir(dir).unwrap().count(), 1, "something is left");
        unpack(&mut &whole[..], &to).unwrap().place().unwrap();
        assert_eq!((fs::read(&to).unwrap().len(), mode(&to)), (5000, 0o600));
    }

    #[test]
    fn a_folder_is_fetched_with_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let to = dir.join("units");
        fs::create_dir(&to).unwrap();
        let of = archive(&[("x/a.pod", 0o644), ("x/b.pod", 0o666)]);
        unpack(&mut &of[..], &to).unwrap().place().unwrap();
        assert_eq!((mode(&to.join("a.pod")), mode(&to.join("b.pod"))), (0o644, 0o644));
        assert_eq!(fs::read_dir(&to).unwrap().count(), 2);
    }
}
