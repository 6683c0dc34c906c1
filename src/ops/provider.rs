//! `provider test`: whether an instance's engine gets an embedding and a completion.

use serde::{Deserialize, Serialize};

use super::engine::{Streams, engine};
use super::{Ctx, idle, profile};
use crate::error::{Error, Result};
use crate::host::{Check, Status};
use crate::model::{Name, Part};

/// What came of asking a provider.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The instance whose provider it is.
    pub instance: String,
    /// Its kind.
    pub provider: String,
    /// Where it is; `None` for the one that is built in.
    pub base_url: Option<String>,
    /// The embedding, then the completion.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether both work.
    #[must_use]
    pub fn works(&self) -> bool {
        self.checks.iter().all(|check| check.status != Status::Fail)
    }
}

/// What the engine prints.
#[derive(Deserialize)]
struct Said {
    provider: String,
    base_url: Option<String>,
    checks: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    id: String,
    model: String,
    status: String,
    detail: String,
    fix: Option<String>,
}

/// Asks for one embedding and one completion, from the engine's container and through its gateway.
/// Nothing is tried twice.
///
/// # Errors
/// That the provider does not work is in the report, and no error. [`Kind::Usage`] for an engine
/// that is not ragpod's own.
///
/// [`Kind::Usage`]: crate::error::Kind::Usage
pub async fn test(ctx: Ctx<'_>, name: &Name) -> Result<Report> {
    let instead = format!("try it with a question: ragpod query {name} 'what is …?'");
    profile::own_only(ctx, name, "test of its provider", &instead)?;
    let _through = idle::begin(ctx, name, Part::App).await?;
    ctx.progress.step(&format!("{name}: asking its provider"));
    let args = ["provider", "test", "--json"].map(str::to_owned);
    let mut last = None;
    let (_, error) = engine(name, Streams::default(), args)
        .events(|line| last = serde_json::from_str::<Said>(line).ok().or(last.take()))
        .await?;
    match (last, error) {
        (Some(said), _) => Ok(report(name, said)),
        (None, Some(mut error)) => {
            error.message = format!("the engine of {name} could not ask its provider");
            Err(error.hint(format!("see its log: ragpod logs {name} -n 50 app")))
        }
        (None, None) => Err(Error::failed(format!("the engine of {name} said nothing"))),
    }
}

fn report(name: &Name, said: Said) -> Report {
    let checks = said
        .checks
        .into_iter()
        .map(|asked| {
            let id = if asked.id == "embedding" { "embedding" } else { "completion" };
            let status = match asked.status.as_str() {
                "pass" => Status::Pass,
                "skip" => Status::Skip,
                _ => Status::Fail,
            };
            let check = Check::new(id, status, format!("{}: {}", asked.model, asked.detail));
            match asked.fix {
                Some(fix) => check.fix(fix),
                None => check,
            }
        })
        .collect();
    Report { instance: name.to_string(), provider: said.provider, base_url: said.base_url, checks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_what_the_engine_said() {
        let said = serde_json::from_str(
            r#"{"instance": "x", "provider": "azure", "base_url": "https://h", "checks": [
                {"id": "embedding", "model": "v", "status": "pass", "detail": "8 dimensions, 3 ms", "fix": null},
                {"id": "completion", "model": "c", "status": "fail", "detail": "h refuses the key (401)",
                 "fix": "store it: `ragpod secret rotate work api-key`"}]}"#,
        )
        .unwrap();
        let report = report(&"work".parse().unwrap(), said);
        assert!(!report.works());
        assert_eq!(report.checks[0].detail, "v: 8 dimensions, 3 ms");
        assert_eq!(
            report.checks[1].fix.as_deref(),
            Some("store it: `ragpod secret rotate work api-key`")
        );
    }
}
