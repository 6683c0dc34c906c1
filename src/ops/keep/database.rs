//! The database of an instance, dumped and restored by the superuser.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use serde::Deserialize;
use serde_json::Value;

use super::super::databases::{self, ident, inside, psql, run};
use super::super::interruption::Interruption;
use crate::archive::{Archive, DATABASE, Documents, Index, LIST, Server, Staged};
use crate::error::{Error, Result};
use crate::exec::Talk;
use crate::model::{Instance, Name};

/// What says what is in a database.
pub(super) const FACTS: &str = include_str!("sql/facts.sql");
/// What gives graphs their place after a restore.
pub(super) const GRAPHS: &str = include_str!("sql/graphs.sql");
/// What looks whether graphs can be asked.
pub(super) const WALK: &str = include_str!("sql/walk.sql");
/// The script that restores a dump in the database's container.
pub(super) const RESTORE: &str = include_str!("scripts/restore.sh");

/// What is being restored lies here until it takes the database's place. No manifest can have a
/// database of this name.
pub(super) const RESTORING: &str = "ragpod-restoring";
/// What was replaced, until what took its place was found healthy.
pub(super) const REPLACED: &str = "ragpod-replaced";

/// Prints what is in a dump, and that this was all. The dump is read to its end: Podman takes the
/// reset that conmon's socket sees when a program leaves input unread for the end of its output,
/// and drops what was on the way, with exit code 0.
const LISTING: &str = "pg_restore --list; cat > /dev/null; echo '; end of the list'";
const LISTED: &str = "; end of the list\n";

/// What is in a database.
#[derive(Debug, Deserialize)]
pub(super) struct Facts {
    version: String,
    /// The server's major version.
    pub major: u32,
    extensions: BTreeMap<String, String>,
    /// Rows by table.
    pub tables: BTreeMap<String, u64>,
    /// Documents by state.
    pub documents: Option<Documents>,
    /// What the engine noted of its index.
    pub engine: Option<Value>,
}

impl Facts {
    fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text.trim()).map_err(|e| {
            Error::failed("the database did not say what is in it").cause(e.to_string())
        })
    }

    /// The server, for an index.
    pub fn server(&self, instance: &Instance) -> Server {
        Server {
            version: self.version.clone(),
            major: self.major,
            extensions: self.extensions.clone(),
            database: instance.postgres.database.to_string(),
            user: instance.postgres.user.to_string(),
        }
    }
}

/// What [`FACTS`] printed.
pub(super) fn parse_facts(text: &str) -> Result<Facts> {
    Facts::parse(text)
}

/// What is in a database of the instance now.
pub(super) fn facts(name: &Name, database: &str) -> Result<Facts> {
    Facts::parse(&run(name, database, FACTS)?)
}

/// The database as it was at one moment, while others go on writing to it.
pub(super) struct Snapshot {
    /// The transaction that holds it ends with this.
    _talk: Talk,
    id: String,
    /// What is in it.
    pub facts: Facts,
}

impl Snapshot {
    /// Takes one.
    pub fn take(instance: &Instance) -> Result<Self> {
        let mut talk =
            psql(&instance.name, "postgres", instance.postgres.database.as_str()).converse()?;
        let id = talk.ask(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSELECT pg_export_snapshot();",
        )?;
        let facts = Facts::parse(&talk.ask(FACTS)?)?;
        Ok(Self { _talk: talk, id, facts })
    }

    /// Dumps it.
    pub fn dump(
        &self,
        instance: &Instance,
        into: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let snapshot = format!("--snapshot={}", self.id);
        let argv = ["pg_dump", "--username=postgres", "--format=custom", "--compress=zstd:3"];
        let argv = argv.into_iter().chain([&*snapshot, instance.postgres.database.as_str()]);
        inside(&instance.name, argv).produce(b"", into).map_err(|mut e| {
            if e.kind == crate::error::Kind::Failed {
                e.message = format!("the database of {} could not be dumped", instance.name);
            }
            e
        })
    }
}

/// What of a dump is to be restored into a database that has its extensions.
pub(super) fn list(name: &Name, dump: &mut Staged) -> Result<String> {
    let all = inside(name, ["bash", "-euc", LISTING]).consume(&mut dump.reader()?)?;
    let all = all.strip_suffix(LISTED).ok_or_else(|| {
        Error::failed(format!("what is in the dump of {name} was not told to the end"))
            .hint("run the same command again")
    })?;
    Ok(wanted(all))
}

/// Leaves out of a list what the database has by itself: extensions, their schema, who may do what.
fn wanted(list: &str) -> String {
    let keep = |line: &&str| {
        let Some((_, rest)) = line.split_once("; ") else { return true };
        let mut words = rest.splitn(3, ' ');
        let (_, _, what) = (words.next(), words.next(), words.next().unwrap_or_default());
        let out = ["EXTENSION ", "COMMENT ", "ACL ", "DEFAULT ACL ", "SCHEMA - ag_catalog "];
        line.starts_with(';') || !out.iter().any(|o| what.starts_with(o))
    };
    list.lines().filter(keep).map(|line| format!("{line}\n")).collect()
}

/// What is there already when an instance's database is made, and those that a backup has besides.
pub(super) fn extensions(index: &Index) -> String {
    index
        .postgres
        .extensions
        .keys()
        .filter(|e| !["plpgsql", "vector", "age"].contains(&e.as_str()))
        .map(|e| format!("CREATE EXTENSION IF NOT EXISTS {} CASCADE;\n", ident(e)))
        .collect()
}

/// The list and the dump of a backup, as the restoring scripts read them.
pub(super) fn with_dump<T>(
    archive: &Archive,
    take: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<T> {
    let missing = || Error::failed(format!("{} has no dump", archive.path()));
    let list = archive.small(LIST)?.ok_or_else(missing)?;
    let head = [format!("{}\n", list.len()).as_bytes(), &list].concat();
    archive.member(DATABASE, |dump| take(&mut Cursor::new(head).chain(dump)))?.ok_or_else(missing)
}

/// Restores a backup into a database of its own beside the instance's, and counts. Nothing of it is
/// there when that fails.
pub(super) fn restore(
    instance: &Instance,
    archive: &Archive,
    index: &Index,
    interruption: &Interruption,
) -> Result<Facts> {
    let name = &instance.name;
    databases::remove(name, RESTORING)?;
    let restored = restore_new(instance, archive, index, interruption);
    if restored.is_err() {
        // What went wrong first is told.
        let _ = databases::remove(name, RESTORING);
    }
    restored
}

fn restore_new(
    instance: &Instance,
    archive: &Archive,
    index: &Index,
    interruption: &Interruption,
) -> Result<Facts> {
    let name = &instance.name;
    databases::make(name, RESTORING)?;
    crate::fault::point("database-made");
    run(name, RESTORING, &extensions(index))?;
    let user = instance.postgres.user.as_str();
    let script = inside(name, ["bash", "-euc", RESTORE, "restore", user, RESTORING]);
    with_dump(archive, |input| script.consume(&mut interruption.reading(input))).map_err(
        |mut e| {
            e.message = format!("the database of the backup could not be restored into {name}");
            e.hint(format!(
                "see whether it can be at all: ragpod backup --verify {}",
                archive.path()
            ))
        },
    )?;
    crate::fault::point("database-restored");
    interruption.check()?;
    let graphs = run(name, RESTORING, GRAPHS).and_then(|_| run(name, RESTORING, WALK));
    graphs.map_err(|mut e| {
        e.message = format!("the graphs of the backup cannot be asked in {name}");
        e
    })?;
    let facts = facts(name, RESTORING)?;
    compare(index, &facts)?;
    Ok(facts)
}

/// Fails unless a restored database has what the backup says.
pub(super) fn compare(index: &Index, facts: &Facts) -> Result<()> {
    let differences = index.differences(&facts.tables);
    if differences.is_empty() {
        return Ok(());
    }
    let error = Error::failed("what was restored is not what the backup says");
    Err(differences.into_iter().take(10).fold(error, Error::cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_has_by_itself_is_not_restored() {
        let list = ";\n; Archive created at now\n8; 2615 1 SCHEMA - ag_catalog postgres\n\
                    2; 3079 2 EXTENSION - age \n4; 0 0 COMMENT - EXTENSION age \n\
                    4708; 0 0 ACL ag_catalog FUNCTION f() postgres\n\
                    7; 2615 9 SCHEMA - graph u\n238; 1259 17452 TABLE graph t u\n\
                    4122; 0 16716 TABLE DATA ag_catalog ag_graph postgres\n";
        assert_eq!(
            wanted(list),
            ";\n; Archive created at now\n7; 2615 9 SCHEMA - graph u\n\
             238; 1259 17452 TABLE graph t u\n\
             4122; 0 16716 TABLE DATA ag_catalog ag_graph postgres\n"
        );
    }

    #[test]
    fn facts_are_read() {
        let facts = Facts::parse(
            "{\"version\":\"17.6\",\"major\":17,\"extensions\":{\"age\":\"1.6.0\"},\"tables\":\
             {\"public.a\":3},\"documents\":null,\"engine\":null}\n",
        )
        .unwrap();
        assert_eq!((facts.major, facts.tables["public.a"]), (17, 3));
        assert!(Facts::parse("").is_err());
    }
}
