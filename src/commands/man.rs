//! `completions` and `man`: both come out of the command line's own description.

use std::process::ExitCode;

use camino::Utf8Path;
use clap::CommandFactory;
use fs_err as fs;

use super::Front;
use crate::cli::Cli;
use crate::error::{Error, Result};
use crate::manifest::reference;

pub(super) fn completions(front: &Front<'_>, shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ragpod", &mut script);
    front.printer.data(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn pages(front: &Front<'_>, dir: Option<&Utf8Path>) -> Result<ExitCode> {
    let Some(dir) = dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .map_err(|e| Error::io("write", "the manual page", &e))?;
        front.printer.data(&String::from_utf8_lossy(&page))?;
        return Ok(ExitCode::SUCCESS);
    };
    fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, &e))?;
    let mut command = Cli::command();
    command.build();
    write_pages(dir, &command, "ragpod")?;
    // Where man(1) looks for pages of that section.
    let five = match (dir.file_name(), dir.parent()) {
        (Some("man1"), Some(parent)) => parent.join("man5"),
        _ => dir.to_owned(),
    };
    fs::create_dir_all(&five).map_err(|e| Error::io("make", &five, &e))?;
    let file = five.join("ragpod.toml.5");
    fs::write(&file, reference::page()).map_err(|e| Error::io("write", &file, &e))?;
    front.printer.say(&format!("wrote the manual pages into {dir}, and {file}"));
    Ok(ExitCode::SUCCESS)
}

/// One page per verb, `ragpod-image-build.1` and the like, and one for the program.
fn write_pages(dir: &Utf8Path, command: &clap::Command, name: &str) -> Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone().name(name.to_owned()))
        .render(&mut page)
        .map_err(|e| Error::io("write", "a manual page", &e))?;
    let file = dir.join(format!("{name}.1"));
    fs::write(&file, page).map_err(|e| Error::io("write", &file, &e))?;
    // Hidden ones are for systemd, not for people.
    for verb in command.get_subcommands().filter(|v| v.get_name() != "help" && !v.is_hide_set()) {
        write_pages(dir, verb, &format!("{name}-{}", verb.get_name()))?;
    }
    Ok(())
}
