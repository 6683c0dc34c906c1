//! The commands that pages show, and whether the command line takes them.

use clap::Parser;
use clap::error::ErrorKind;
use ragpod::cli::Cli;

use super::pages::{Page, inline};

/// A command on a page.
pub struct Shown {
    /// As it is written.
    pub line: String,
    /// Whether it is meant to be typed as it stands; in a sentence arguments may be left out.
    pub whole: bool,
}

/// Whether a text between backticks is a command, and not something that is said.
pub fn is_command(text: &str) -> bool {
    ["ragpod ", "podman ", "systemctl ", "journalctl ", "docker "]
        .iter()
        .any(|c| text.starts_with(c))
}

/// All commands of a page.
pub fn of(page: &Page) -> Vec<Shown> {
    let typed = page.shell().into_iter().map(|line| (line, true));
    let told = page.prose();
    let told = inline(&told).map(|line| (line, false)).collect::<Vec<_>>();
    typed
        .chain(told)
        .flat_map(|(line, whole)| {
            let commands = commands(&line).into_iter();
            commands.map(|words| (words, whole)).collect::<Vec<_>>()
        })
        .map(|(words, whole)| Shown { line: words, whole })
        .filter(|shown| shown.line.starts_with("ragpod "))
        .collect()
}

/// The commands of a line of shell: what `;`, `&&`, `|`, redirections and comments part.
fn commands(line: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut quote = None;
    let mut before = ' ';
    let mut skip = false;
    for c in line.chars() {
        match (quote, c) {
            (None, '#') if before == ' ' => break,
            (None, ';' | '|' | '&') => {
                all.push(String::new());
                skip = false;
            }
            // What a redirection names is no argument.
            (None, '<' | '>') => skip = true,
            (None, '\'' | '"') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            _ => {}
        }
        let last = all.last_mut().unwrap();
        if !(skip || quote.is_none() && ";|&".contains(c)) {
            last.push(c);
        }
        before = c;
    }
    all.into_iter().map(|c| c.trim().trim_start_matches("$ ").to_owned()).collect()
}

/// The words of a command, quotes resolved.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(q), c) if q == c => quote = None,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// What a person would put for a word that stands for something: `NAME`, `N`, `FILE`, `NAME…`.
fn filled(word: &str) -> String {
    let bare = word.trim_end_matches('…');
    let stands = !bare.is_empty() && bare.chars().all(|c| c.is_ascii_uppercase() || c == '-');
    match bare {
        "" => "why".to_owned(),
        "N" => "3".to_owned(),
        "VERB" | "COMMAND" => "up".to_owned(),
        "KEY=VALUE" => "postgres.memory=2G".to_owned(),
        _ if stands && !bare.starts_with('-') => bare.to_lowercase(),
        _ => bare.to_owned(),
    }
}

/// Fails with the reason when the command line does not take a command.
pub fn taken(line: &str, whole: bool) -> Result<(), String> {
    let words: Vec<String> = words(line).iter().map(|w| filled(w)).collect();
    match Cli::try_parse_from(words) {
        Ok(_) => Ok(()),
        Err(e) => match e.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(()),
            ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::InvalidValue
                if !whole && !e.to_string().contains("possible values") =>
            {
                Ok(())
            }
            _ => Err(e.to_string().lines().next().unwrap_or_default().to_owned()),
        },
    }
}
