//! Into the instance: first into a database beside its own, which then takes that one's place.

use super::super::databases::{self, ident, psql};
use super::found::{Found, Label, Plan};
use super::server::Server;
use crate::error::{Error, Result};
use crate::fault;
use crate::model::Instance;

/// In the database's container: an archive on standard input into a database, as a role. Podman drops
/// what a program has printed when it leaves input unread.
const RESTORE: &str = r#"code=0
pg_restore --username="$1" --dbname="$2" --no-owner --no-privileges --no-comments --no-publications \
    --no-subscriptions --no-security-labels --no-tablespaces --exit-on-error --single-transaction \
    || code=$?
cat > /dev/null
exit "$code""#;

/// The database that is filled.
pub(super) const FILLED: &str = "ragpod-import";
/// What the instance's own is called until the new one is proved.
const REPLACED: &str = "ragpod-replaced-by-import";

/// The documents of a database at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Documents {
    pub documents: u64,
    /// Their number and a hash of all that is noted of them.
    rows: String,
}

/// The instance's database server.
pub(super) struct Target<'a> {
    pub instance: &'a Instance,
}

impl Target<'_> {
    fn own(&self) -> &str {
        self.instance.postgres.database.as_str()
    }

    /// What a statement of the role that owns the database gives.
    pub fn ask(&self, database: &str, sql: &str) -> Result<String> {
        let role = self.instance.postgres.user.as_str();
        psql(&self.instance.name, role, database).with_input(sql.as_bytes())
    }

    /// How many documents there are, in whatever workspace.
    pub fn documents(&self) -> Result<u64> {
        self.state().map(|state| state.documents)
    }

    /// What there is, to be compared with what there is later.
    pub fn state(&self) -> Result<Documents> {
        let said = self.ask(
            self.own(),
            "SELECT to_regclass('public.lightrag_doc_status') IS NOT NULL AS there \\gset
             \\if :there
                 SELECT count(*), md5(string_agg(row, '' ORDER BY row))
                 FROM (SELECT md5(t::text) AS row FROM public.lightrag_doc_status t) r;
             \\else
                 SELECT 0;
             \\endif\n",
        )?;
        let said = said.trim();
        let count = said.split('|').next().and_then(|count| count.parse().ok());
        let documents = count.ok_or_else(|| {
            Error::failed("the instance's database did not say what it has").cause(said)
        })?;
        Ok(Documents { documents, rows: said.to_owned() })
    }

    /// Removes what an import that was cut off was filling.
    pub fn clear(&self) -> Result<()> {
        databases::remove(&self.instance.name, FILLED)
    }

    /// Whether the instance's own data are kept beside those that took their place.
    pub fn is_swapped(&self) -> Result<bool> {
        databases::is_there(&self.instance.name, REPLACED)
    }

    /// Removes those: nobody needs them any more.
    pub fn forget(&self) -> Result<()> {
        databases::remove(&self.instance.name, REPLACED)
    }

    /// Makes the database that is filled.
    pub fn prepare(&self) -> Result<()> {
        databases::make(&self.instance.name, FILLED)
    }

    /// Fills it from a server, as the role: what is brought over gets no more rights than the
    /// engine has. It comes as an archive: SQL as text could have commands of psql's in it.
    pub fn fill(&self, server: &Server, database: &str, found: &Found, plan: &Plan) -> Result<()> {
        let mut tables = vec!["public.lightrag_*".to_owned(), "public.ragpod_*".to_owned()];
        tables.extend(plan.graphs.iter().map(|graph| format!("\"{graph}\".*")));
        let schemas: String =
            plan.graphs.iter().map(|g| format!("CREATE SCHEMA {};\n", ident(g))).collect();
        let refused = |e: Error| {
            Error::failed("the instance's database did not take the old data").cause(e.to_string())
        };
        self.ask(FILLED, &schemas).map_err(refused)?;
        let role = self.instance.postgres.user.as_str();
        let restore = ["bash", "-euc", RESTORE, "restore", role, FILLED];
        let restore = databases::inside(&self.instance.name, restore);
        server.dump(database, &tables).drain(|dump| {
            restore.consume(dump).map_err(|mut e| {
                // The command line has a script in it.
                "pg_restore failed".clone_into(&mut e.message);
                refused(e)
            })
        })?;
        let register = catalogue(&plan.graphs, &found.labels);
        let register = format!("BEGIN;\n{register}COMMIT;\n");
        self.ask(FILLED, &register).map(drop).map_err(refused)
    }

    /// Lets the filled database take the place of the instance's own, which is kept. Nobody may be
    /// connected to it.
    pub fn swap(&self) -> Result<()> {
        databases::rename(&self.instance.name, [self.own(), REPLACED], [FILLED, self.own()])?;
        fault::point("swapped");
        Ok(())
    }

    /// Undoes that.
    pub fn swap_back(&self) -> Result<()> {
        databases::rename(&self.instance.name, [self.own(), FILLED], [REPLACED, self.own()])
    }
}

/// What registers graphs with AGE: their ids are numbers of this server's own.
fn catalogue(graphs: &[String], labels: &[Label]) -> String {
    let mut sql = String::new();
    for graph in graphs {
        sql.push_str(&format!(
            "INSERT INTO ag_catalog.ag_graph (graphid, name, namespace)\n\
             SELECT oid, nspname, oid::pg_catalog.regnamespace FROM pg_catalog.pg_namespace \
             WHERE nspname = {};\n",
            literal(graph)
        ));
    }
    for label in labels {
        let table = format!("{}.{}", ident(&label.graph), ident(&label.table));
        sql.push_str(&format!(
            "INSERT INTO ag_catalog.ag_label (name, graph, id, kind, relation, seq_name)\n\
             SELECT {}, graphid, {}, {}, {}::pg_catalog.regclass, {} FROM ag_catalog.ag_graph \
             WHERE name = {};\n",
            literal(&label.name),
            label.id,
            literal(&label.kind),
            literal(&table),
            literal(&label.sequence),
            literal(&label.graph)
        ));
    }
    sql
}

/// A text as SQL writes it. The server's `standard_conforming_strings` is on.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_names() {
        let label = Label {
            graph: "g'\"".into(),
            name: "b".into(),
            id: 3,
            kind: "v".into(),
            table: "b".into(),
            sequence: "s".into(),
        };
        let sql = catalogue(&["g'\"".into()], &[label]);
        assert!(sql.contains("nspname = 'g''\"'"), "{sql}");
        assert!(sql.contains("'\"g''\"\"\".\"b\"'::pg_catalog.regclass"), "{sql}");
    }
}
