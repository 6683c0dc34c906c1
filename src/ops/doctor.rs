//! `doctor`: what this host needs, with the cure of each fault.

use super::Ctx;
use crate::host::{Check, Facts, checks};
use crate::model::ImageKind;
use crate::podman::Podman;

/// Runs every check; none of them changes anything.
pub async fn doctor(ctx: Ctx<'_>) -> Vec<Check> {
    let images = ImageKind::ALL.map(ImageKind::image);
    checks(&Facts::gather(ctx.env, &Podman::new(), &images).await)
}
