//! The databases of an instance's server: made, filled beside the one in use, given its place. All
//! of it is done through `podman exec` and the server's socket, which asks the superuser for no
//! password.

use crate::error::Result;
use crate::exec::Cmd;
use crate::model::{Name, Part};
use crate::podman::{ExecOptions, Podman};

/// A program in the database's container, with a standard input.
pub(super) fn inside<'a>(name: &Name, argv: impl IntoIterator<Item = &'a str>) -> Cmd {
    let options = ExecOptions { interactive: true, ..ExecOptions::default() };
    Podman::new().exec(&Part::Postgres.podman_name(name), &options, argv)
}

/// psql as a role, reading statements from its standard input.
pub(super) fn psql(name: &Name, role: &str, database: &str) -> Cmd {
    let argv = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", role, "-d"];
    inside(name, argv.into_iter().chain([database]))
}

/// Runs statements of the superuser in a database; gives what they print.
pub(super) fn run(name: &Name, database: &str, sql: &str) -> Result<String> {
    psql(name, "postgres", database).with_input(sql.as_bytes())
}

/// Whether a database is there.
pub(super) fn is_there(name: &Name, database: &str) -> Result<bool> {
    let all = run(name, "postgres", "SELECT datname FROM pg_database;")?;
    Ok(all.lines().any(|line| line == database))
}

/// Makes a database with the extensions and the role's rights, as an instance's own is made.
pub(super) fn make(name: &Name, database: &str) -> Result<()> {
    let options = ExecOptions {
        env: vec![("POSTGRES_DB".to_owned(), database.to_owned())],
        ..ExecOptions::default()
    };
    let container = Part::Postgres.podman_name(name);
    Podman::new().exec(&container, &options, ["ragpod-initdb"]).stdout().map(drop)
}

/// Removes a database, whoever is connected to it; one that is not there is no error.
pub(super) fn remove(name: &Name, database: &str) -> Result<()> {
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE);", ident(database));
    run(name, "postgres", &sql).map(drop)
}

/// Gives two databases other names in one transaction, and ends all connections to them for that.
pub(super) fn rename(name: &Name, first: [&str; 2], second: [&str; 2]) -> Result<()> {
    let [[a, b], [c, d]] = [first, second];
    let sql = format!(
        "SET client_min_messages = warning;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('{a}', '{c}') \\g /dev/null
         BEGIN;
         ALTER DATABASE \"{a}\" RENAME TO \"{b}\";
         ALTER DATABASE \"{c}\" RENAME TO \"{d}\";
         COMMIT;"
    );
    run(name, "postgres", &sql).map(drop)
}

/// A name as SQL writes it.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
