//! Whose engine runs in the app container, and how an engine that is not ragpod's own is spoken to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use super::Text;

/// How `packaging/images/hybridrag` is spoken to: its `ragpod-hybridrag` calls upstream's command
/// line with upstream's flags.
static HYBRIDRAG: LazyLock<Commands> = LazyLock::new(|| {
    let program = || Text::fixed("ragpod-hybridrag");
    let command = |command: Command, slots: &[Slot]| {
        let mut args = vec![Word::Literal(Text::fixed(command.key()))];
        args.extend(slots.iter().map(|slot| Word::Slot(*slot)));
        (command, Argv::new(program(), args))
    };
    Commands::from_iter([
        command(Command::Init, &[]),
        command(Command::Ingest, &[Slot::Path]),
        command(Command::Query, &[Slot::Mode, Slot::Text]),
        command(Command::Status, &[]),
        command(Command::Interactive, &[]),
        command(Command::Mcp, &[]),
    ])
});

/// The engine's kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// The engine of `packaging/images/engine`.
    #[default]
    Lightrag,
    /// Upstream `HybridRAG`, in an image that the user builds from a checkout of it.
    Hybridrag,
    /// An engine of the user's own, with a command line for each thing that it can do.
    Custom(Commands),
}

impl Profile {
    /// The manifest's word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Profile::Lightrag => "lightrag",
            Profile::Hybridrag => "hybridrag",
            Profile::Custom(_) => "custom",
        }
    }

    /// How to speak to it; `None` for ragpod's own engine, which is spoken to otherwise.
    #[must_use]
    pub fn commands(&self) -> Option<&Commands> {
        match self {
            Profile::Lightrag => None,
            Profile::Hybridrag => Some(&HYBRIDRAG),
            Profile::Custom(commands) => Some(commands),
        }
    }
}

/// What an engine can be asked to do: the keys of `[engine.commands]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// Stay up: the container's main process. Without it the image's own.
    Serve,
    /// Tell by its exit code whether the engine works. Without it a container that runs is healthy.
    Health,
    /// Set up its tables; `up` does it once.
    Init,
    /// Take in the files of a folder.
    Ingest,
    /// Answer a question on standard output.
    Query,
    /// Say how it is.
    Status,
    /// Ask for questions at a prompt.
    Interactive,
    /// Speak the Model Context Protocol on its standard streams.
    Mcp,
}

impl Command {
    /// All, in the order of a manifest.
    pub const ALL: [Self; 8] = [
        Self::Serve,
        Self::Health,
        Self::Init,
        Self::Ingest,
        Self::Query,
        Self::Status,
        Self::Interactive,
        Self::Mcp,
    ];

    /// Its key under `[engine.commands]`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Health => "health",
            Self::Init => "init",
            Self::Ingest => "ingest",
            Self::Query => "query",
            Self::Status => "status",
            Self::Interactive => "interactive",
            Self::Mcp => "mcp",
        }
    }

    /// The placeholders that it may have.
    #[must_use]
    pub fn slots(self) -> &'static [Slot] {
        match self {
            Self::Ingest => &[Slot::Path, Slot::Pattern],
            Self::Query => &[Slot::Text, Slot::Mode],
            _ => &[],
        }
    }

    /// The placeholder without which it would be of no use.
    #[must_use]
    pub fn needs(self) -> Option<Slot> {
        match self {
            Self::Ingest => Some(Slot::Path),
            Self::Query => Some(Slot::Text),
            _ => None,
        }
    }

    /// A line for the manifest that has it, as an example.
    #[must_use]
    pub fn example(self) -> String {
        let slots: String = self.slots().iter().map(|slot| format!(", \"{slot}\"")).collect();
        format!("{0} = [\"my-engine\", \"{0}\"{slots}]", self.key())
    }
}

/// A placeholder: it stands for one whole argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// `{path}`: a folder or file, as the container sees it.
    Path,
    /// `{pattern}`: which files under it, as a glob.
    Pattern,
    /// `{text}`: the question.
    Text,
    /// `{mode}`: how to search.
    Mode,
}

impl Slot {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Path, Self::Pattern, Self::Text, Self::Mode];

    /// Its name, without the braces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Pattern => "pattern",
            Self::Text => "text",
            Self::Mode => "mode",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.name())
    }
}

/// One argument of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// As it stands.
    Literal(Text),
    /// Whatever the placeholder stands for.
    Slot(Slot),
}

/// A command line: a program and its arguments. No shell reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argv {
    program: Text,
    args: Vec<Word>,
}

impl Argv {
    /// A command line of this program.
    #[must_use]
    pub fn new(program: Text, args: Vec<Word>) -> Self {
        Self { program, args }
    }

    /// The program and its arguments, each placeholder replaced by what `value` gives for it:
    /// always one argument, whatever is in it.
    #[must_use]
    pub fn fill(&self, value: impl Fn(Slot) -> String) -> Vec<String> {
        let args = self.args.iter().map(|word| match word {
            Word::Literal(text) => text.to_string(),
            Word::Slot(slot) => value(*slot),
        });
        std::iter::once(self.program.to_string()).chain(args).collect()
    }

    /// Whether it has a place for this.
    #[must_use]
    pub fn has(&self, slot: Slot) -> bool {
        self.args.contains(&Word::Slot(slot))
    }

    /// What is the same in each of its command lines: the words before the first placeholder.
    #[must_use]
    pub fn beginning(&self) -> Vec<&str> {
        let fixed = self.args.iter().map_while(|word| match word {
            Word::Literal(text) => Some(text.as_str()),
            Word::Slot(_) => None,
        });
        std::iter::once(self.program.as_str()).chain(fixed).collect()
    }
}

/// The command lines of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands(BTreeMap<Command, Argv>);

impl Commands {
    /// The command line of one, if the engine has it.
    #[must_use]
    pub fn get(&self, command: Command) -> Option<&Argv> {
        self.0.get(&command)
    }
}

impl FromIterator<(Command, Argv)> for Commands {
    fn from_iter<I: IntoIterator<Item = (Command, Argv)>>(commands: I) -> Self {
        Self(commands.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Text {
        text.parse().unwrap()
    }

    #[test]
    fn a_placeholder_is_one_argument_whatever_is_in_it() {
        let argv = Argv::new(
            text("engine"),
            vec![
                Word::Literal(text("query {text}")),
                Word::Slot(Slot::Text),
                Word::Literal(text("--")),
                Word::Slot(Slot::Mode),
            ],
        );
        for nasty in ["; rm -rf /", "$(id) `id`", "a\nb", "'\"\\", "{mode}", "", "--help"] {
            let filled = argv.fill(|slot| match slot {
                Slot::Text => nasty.to_owned(),
                _ => "mix".to_owned(),
            });
            assert_eq!(filled, ["engine", "query {text}", nasty, "--", "mix"]);
        }
        assert_eq!(argv.beginning(), ["engine", "query {text}"]);
    }

    #[test]
    fn upstream_gets_what_it_needs() {
        let commands = Profile::Hybridrag.commands().unwrap();
        for command in Command::ALL {
            let Some(argv) = commands.get(command) else { continue };
            for slot in &argv.args[1..] {
                assert!(matches!(slot, Word::Slot(s) if command.slots().contains(s)), "{slot:?}");
            }
        }
        let query = commands.get(Command::Query).unwrap().fill(|slot| format!("<{slot}>"));
        assert_eq!(query, ["ragpod-hybridrag", "query", "<{mode}>", "<{text}>"]);
    }

    #[test]
    fn what_a_command_needs_it_may_have() {
        for command in Command::ALL {
            assert!(command.needs().is_none_or(|slot| command.slots().contains(&slot)));
        }
        let example = Command::Query.example();
        assert_eq!(example, r#"query = ["my-engine", "query", "{text}", "{mode}"]"#);
    }
}
