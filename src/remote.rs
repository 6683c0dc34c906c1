//! Commands for another machine: what `ssh` is told. Pure; `commands` runs it.
//!
//! The other machine's own ragpod does the work. Its arguments are those that were typed here; it
//! is found where a login shell would find it, and the user's runtime directory with it, because
//! a shell that ssh starts reads neither profile.

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Another machine, as ssh(1) takes it: `server`, `user@server` or `ssh://user@server:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.starts_with('-') {
            return Err("write it as ssh takes it: user@server".to_owned());
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("the name of a machine has no blanks".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The arguments that the other machine's ragpod gets: those that were typed, without `--host`.
///
/// # Errors
/// One of them is not UTF-8, which no argument of ragpod is.
pub fn arguments(typed: &[OsString]) -> Result<Vec<String>> {
    let mut args = Vec::new();
    let mut words = typed.iter().skip(1);
    while let Some(word) = words.next() {
        let word = word.to_str().ok_or_else(|| {
            Error::usage(format!("an argument is not UTF-8: {}", word.to_string_lossy()))
        })?;
        match word {
            // What follows belongs to a program in a container.
            "--" => {
                args.push(word.to_owned());
                let rest = words.map(|w| w.to_str().map(str::to_owned));
                args.extend(
                    rest.collect::<Option<Vec<_>>>()
                        .ok_or_else(|| Error::usage("an argument after -- is not UTF-8"))?,
                );
                return Ok(args);
            }
            "--host" => drop(words.next()),
            _ if word.starts_with("--host=") => {}
            _ => args.push(word.to_owned()),
        }
    }
    Ok(args)
}

/// A command line that any shell (sh, bash, zsh, fish) reads as: run `script` in sh with these
/// arguments.
#[must_use]
pub fn command(script: &str, args: &[String]) -> String {
    let mut line = format!("exec sh -c {} ragpod", quote(script));
    for arg in args {
        line.push(' ');
        line.push_str(&quote(arg));
    }
    line
}

/// The script that becomes ragpod with its arguments. `missing` is what is said when there is
/// none; `colourless` that nobody wants colour here.
#[must_use]
pub fn run(missing: &str, colourless: bool) -> String {
    format!(
        "{FIND}{}command -v ragpod >/dev/null || {{ printf '%s\\n' {} >&2; exit 3; }}\n\
         exec ragpod \"$@\"",
        if colourless { "export NO_COLOR=1\n" } else { "" },
        quote(missing)
    )
}

/// Where ragpod may lie that no profile is read for, and where the user's bus is.
const FIND: &str = "unset RAGPOD_HOST\n\
    PATH=$PATH:$HOME/.local/bin:$HOME/.cargo/bin\n\
    export PATH\n\
    if [ -z \"$XDG_RUNTIME_DIR\" ] && [ -d \"/run/user/$(id -u)\" ]; then\n\
    export XDG_RUNTIME_DIR=\"/run/user/$(id -u)\"\n\
    fi\n";

/// The script that lays the files of an archive on standard input into a new directory, which
/// only its owner can look into, and prints its name. What commands that were cut off have left is
/// swept after a day.
pub const LAY: &str = "umask 077\n\
    t=${TMPDIR:-/var/tmp}\n\
    find \"$t\" -maxdepth 1 -user \"$(id -u)\" -name 'ragpod-files.??????????' -mtime +0 \
    -exec rm -rf {} + 2>/dev/null\n\
    d=$(mktemp -d \"$t/ragpod-files.XXXXXXXXXX\") || exit 1\n\
    trap 'rm -rf \"$d\"; exit 1' HUP INT TERM PIPE\n\
    if tar -xf - -C \"$d\" && printf %s \"$d\"; then exit 0; fi\n\
    rm -rf \"$d\"\n\
    exit 1";

/// The script that prints one of those directories as an archive.
pub const FETCH: &str = "tar -cf - -C \"$1\" .";

/// The script that removes such a directory.
pub const CLEAR: &str = "case $1 in */ragpod-files.??????????) rm -rf \"$1\";; esac";

/// Quotes a word so that sh and fish read the same: to fish, a backslash within quotes is one more
/// way to quote, so none stays within them.
fn quote(word: &str) -> String {
    let mut quoted = String::from("'");
    for c in word.chars() {
        match c {
            '\'' | '\\' => quoted.extend(["'\\", c.encode_utf8(&mut [0; 4]), "'"]),
            _ => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn arguments_of(words: &[&str]) -> Vec<String> {
        arguments(&words.iter().map(OsString::from).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_machine_itself_is_no_argument() {
        assert_eq!(
            arguments_of(&["ragpod", "--host", "me@there", "up", "notes", "--host=x"]),
            ["up", "notes"]
        );
        assert_eq!(
            arguments_of(&["ragpod", "exec", "notes", "--", "curl", "--host", "x"]),
            ["exec", "notes", "--", "curl", "--host", "x"]
        );
    }

    #[test]
    fn a_machine_is_no_option_of_ssh() {
        for bad in ["", "-oProxyCommand=x", "a b", "a\nb"] {
            assert!(bad.parse::<Host>().is_err(), "{bad:?}");
        }
        for good in ["server", "me@server", "ssh://me@server:2222", "::1"] {
            assert_eq!(good.parse::<Host>().unwrap().to_string(), good);
        }
    }

    fn shell(line: &str) -> String {
        let output = Command::new("sh").args(["-c", line]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_argument_arrives(args in prop::collection::vec("[^\0]{0,12}", 1..4)) {
            let line = command("printf '%s\\0' \"$@\"", &args);
            let got = shell(&line);
            prop_assert_eq!(got.split_terminator('\0').collect::<Vec<_>>(), args);
        }
    }

    #[test]
    fn no_backslash_stays_within_quotes() {
        assert_eq!(quote(r"a'\b"), r"'a'\'''\\'b'");
    }

    #[test]
    fn where_there_is_no_ragpod_it_is_said() {
        let line = command(&run("error: it's not here", true), &["list".to_owned()]);
        let output =
            Command::new("/bin/sh").args(["-c", &line]).env("PATH", "/nowhere").output().unwrap();
        assert_eq!(output.status.code(), Some(127), "sh itself is not found: {output:?}");
        let output = Command::new("/bin/sh")
            .args(["-c", &line])
            .envs([("PATH", "/usr/bin:/bin"), ("HOME", "/nowhere")])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(output.stderr, b"error: it's not here\n");
    }

    #[test]
    fn only_what_was_laid_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let dir = camino::Utf8Path::from_path(dir.path()).unwrap();
        std::fs::create_dir(dir.join("ragpod-files.0123456789")).unwrap();
        std::fs::create_dir(dir.join("other")).unwrap();
        for name in ["ragpod-files.0123456789", "other"] {
            shell(&command(CLEAR, &[dir.join(name).to_string()]));
        }
        assert!(!dir.join("ragpod-files.0123456789").exists() && dir.join("other").exists());
    }
}
