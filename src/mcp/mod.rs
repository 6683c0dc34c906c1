//! The second front: the instances named on a command line as tools of the Model Context Protocol,
//! over standard input and output.
//!
//! Nothing but the protocol goes to standard output. A client sees the named instances and no
//! other. Operations run on threads of their own (`run`), so that one that waits keeps nobody else
//! waiting; a request that is cancelled takes what it had begun with it.

pub mod config;
mod output;
mod params;
mod run;
mod tools;

use std::collections::BTreeSet;

use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use tokio::signal::unix::{SignalKind, signal};

use crate::env::Env;
use crate::error::{Error, Result};
use crate::model::Name;
use crate::ops::progress::Silent;
use crate::ops::{Ctx, idle, manifests};
use crate::output::Printer;
use tools::Server;

/// What is served.
#[derive(Debug)]
pub struct Offer {
    /// These instances and no other.
    pub names: Vec<Name>,
    /// Without the tools that change something.
    pub read_only: bool,
}

/// Serves until the client closes our standard input, or a signal asks to end.
///
/// # Errors
/// [`Kind::NoInstance`](crate::error::Kind::NoInstance) for a name that nothing has: before anything
/// is served. [`Kind::Failed`](crate::error::Kind::Failed) when what comes first is no request of
/// the protocol.
pub async fn serve(env: &Env, printer: &Printer, offer: Offer) -> Result<()> {
    let names = known(env, offer.names)?;
    let list = names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
    if env.stdin_tty {
        printer.say("this speaks the Model Context Protocol and is started by a program;");
        printer.say(&format!("what to tell it: ragpod mcp-config {}", list.replace(", ", " ")));
    }
    let cannot = |e: std::io::Error| Error::failed("cannot hear signals").cause(e.to_string());
    let mut interrupted = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(cannot)?;
    let asked_to_end = async {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    };
    tokio::pin!(asked_to_end);

    // As long as this session lasts, its instances are in use.
    let quiet = Ctx { env, progress: &Silent, summary: "ragpod mcp" };
    let _sessions: Vec<_> = names.iter().map(|name| idle::session(quiet, name)).collect();
    let server = Server::new(env.with_runtime_dir(), printer.clone(), names, offer.read_only);
    let begun = tokio::select! {
        begun = server.serve(rmcp::transport::stdio_pipes()) => begun,
        () = &mut asked_to_end => return Ok(()),
    };
    let running = match begun {
        Ok(running) => running,
        // It ended before it had said anything.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(e) => {
            return Err(Error::failed("what came on standard input does not begin the protocol")
                .cause(e.to_string())
                .hint(format!("have it started by a client: ragpod mcp-config {list}")));
        }
    };
    printer.say(&format!("ragpod mcp: serving {list}"));
    let stop = running.cancellation_token();
    let ended = running.waiting();
    tokio::pin!(ended);
    tokio::select! {
        _ = &mut ended => {}
        () = asked_to_end => {
            // Requests that are under way are cancelled with it.
            stop.cancel();
            let _ = ended.await;
        }
    }
    Ok(())
}

/// Each name once; all of them must have a manifest.
fn known(env: &Env, names: Vec<Name>) -> Result<Vec<Name>> {
    let mut seen = BTreeSet::new();
    for name in &names {
        manifests::require(env, name)?;
    }
    Ok(names.into_iter().filter(|name| seen.insert(name.clone())).collect())
}
