//! systemd's own word on calendar expressions.

use crate::error::{Kind, Result};
use crate::exec::Cmd;

/// Whether systemd takes a calendar expression; if not, why. Where `systemd-analyze` is not
/// installed nobody says no.
pub fn check_calendar(expression: &str) -> Result<Result<(), String>> {
    let cmd = Cmd::new("systemd-analyze").args(["calendar", "--", expression]);
    let output = match cmd.output() {
        Ok(output) => output,
        Err(e) if e.kind == Kind::Host => return Ok(Ok(())),
        Err(e) => return Err(e),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Ok(Err(why.lines().next().unwrap_or("it is none").to_owned()));
    }
    let never = said.lines().any(|l| l.trim_start().starts_with("Next elapse: never"));
    Ok(if never { Err("it never comes".to_owned()) } else { Ok(()) })
}
