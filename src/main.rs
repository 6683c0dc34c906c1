//! The `ragpod` program: parses, runs one verb, turns the outcome into an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use ragpod::cli::Cli;
use ragpod::env::Env;
use ragpod::error::Error;
use ragpod::output::Printer;

/// What to type for the help of the verb that was meant.
fn help(args: &[OsString]) -> String {
    let command = Cli::command();
    let verb = args.iter().skip(1).find_map(|arg| command.find_subcommand(arg));
    verb.map_or_else(|| "ragpod help".to_owned(), |verb| format!("ragpod help {}", verb.get_name()))
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        // Help and version come this way too; they are no errors and exit with 0.
        Err(e) if e.use_stderr() && args.iter().any(|a| a == "--json") => {
            let text = e.render().to_string();
            let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let error =
                Error::usage(message).hint(format!("see how it is written: {}", help(&args)));
            anstream::eprintln!("{}", error.to_json());
            return ExitCode::from(error.kind.exit_code());
        }
        Err(e) => e.exit(),
    };
    let env = Env::from_process();
    let tty = env.as_ref().is_ok_and(|e| e.stderr_tty);
    let printer = Printer::new(&cli.global, tty);
    let result = env.and_then(|env| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::failed("cannot start").cause(e.to_string()))?;
        let result = runtime.block_on(ragpod::commands::run(cli, &env, &printer, &args));
        // A read of standard input that is under way cannot be called back, and is not waited for.
        runtime.shutdown_background();
        result
    });
    result.unwrap_or_else(|error| {
        printer.error(&error);
        ExitCode::from(error.kind.exit_code())
    })
}
