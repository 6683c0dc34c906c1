//! `mcp` and `mcp-config`.

use std::process::ExitCode;

use super::Front;
use super::talk::become_program;
use crate::cli::{Mcp, McpConfig};
use crate::error::Result;
use crate::exec::this_program;
use crate::mcp::Offer;
use crate::mcp::config::{Client, Start};
use crate::remote::Host;
use crate::{mcp, ops};

pub(super) async fn serve(front: &Front<'_>, args: Mcp) -> Result<ExitCode> {
    // An engine with a server of its own, asked for alone: that is what speaks.
    if let ([name], false) = (args.names.as_slice(), args.read_only)
        && let Some(program) = front.with(async |ctx| ops::profile::mcp(ctx, name).await).await?
    {
        return become_program(&program);
    }
    let offer = Offer { names: args.names, read_only: args.read_only };
    mcp::serve(front.env, front.printer, offer).await?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn config(front: &Front<'_>, args: &McpConfig) -> Result<ExitCode> {
    for name in &args.mcp.names {
        ops::manifests::require(front.env, name)?;
    }
    print_config(front, args, None)
}

/// The configuration for instances of this machine, or of another one.
pub(super) fn print_config(
    front: &Front<'_>,
    args: &McpConfig,
    host: Option<&Host>,
) -> Result<ExitCode> {
    let McpConfig { mcp: Mcp { names, read_only }, client } = args;
    let start = Start::new(front.env, &this_program()?, names, *read_only);
    let start = match host {
        Some(host) => start.on(host),
        None => start,
    };
    if front.printer.json {
        front.printer.document(&start.value(*client))?;
    } else {
        front.printer.data(&start.text(*client)?)?;
    }
    front.printer.say(&if front.printer.json && *client == Client::Codex {
        format!("{} is TOML, which is printed without --json; this says the same", client.file())
    } else {
        format!("put it into {}, beside what is there", client.file())
    });
    Ok(ExitCode::SUCCESS)
}
