//! The engine's volume: packed, unpacked beside what is in it, and changed over.

use std::io::Read;

use camino::Utf8PathBuf;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Kind, Result};
use crate::model::{Name, Part};
use crate::podman::Podman;

fn place(name: &Name) -> Result<Utf8PathBuf> {
    let volume = Part::EngineVolume.podman_name(name);
    Podman::new().volume_mountpoint(&volume)?.ok_or_else(|| {
        Error::new(Kind::NotRunning, format!("there is no volume {volume}"))
            .hint(format!("make it: ragpod up {name}"))
    })
}

/// A failure without the script, which is the command line. What failed to be written elsewhere is
/// told as it is.
fn told(mut e: Error, name: &Name, what: &str) -> Error {
    if e.kind == Kind::Failed {
        e.message = format!("the engine's volume of {name} could not be {what}");
    }
    e
}

/// The names of files in the volume that hold one of these values. A name is bytes, of whatever
/// encoding.
pub(super) fn holders(name: &Name, values: &[SecretString]) -> Result<Vec<Vec<u8>>> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    // The way for secrets: not in an argument.
    let mut lines = String::new();
    for value in values {
        lines.push_str(value.expose_secret());
        lines.push('\n');
    }
    let lines = SecretString::from(lines);
    let script = include_str!("scripts/holders.sh");
    let mut found = Vec::new();
    Podman::new()
        .unshare(script, [place(name)?])
        .produce(lines.expose_secret().as_bytes(), |piece| {
            found.extend_from_slice(piece);
            Ok(())
        })
        .map_err(|e| told(e, name, "searched for secrets"))?;
    Ok(found.split(|b| *b == 0).filter(|f| !f.is_empty()).map(<[u8]>::to_vec).collect())
}

/// Packs all of it but these files.
pub(super) fn pack(
    name: &Name,
    out: &[Vec<u8>],
    into: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let names: Vec<u8> = out.iter().flat_map(|name| name.iter().copied().chain([0])).collect();
    Podman::new()
        .unshare(include_str!("scripts/pack.sh"), [place(name)?])
        .produce(&names, into)
        .map_err(|e| told(e, name, "packed"))
}

/// Unpacks a tar beside what is in the volume.
pub(super) fn stage(name: &Name, tar: &mut dyn Read) -> Result<()> {
    let ran = Podman::new().unshare(include_str!("scripts/stage.sh"), [place(name)?]).consume(tar);
    ran.map(drop).map_err(|e| told(e, name, "unpacked"))
}

/// What was staged takes the place of what is there, which is kept beside it.
pub(super) fn forward(name: &Name) -> Result<()> {
    run(name, include_str!("scripts/forward.sh"))
}

/// What was there takes its place again; nothing else is left.
pub(super) fn back(name: &Name) -> Result<()> {
    run(name, include_str!("scripts/back.sh"))
}

/// Nothing is left beside what is in place.
pub(super) fn tidy(name: &Name) -> Result<()> {
    run(name, include_str!("scripts/tidy.sh"))
}

/// Whether something is to take the place of what is there, or is on the way to it.
pub(super) fn is_staged(name: &Name) -> Result<bool> {
    let script = "cd \"$1\"; if [ -e .ragpod-restoring ] || [ -e .ragpod-mark ]; then echo yes; fi";
    Ok(!Podman::new().unshare(script, [place(name)?]).stdout()?.is_empty())
}

/// Whether what was there is beside what is in place.
pub(super) fn is_exchanged(name: &Name) -> Result<bool> {
    let script = "if [ -e \"$1/.ragpod-replaced\" ]; then echo yes; fi";
    Ok(!Podman::new().unshare(script, [place(name)?]).stdout()?.is_empty())
}

/// A copy of a volume that nobody uses, in an empty one.
pub(super) fn copy(from: &str, to: &str) -> Result<()> {
    let podman = Podman::new();
    let place = |volume: &str| {
        podman
            .volume_mountpoint(volume)?
            .ok_or_else(|| Error::failed(format!("there is no volume {volume}")))
    };
    let copied =
        podman.unshare(include_str!("scripts/copy.sh"), [place(from)?, place(to)?]).stdout();
    copied.map(drop).map_err(|mut e| {
        e.message = format!("the volume {from} could not be copied");
        e
    })
}

/// What tells whether a database was started since: the file that each start and each checkpoint
/// writes. `None` where there is no such volume or file.
pub(super) fn stamp(name: &Name) -> Result<Option<String>> {
    let podman = Podman::new();
    let Some(place) = podman.volume_mountpoint(&Part::PostgresVolume.podman_name(name))? else {
        return Ok(None);
    };
    let script = "find \"$1\" -path '*/global/pg_control' -printf '%T@'";
    let stamp = podman.unshare(script, [place]).stdout()?;
    Ok(Some(stamp).filter(|stamp| !stamp.is_empty()))
}

fn run(name: &Name, script: &str) -> Result<()> {
    let ran = Podman::new().unshare(script, [place(name)?]).stdout();
    ran.map(drop).map_err(|e| told(e, name, "changed over"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::{Command, Output, Stdio};

    fn bash(script: &str, dir: &Path) {
        let ran = Command::new("bash").args(["-euc", script, "x"]).arg(dir).status().unwrap();
        assert!(ran.success());
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A volume with an old file and a staged new one.
    fn volume() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let staged = dir.path().join(".ragpod-restoring");
        std::fs::create_dir(&staged).unwrap();
        for place in [dir.path(), &staged] {
            std::fs::create_dir(place.join("folder")).unwrap();
        }
        for file in ["old", "both", ".hidden", "folder/inner"] {
            std::fs::write(dir.path().join(file), "old").unwrap();
        }
        for file in ["new", "both", "folder/inner"] {
            std::fs::write(staged.join(file), "new").unwrap();
        }
        dir
    }

    const FORWARD: &str = include_str!("scripts/forward.sh");
    const BACK: &str = include_str!("scripts/back.sh");

    #[test]
    fn forward_and_back() {
        let dir = volume();
        bash(FORWARD, dir.path());
        bash(FORWARD, dir.path());
        assert_eq!(names(dir.path()), [".ragpod-replaced", "both", "folder", "new"]);
        assert_eq!(std::fs::read(dir.path().join("both")).unwrap(), b"new");
        bash(BACK, dir.path());
        bash(BACK, dir.path());
        assert_eq!(names(dir.path()), [".hidden", "both", "folder", "old"]);
        assert_eq!(std::fs::read(dir.path().join("both")).unwrap(), b"old");
        let dir = volume();
        bash(BACK, dir.path());
        assert_eq!(names(dir.path()), [".hidden", "both", "folder", "old"]);
    }

    /// Each script cut off after each of its commands, then that one or the other run to its end;
    /// with an engine that ran in between, or without.
    #[test]
    fn cut_off_anywhere() {
        const CUTS: usize = 40;
        // The last of them cut off nothing.
        for script in [FORWARD, BACK] {
            let dir = volume();
            if script == BACK {
                bash(FORWARD, dir.path());
            }
            let counted = format!("n=0; trap ': $((n++))' DEBUG\n{script}\n[ $n -lt {CUTS} ]");
            bash(&counted, dir.path());
        }
        for (cut, ran) in (1..=CUTS).flat_map(|cut| [(cut, false), (cut, true)]) {
            let until = |script: &str, dir: &Path| {
                let cut = format!("n=0; trap '[ $((n++)) -lt {cut} ] || exit 0' DEBUG\n{script}");
                bash(&cut, dir);
                if ran {
                    engine(dir);
                }
            };
            let dir = volume();
            until(FORWARD, dir.path());
            bash(FORWARD, dir.path());
            is_new(dir.path(), &format!("forward, cut {cut}, {ran}"));

            let dir = volume();
            until(FORWARD, dir.path());
            bash(BACK, dir.path());
            is_old(dir.path(), &format!("forward and back, cut {cut}, {ran}"));

            let dir = volume();
            bash(FORWARD, dir.path());
            until(BACK, dir.path());
            bash(BACK, dir.path());
            is_old(dir.path(), &format!("back, cut {cut}, {ran}"));
        }
    }

    /// An engine at work: it makes what it misses, and folders where there were none.
    fn engine(dir: &Path) {
        for file in ["both", "old", "new", "folder/status"] {
            let file = dir.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            if !file.exists() {
                std::fs::write(file, "engine").unwrap();
            }
        }
    }

    /// What an engine made beside them may be there; what was restored is as it was.
    #[track_caller]
    fn is_new(dir: &Path, when: &str) {
        for file in ["both", "new", "folder/inner"] {
            let content = std::fs::read_to_string(dir.join(file)).unwrap();
            assert_eq!(content, "new", "{file}: {when}");
        }
        let beside: Vec<String> =
            names(dir).into_iter().filter(|n| n.starts_with(".ragpod-")).collect();
        assert_eq!(beside, [".ragpod-replaced"], "{when}");
    }

    #[track_caller]
    fn is_old(dir: &Path, when: &str) {
        for file in [".hidden", "both", "old", "folder/inner"] {
            let content = std::fs::read_to_string(dir.join(file)).unwrap();
            assert!(["old", "engine"].contains(&&*content), "{file}: {when}");
        }
        assert!(!names(dir).iter().any(|n| n.starts_with(".ragpod-")), "{when}");
        let content = std::fs::read_to_string(dir.join(".hidden")).unwrap();
        assert_eq!(content, "old", "{when}");
    }

    /// What a script prints of a folder; `programs` are shell scripts that stand before the real ones.
    fn runs(script: &str, dir: &Path, input: &[u8], programs: &[(&str, &str)]) -> Output {
        let bin = tempfile::tempdir().unwrap();
        for (name, text) in programs {
            let file = bin.path().join(name);
            std::fs::write(&file, format!("#!/bin/bash\n{text}\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
        let mut child = Command::new("bash")
            .args(["-euc", script, "x"])
            .arg(dir)
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    const HOLDERS: &str = include_str!("scripts/holders.sh");
    const PACK: &str = include_str!("scripts/pack.sh");
    /// The real program, with what it would say of a file.
    fn and_says(program: &str, words: &str, code: u8) -> String {
        format!("/usr/bin/{program} \"$@\" || true\necho \"{program}: {words}\" >&2\nexit {code}")
    }

    #[test]
    fn files_of_any_name_that_hold_a_secret_are_found_and_stay_out() {
        let dir = tempfile::tempdir().unwrap();
        let odd = OsStr::from_bytes(b"caf\xe9\n $(x)]");
        std::fs::write(dir.path().join(odd), "a s3cret\0").unwrap();
        std::fs::write(dir.path().join("fine"), "nothing").unwrap();
        let found = runs(HOLDERS, dir.path(), b"s3cret\n", &[]);
        assert_eq!(found.stdout, [&b"./"[..], odd.as_bytes(), b"\0"].concat(), "{found:?}");
        let packed = runs(PACK, dir.path(), &found.stdout, &[]);
        assert!(packed.status.success(), "{packed:?}");
        let mut tar = tar::Archive::new(&packed.stdout[..]);
        let names: Vec<Vec<u8>> =
            tar.entries().unwrap().map(|e| e.unwrap().path_bytes().into_owned()).collect();
        assert_eq!(names, [b"./".to_vec(), b"./fine".to_vec()]);
    }

    #[test]
    fn what_goes_away_meanwhile_is_no_error_and_what_cannot_be_read_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("fine"), "s3cret").unwrap();
        let gone = "./x: No such file or directory";
        for (script, program) in [(HOLDERS, "grep"), (PACK, "tar")] {
            let run = |words: &str| {
                // What judges the words is a grep, too.
                let only = "case \"$*\" in *--recursive*|*--create*) ;; *) exec /usr/bin/grep \"$@\";; esac\n";
                let fake = format!("{only}{}", and_says(program, words, 2));
                runs(script, dir.path(), b"s3cret\n", &[(program, &fake)])
            };
            let ran = run(gone);
            assert!(ran.status.success() && !ran.stdout.is_empty(), "{program}: {ran:?}");
            for words in ["./x: Permission denied", "./x: Input/output error"] {
                let ran = run(words);
                assert_eq!(ran.status.code(), Some(2), "{program}: {ran:?}");
                assert!(String::from_utf8_lossy(&ran.stderr).contains(words), "{ran:?}");
            }
        }
        // One that was listed and is gone when its turn comes.
        let find = "/usr/bin/find \"$@\"; printf './gone\\0'";
        let ran = runs(PACK, dir.path(), b"", &[("find", find)]);
        assert!(ran.status.success(), "{ran:?}");
        let count = tar::Archive::new(&ran.stdout[..]).entries().unwrap().count();
        assert_eq!(count, 2);
    }
}
