//! Arguments of the verbs that go into an instance's containers.

use clap::{Args, ValueEnum};

use crate::model::{Name, Part};

/// A service of an instance, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// The engine
    App,
    /// The database
    Postgres,
    /// The gateway
    Egress,
    /// The pod
    Pod,
}

impl Service {
    /// The part that it is.
    #[must_use]
    pub fn part(self) -> Part {
        match self {
            Service::App => Part::App,
            Service::Postgres => Part::Postgres,
            Service::Egress => Part::Egress,
            Service::Pod => Part::Pod,
        }
    }
}

/// `exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// The instance's name
    pub name: Name,
    /// The container to run it in: app, postgres or egress
    #[arg(long, default_value = "app", hide_possible_values = true)]
    pub service: Service,
    /// Keep standard input open
    #[arg(short, long)]
    pub interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// `psql`.
#[derive(Debug, Args)]
pub struct Psql {
    /// The instance's name
    pub name: Name,
    /// Arguments for psql
    #[arg(last = true, value_name = "ARG")]
    pub args: Vec<String>,
}
