//! A PostgreSQL server in a container, asked over its socket: the old one as it runs, or one that is
//! made for the moment.

use std::time::Duration;

use super::super::Ctx;
use super::super::interruption::Interruption;
use super::dump;
use super::origin::{Form, Origin, Packing, Place};
use crate::error::{Error, Result};
use crate::exec::Cmd;
use crate::model::Name;
use crate::podman::{Aside, Podman, Seen};

const SCRIPT: &str = include_str!("server.sh");
/// How the old container's own server is asked, as whom its image made: the password, if its socket
/// asks for one, is in its own environment.
const ASK: &str = r#"
export PGUSER="${POSTGRES_USER:-postgres}" PGAPPNAME=ragpod
[ -z "${POSTGRES_PASSWORD_FILE:-}" ] || POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
export PGPASSWORD="${POSTGRES_PASSWORD:-}" PGDATABASE="${1:-${POSTGRES_DB:-$PGUSER}}"
shift
exec "$@"
"#;

/// A server that can be asked.
pub(super) struct Server {
    podman: Podman,
    container: String,
    /// The superuser of one that was made for the moment; `None` for an old one.
    superuser: Option<String>,
    /// What to do when it is not needed any more.
    _made: Option<Made>,
}

/// A container that was made; it goes when this does.
struct Made(String);

impl Drop for Made {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next import, or with the instance.
        let _ = Podman::new().aside_rm(&self.0);
    }
}

/// What the container for an instance's import is called. No instance's part is.
pub(super) fn aside_name(name: &Name) -> String {
    format!("ragpod-import-{name}")
}

impl Server {
    /// The server of an origin; one that is made for it has its data when this returns.
    pub fn of(
        ctx: Ctx<'_>,
        name: &Name,
        image: &str,
        origin: &Origin,
        watch: &Interruption,
    ) -> Result<Self> {
        match origin {
            Origin::Container { program, name, .. } => Ok(Self {
                podman: Podman::at(*program),
                container: name.clone(),
                superuser: None,
                _made: None,
            }),
            Origin::Dump { file, packing, form } => {
                let server = Self::made(ctx, name, image, Seen::Nothing, &[""], watch)?;
                ctx.progress.step(&format!("{name}: reading {file}"));
                server.load(file, *packing, *form)?;
                Ok(server)
            }
            Origin::DumpFolder(dir) => {
                let seen = Seen::Folder(dir.as_str());
                let server = Self::made(ctx, name, image, seen, &[""], watch)?;
                ctx.progress.step(&format!("{name}: reading {dir}"));
                server.psql("postgres", "CREATE DATABASE import")?;
                // What folders hold is read by root: it is the user's own.
                let cmd = server.podman.fed(&server.container, None);
                dump::load_folder(&server.with_socket(cmd), "/old")?;
                Ok(server)
            }
            Origin::Files { place, major, image: old, .. } => {
                let image = if major == "17" {
                    image
                } else {
                    old.as_deref().ok_or_else(|| {
                        Error::usage(format!("the old data are of PostgreSQL {major}")).hint(
                            "name an image that has that version, pgvector and AGE: --image IMAGE",
                        )
                    })?
                };
                let seen = match place {
                    Place::Folder(dir) => Seen::Folder(dir.as_str()),
                    Place::Volume(volume) => Seen::Volume(volume),
                };
                ctx.progress.step(&format!("{name}: copying {}", origin.sentence()));
                Self::made(ctx, name, image, seen, &["data"], watch)
            }
        }
    }

    /// Makes a server and waits until it answers.
    fn made(
        ctx: Ctx<'_>,
        name: &Name,
        image: &str,
        seen: Seen<'_>,
        args: &[&str],
        watch: &Interruption,
    ) -> Result<Self> {
        let podman = Podman::new();
        let container = aside_name(name);
        podman.aside_rm(&container)?;
        let made = Made(container.clone());
        let aside = Aside { name: &container, instance: name, image, seen, script: SCRIPT, args };
        podman.aside(&aside)?;
        let mut server =
            Self { podman, container, superuser: Some("postgres".to_owned()), _made: Some(made) };
        ctx.progress.step(&format!("{name}: starting a server for the old data"));
        loop {
            watch.check()?;
            if !server.podman.is_running(&server.container) {
                return Err(Error::failed("the old data cannot be read")
                    .cause(server.podman.last_words(&server.container))
                    .hint("import a dump instead: pg_dump --format=custom --file=FILE DATABASE"));
            }
            if let Ok(user) = server.plain(["cat", "/aside/superuser"]).stdout() {
                server.superuser = Some(user.trim().to_owned());
                if server.psql("template1", "SELECT 1").is_ok() {
                    return Ok(server);
                }
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn plain<const N: usize>(&self, argv: [&str; N]) -> Cmd {
        self.podman.fed(&self.container, None).args(argv)
    }

    fn with_socket(&self, cmd: Cmd) -> Cmd {
        let user = self.superuser.as_deref().unwrap_or("postgres");
        cmd.args(["env", "PGHOST=/aside/run", "LC_ALL=C"]).arg(format!("PGUSER={user}"))
    }

    /// A program in the container that finds the server and a database by itself.
    fn client(&self, database: &str) -> Cmd {
        if self.superuser.is_some() {
            // Not as root: a dump is a program, and this one is given nothing.
            let cmd = self.podman.fed(&self.container, Some("postgres"));
            return self.with_socket(cmd).arg(format!("PGDATABASE={database}"));
        }
        self.podman.fed(&self.container, None).args(["sh", "-euc", ASK, "ask", database])
    }

    /// What a statement gives, as text.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let args = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"];
        self.client(database)
            .args(args)
            .args(["--set=ON_ERROR_STOP=1", "--file=-"])
            .with_input(sql.as_bytes())
    }

    /// The databases that people made, and `postgres`.
    pub fn databases(&self) -> Result<Vec<String>> {
        let sql =
            "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1";
        let any = if self.superuser.is_some() { "template1" } else { "" };
        Ok(self.psql(any, sql)?.lines().map(str::to_owned).collect())
    }

    /// The command that writes tables as an archive to its standard output: one that any other
    /// server's `pg_restore` can read, with whatever it was built.
    pub fn dump(&self, database: &str, tables: &[String]) -> Cmd {
        let args = ["pg_dump", "--format=custom", "--compress=0", "--no-comments"];
        self.client(database)
            .args(args)
            .args(["--no-publications", "--no-subscriptions", "--no-security-labels"])
            .args(tables.iter().map(|t| format!("--table={t}")))
    }

    /// Fills the server with a dump.
    fn load(&self, file: &camino::Utf8Path, packing: Packing, form: Form) -> Result<()> {
        self.psql("postgres", "CREATE DATABASE import")?;
        dump::load(&self.client("import"), file, packing, form)
    }
}
