//! `[engine.commands]`: command lines with placeholders.

use super::keys::nearest;
use super::problem::{At, Log};
use super::raw::RawCommand;
use crate::model::{Argv, Command, Commands, Slot, Text, Word};

/// Why a word is refused, and what to write instead.
type Refusal = (String, Option<String>);

/// The commands; `None` when one was refused, and the log has why.
pub(super) fn resolve(raw: Option<&At<Vec<RawCommand>>>, log: &Log<'_>) -> Option<Commands> {
    let raw = raw.map_or(&[][..], |raw| &raw.value);
    // All of them, before the first that was refused ends it.
    let commands: Vec<_> = raw
        .iter()
        .map(|(command, words)| (*command, argv(*command, words.as_ref(), log)))
        .collect();
    commands.into_iter().map(|(command, argv)| Some((command, argv?))).collect()
}

fn argv(command: Command, raw: Option<&At<Vec<At<String>>>>, log: &Log<'_>) -> Option<Argv> {
    let raw = raw?;
    let key = format!("engine.commands.{}", command.key());
    let Some((first, rest)) = raw.value.split_first() else {
        log.add(raw.at, &key, "it is empty", Some(format!("write {}", command.example())));
        return None;
    };
    let program = program(first);
    if let Err((message, hint)) = &program {
        log.add(first.at, &key, message, hint.clone());
    }
    let mut good = program.is_ok();
    let mut words = Vec::new();
    for entry in rest {
        match word(command, &entry.value) {
            Ok(word) => words.push(word),
            Err((message, hint)) => {
                log.add(entry.at, &key, message, hint);
                good = false;
            }
        }
    }
    if let Err((message, hint)) = whole(command, first, &words)
        && good
    {
        log.add(raw.at, &key, message, Some(hint));
        return None;
    }
    Some(Argv::new(program.ok().filter(|_| good)?, words))
}

fn program(entry: &At<String>) -> Result<Text, Refusal> {
    let text: Text = entry.value.parse().map_err(|e| (format!("{e}"), None))?;
    if slot_name(&entry.value).is_some() {
        let hint = "write the program's name first".to_owned();
        return Err((format!("{text} cannot be the program"), Some(hint)));
    }
    // Podman would take the one for an option, the other for JSON.
    if entry.value.starts_with(['-', '[']) {
        let hint = "write the program's name first".to_owned();
        return Err((format!("{:?} is no program", entry.value), Some(hint)));
    }
    Ok(text)
}

/// The name in a word that is nothing but a placeholder.
fn slot_name(word: &str) -> Option<&str> {
    let name = word.strip_prefix('{')?.strip_suffix('}')?;
    let plain = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '-';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

fn word(command: Command, word: &str) -> Result<Word, Refusal> {
    let names = || command.slots().iter().map(ToString::to_string).collect::<Vec<_>>();
    let possible = || match command.slots() {
        [] => format!("{} has no placeholders", command.key()),
        _ => format!("{} has {}", command.key(), names().join(" and ")),
    };
    if let Some(name) = slot_name(word) {
        return match Slot::ALL.into_iter().find(|slot| slot.name() == name) {
            Some(slot) if command.slots().contains(&slot) => Ok(Word::Slot(slot)),
            Some(slot) => Err((format!("{slot} means nothing here"), Some(possible()))),
            None => {
                let hint = match nearest(name, command.slots().iter().map(|slot| slot.name())) {
                    Some(near) => format!("did you mean {{{near}}}?"),
                    None => possible(),
                };
                Err((format!("there is no placeholder {word}"), Some(hint)))
            }
        };
    }
    if let Some(slot) = Slot::ALL.into_iter().find(|slot| word.contains(&slot.to_string())) {
        let message = format!("{slot} must be an argument of its own, not a part of {word:?}");
        let hint = format!("write it alone: \"{slot}\"");
        return Err((message, Some(hint)));
    }
    word.parse().map(Word::Literal).map_err(|e| (format!("{word:?}: {e}"), None))
}

/// What is right or wrong with a command line as a whole.
fn whole(command: Command, first: &At<String>, words: &[Word]) -> Result<(), (String, String)> {
    if let Some(slot) = command.needs()
        && !words.contains(&Word::Slot(slot))
    {
        return Err((format!("{slot} is missing"), format!("write {}", command.example())));
    }
    // Podman gives a check of a single word to a shell, and has words of its own.
    let own = ["CMD", "CMD-SHELL", "NONE"].contains(&first.value.to_uppercase().as_str());
    if command == Command::Health && (words.is_empty() || own) {
        let hint = "write a program and at least one argument: health = [\"test\", \"-e\", \"/f\"]";
        return Err(("it is no program with an argument".to_owned(), hint.to_owned()));
    }
    Ok(())
}
