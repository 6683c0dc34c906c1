//! A dump read into a server that was made for it. A dump is a program; it runs there and nowhere
//! else, and what it says is judged.

use std::io::{self, BufRead, BufReader, Read, Write};

use camino::Utf8Path;
use secrecy::ExposeSecret;

use super::super::secrets;
use super::origin::{Form, Packing, unpacked};
use crate::error::{Error, Result};
use crate::exec::Cmd;

/// SQL on standard input, whose errors are judged afterwards: roles and the like need not be there.
const PSQL: &str = "psql --no-psqlrc --quiet --file=- 2>&1 >/dev/null";
/// The same for an archive.
const RESTORE: &str = "pg_restore --no-owner --no-privileges --dbname=import \"$@\" 2>&1";
/// After either: how it ended. Podman drops what a program has printed when it leaves input unread.
const ENDED: &str = "code=$?; cat > /dev/null; echo \"exit $code\"";

const AGAIN: &str = "make it again: pg_dump --format=custom --file=FILE DATABASE";

/// Reads a file; `client` runs a program that finds the server and the database by itself.
///
/// # Errors
/// It ends too early, or has what this server does not take.
pub(super) fn load(client: &Cmd, file: &Utf8Path, packing: Packing, form: Form) -> Result<()> {
    let program = if form == Form::Plain { PSQL } else { RESTORE };
    let cmd = client.clone().args(["sh", "-uc", &format!("{program}\n{ENDED}"), "load"]);
    let key = secrets::generate()?;
    let mut copied = Copied::new(key.expose_secret());
    let mut broken = None;
    let said = cmd
        .feed(|input| {
            let mut dump = unpacked(file, packing)?;
            broken = match form {
                Form::Plain => copied.sql(&mut dump, input)?,
                Form::Archive => copied.archive(&mut dump, input)?,
            };
            Ok(())
        })
        .map_err(without_script)?;
    if let Some(e) = broken {
        return Err(Error::io("read", file, &e).hint(AGAIN));
    }
    judge(&said)?;
    if form == Form::Plain {
        if said.matches(&copied.connected()).count() != copied.connects {
            return Err(Error::failed(format!("{file} cannot be read as SQL alone"))
                .cause("a text in it looks like a command of psql's")
                .hint(AGAIN));
        }
        if !copied.tail().contains("dump complete") {
            return Err(Error::failed(format!("{file} is not complete: its end is missing"))
                .hint("make it again: pg_dump --file=FILE DATABASE"));
        }
    }
    Ok(())
}

/// Reads a folder that the server's container sees.
///
/// # Errors
/// As [`load`].
pub(super) fn load_folder(client: &Cmd, dir: &str) -> Result<()> {
    let script = format!("{RESTORE}\n{ENDED}");
    let said = client.clone().args(["sh", "-uc", &script, "load", dir]).stdout();
    judge(&said.map_err(without_script)?)
}

fn without_script(mut e: Error) -> Error {
    "the dump cannot be read".clone_into(&mut e.message);
    e.hint(AGAIN)
}

/// What went by on the way to a server.
struct Copied<'a> {
    /// What nobody who wrote a dump can know.
    key: &'a str,
    last: Vec<u8>,
    /// How often SQL went over to another database.
    connects: usize,
}

impl<'a> Copied<'a> {
    fn new(key: &'a str) -> Self {
        Self { key, last: Vec::new(), connects: 0 }
    }

    fn see(&mut self, bytes: &[u8]) {
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(400)..]);
        let surplus = self.last.len().saturating_sub(400);
        self.last.drain(..surplus);
    }

    fn tail(&self) -> String {
        String::from_utf8_lossy(&self.last).into_owned()
    }

    /// What psql says when it goes over to another database.
    fn connected(&self) -> String {
        format!("connected-{}", self.key)
    }

    /// Copies what can be read; gives what ended that before its end.
    fn archive(
        &mut self,
        from: &mut dyn Read,
        to: &mut dyn Write,
    ) -> io::Result<Option<io::Error>> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return to.flush().map(|()| None),
                Ok(n) => {
                    self.see(&buffer[..n]);
                    to.write_all(&buffer[..n])?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return to.flush().map(|()| Some(e)),
            }
        }
    }

    /// Copies SQL, of which psql takes no command of its own (`\restrict`, where it knows that) but
    /// to go over to another database, as `pg_dump --create` and `pg_dumpall` write it.
    fn sql(&mut self, from: &mut dyn Read, to: &mut dyn Write) -> io::Result<Option<io::Error>> {
        let key = self.key;
        writeln!(to, "\\restrict {key}")?;
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
            match from.read_until(b'\n', &mut line) {
                Ok(0) => return to.flush().map(|()| None),
                Ok(_) => {}
                Err(e) => return to.flush().map(|()| Some(e)),
            }
            self.see(&line);
            if let Some(database) = connect(&line) {
                self.connects += 1;
                let connected = self.connected();
                // The one that the dump makes may need a locale that is not here.
                writeln!(to, "\\unrestrict {key}\n{}\\connect {database}", made(database))?;
                writeln!(to, "\\warn {connected}\n\\restrict {key}")?;
            } else if !is_restriction(&line) {
                to.write_all(&line)?;
            }
        }
    }
}

/// What makes a database, of a plain name, unless it is there.
fn made(database: &str) -> String {
    format!(
        "SELECT 'CREATE DATABASE \"{database}\"' WHERE NOT EXISTS (SELECT FROM \
         pg_catalog.pg_database WHERE datname = '{database}') \\gexec\n"
    )
}

/// The database that a line goes over to: a plain name, of which psql runs nothing.
fn connect(line: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(line.trim_ascii_end()).ok()?.strip_prefix("\\connect ")?;
    let name = name.strip_prefix("-reuse-previous=on ").unwrap_or(name);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!name.is_empty() && !name.starts_with('-') && name.chars().all(plain)).then_some(name)
}

/// `\restrict KEY` and `\unrestrict KEY`, which newer ones of `pg_dump` write. No line of data looks
/// like that: a backslash in it is two.
fn is_restriction(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    let key = line.strip_prefix(b"\\restrict ").or_else(|| line.strip_prefix(b"\\unrestrict "));
    key.is_some_and(|key| key.len() > 20 && key.iter().all(u8::is_ascii_alphanumeric))
}

/// Judges what psql or `pg_restore` complained of, and how it ended.
fn judge(said: &str) -> Result<()> {
    let fatal = |line: &str| {
        Err(Error::failed("the dump cannot be read")
            // It may repeat what a document says.
            .cause(line.trim().chars().take(160).collect::<String>())
            .hint(AGAIN))
    };
    let (said, last) = said.trim_end().rsplit_once('\n').unwrap_or(("", said.trim_end()));
    let Some(code) = last.strip_prefix("exit ").and_then(|code| code.parse::<u8>().ok()) else {
        return fatal("nobody told how its reading ended");
    };
    let mut ignored = false;
    for line in said.lines() {
        if line.contains("backslash commands are restricted") {
            return Err(Error::failed("the dump has a command of psql's in it, which is not run")
                .cause(line.trim().to_owned())
                .hint(AGAIN));
        }
        ignored |= line.contains("errors ignored on restore: ");
        if is_error(line) && !is_expected(line) {
            return fatal(line);
        }
    }
    match code {
        0 => Ok(()),
        1 if ignored => Ok(()),
        _ => fatal(said.lines().last().unwrap_or(&format!("it ended with exit code {code}"))),
    }
}

fn is_error(line: &str) -> bool {
    ["ERROR:", "FATAL:", "PANIC:", "error:"].iter().any(|word| line.contains(word))
}

/// Whether an error is one of those that leave the index whole: roles, extensions and what hangs on
/// them need not be there, and what there is already need not be made.
fn is_expected(line: &str) -> bool {
    let words = ["ERROR:", "error:"].iter().find_map(|word| line.rsplit_once(word));
    let what = words.map_or("", |(_, what)| what.trim());
    let of = |kinds: &[&str], end: &str| {
        what.contains(end)
            && kinds.iter().any(|kind| what.strip_prefix(kind).is_some_and(|w| w.starts_with(' ')))
    };
    let index = ["lightrag_", "ragpod_", "ag_catalog", "agtype", "graphid", "vector"];
    let index = index.iter().any(|name| what.contains(name));
    of(&["role", "extension"], "does not exist")
        || of(&["extension"], "is not available")
        || what.starts_with("could not open extension control file")
        || of(&["database"], "does not exist")
        || ["LC_COLLATE ", "LC_CTYPE ", ""]
            .iter()
            .any(|kind| what.starts_with(&format!("invalid {kind}locale name")))
        || of(&["role", "extension", "schema", "database"], "already exists")
        || of(&["type", "function", "operator", "relation", "table", "schema"], "does not exist")
            && !index
        // A psql that is older than these.
        || ["restrict", "unrestrict", "warn"].iter().any(|c| what == format!("invalid command \\{c}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_packed_dump_is_not_taken_for_all_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = camino::Utf8PathBuf::from_path_buf(dir.path().join("dump")).unwrap();
        let noise: Vec<u8> =
            (0..4000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&noise).unwrap();
        let zst = zstd::encode_all(&noise[..], 1).unwrap();
        for (packed, packing) in [(gz.finish().unwrap(), Packing::Gzip), (zst, Packing::Zstd)] {
            for form in [Form::Plain, Form::Archive] {
                let half = |bytes: &[u8]| {
                    std::fs::write(&path, bytes).unwrap();
                    let mut dump = unpacked(&path, packing).unwrap();
                    let mut copied = Copied::new("k");
                    let mut out = Vec::new();
                    match form {
                        Form::Plain => copied.sql(&mut dump, &mut out).unwrap(),
                        Form::Archive => copied.archive(&mut dump, &mut out).unwrap(),
                    }
                };
                assert!(half(&packed).is_none());
                assert!(half(&packed[..packed.len() / 2]).is_some(), "{packing:?}");
            }
        }
    }

    #[test]
    fn sql_is_read_without_commands_of_psqls() {
        let key = "a".repeat(63);
        let dump = format!(
            "\\restrict {key}\nCOPY x FROM stdin;\n\\\\restrict {key}\n\\.\n\\connect old-1\n\
             \\connect `id`\n\\unrestrict {key}\nend"
        );
        let mut out = Vec::new();
        let mut copied = Copied::new("KEY");
        assert!(copied.sql(&mut dump.as_bytes(), &mut out).unwrap().is_none());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "\\restrict KEY\nCOPY x FROM stdin;\n\\\\restrict {key}\n\\.\n\\unrestrict KEY\n\
                 {}\\connect old-1\n\\warn connected-KEY\n\\restrict KEY\n\\connect `id`\nend",
                made("old-1")
            )
        );
        assert_eq!(copied.connects, 1);
        for line in ["\\connect", "\\connect ", "\\connect -x", "\\connect a b", "\\connect \"a\""]
        {
            assert_eq!(connect(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn what_a_dump_may_lack() {
        for good in [
            "exit 0\n",
            "psql:<stdin>:9: ERROR:  role \"me\" does not exist\nexit 0\n",
            "pg_restore: error: could not execute query: ERROR:  extension \"postgis\" is not available\n\
             Command was: CREATE EXTENSION postgis\n\
             pg_restore: error: could not execute query: ERROR:  type \"public.geometry\" does not exist\n\
             pg_restore: warning: errors ignored on restore: 2\nexit 1\n",
            "psql:<stdin>:9: ERROR:  schema \"ag_catalog\" already exists\nexit 0",
            "psql:<stdin>:1: error: invalid command \\restrict\nexit 0",
            "psql:<stdin>:26: ERROR:  invalid LC_COLLATE locale name: \"en_US.UTF-8\"\n\
             psql:<stdin>:29: ERROR:  database \"minutes\" does not exist\nexit 0",
        ] {
            judge(good).unwrap();
        }
        for bad in [
            "psql:<stdin>:9: ERROR:  relation \"public.lightrag_doc_full\" does not exist\nexit 0",
            "psql:<stdin>:9: ERROR:  type \"ag_catalog.graphid\" does not exist\nexit 0",
            "psql:<stdin>:9: ERROR:  relation \"lightrag_doc_full\" already exists\nexit 0",
            "psql:<stdin>:9: ERROR:  syntax error at or near \"x\"\nexit 0",
            "psql:<stdin>:9: ERROR:  could not extend file: No space left on device\nexit 0",
            "pg_restore: error: could not read from input file: end of file\nexit 1",
            // Killed, without a word; and one that did not come to its end.
            "exit 137",
            "exit 1",
            "pg_restore: error: could not execute query: ERROR:  role \"me\" does not exist\nexit 1",
            "",
            "psql:<stdin>:9: ERROR:  role \"me\" does not exist",
        ] {
            assert!(judge(bad).is_err(), "{bad}");
        }
        let e = judge(
            "psql:<stdin>:3: error: backslash commands are restricted; only \\unrestrict is allowed\n\
             exit 0",
        );
        assert!(e.unwrap_err().message.contains("a command of psql's"));
    }
}
