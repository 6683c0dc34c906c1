//! `graph`: the manifests, drawn. Asks neither Podman nor systemd.

use super::{Ctx, manifests};
use crate::error::{Error, Kind, Result};
use crate::graph::Drawn;
use crate::model::Name;

/// The instances to draw, and what kept others out of the drawing.
///
/// # Errors
/// A named instance that is not there or whose manifest is wrong; no instance at all.
pub fn graph(ctx: Ctx<'_>, names: &[Name]) -> Result<(Vec<Drawn>, Vec<Error>)> {
    let draw = |name: &Name| {
        manifests::load(ctx.env, name).map(|instance| Drawn::new(&instance, &ctx.env.home))
    };
    if !names.is_empty() {
        let drawn = names.iter().map(draw).collect::<Result<Vec<Drawn>>>()?;
        return Ok((drawn, Vec::new()));
    }
    let all = manifests::names(ctx.env)?;
    if all.is_empty() {
        return Err(Error::new(Kind::NoInstance, "there is no instance yet")
            .hint("make one: ragpod create NAME --source DIR"));
    }
    let (drawn, wrong): (Vec<_>, Vec<_>) = all.iter().map(draw).partition(Result::is_ok);
    Ok((
        drawn.into_iter().filter_map(Result::ok).collect(),
        wrong.into_iter().filter_map(Result::err).collect(),
    ))
}
