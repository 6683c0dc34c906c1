//! What a command line names of the machine that it is typed on: files, and standard input.

use camino::{Utf8Path, Utf8PathBuf};

use super::{Image, Secret, Verb};

/// Which way a file goes when the verb runs on another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The verb reads it.
    In,
    /// The verb writes it.
    Out,
}

/// A file or a folder that a verb reads or writes where it was typed.
#[derive(Debug)]
pub struct File<'a> {
    /// As it was typed; relative to the working directory.
    pub path: &'a mut Utf8PathBuf,
    /// Read or written.
    pub way: Way,
}

impl Verb {
    /// The files that it names, always in the same order. Folders of sources are no such files:
    /// they belong to the instance's machine, and stay there.
    pub fn files(&mut self) -> Vec<File<'_>> {
        let (first, second) = match self {
            Verb::Create(args) => (args.env_file.as_mut().map(read), None),
            Verb::Image(Image::Build(args)) => (args.engine_context.as_mut().map(read), None),
            Verb::Restore(args) => (Some(read(&mut args.file)), args.identity.as_mut().map(read)),
            Verb::Backup(args) => {
                let verified = args.verify && is_file_name(&args.target);
                (args.output.as_mut().map(written), verified.then(|| read(&mut args.target)))
            }
            Verb::Render(args) => (args.output.as_mut().map(written), None),
            Verb::Graph(args) => (args.output.as_mut().map(written), None),
            _ => (None, None),
        };
        // A dash is a standard stream.
        let files = [first, second].into_iter().flatten();
        files.filter(|file| file.path.as_str() != "-").collect()
    }

    /// Takes each of its files that was laid into a directory, as [`staged`] says, from there; gives
    /// where each lies and what was typed for it. What is not `there` is a file of this machine.
    pub fn take_from(
        &mut self,
        dir: &Utf8Path,
        there: impl Fn(&Utf8Path) -> bool,
    ) -> Vec<(Utf8PathBuf, Utf8PathBuf)> {
        let take = |(n, file): (usize, File<'_>)| {
            let place = dir.join(staged(n, file.path));
            place.parent().is_some_and(&there).then(|| {
                let typed = std::mem::replace(file.path, place.clone());
                (place, typed)
            })
        };
        self.files().into_iter().enumerate().filter_map(take).collect()
    }

    /// Whether it reads standard input even where that is no terminal.
    #[must_use]
    pub fn reads_input(&self) -> bool {
        match self {
            Verb::Exec(args) => args.interactive,
            Verb::Secret(verb) => matches!(verb, Secret::Set(_) | Secret::Rotate(_)),
            Verb::Psql(_) | Verb::Interactive(_) | Verb::Mcp(_) => true,
            _ => false,
        }
    }

    /// Whether it is about this program alone, and so never about another machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self, Verb::Completions { .. } | Verb::Man { .. })
    }
}

fn read(path: &mut Utf8PathBuf) -> File<'_> {
    File { path, way: Way::In }
}

fn written(path: &mut Utf8PathBuf) -> File<'_> {
    File { path, way: Way::Out }
}

/// Whether a text that is an instance or a file is a file: no instance has a dot or a slash.
#[must_use]
pub fn is_file_name(text: &Utf8Path) -> bool {
    text.as_str().contains(['.', '/'])
}

/// Where the `n`th file lies below the directory that they are laid into: by its number, so that
/// two of the same name are two, and with its name, which may say what it is.
#[must_use]
pub fn staged(n: usize, path: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(n.to_string()).join(path.file_name().unwrap_or("here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    fn verb(line: &str) -> Verb {
        Cli::try_parse_from(line.split(' ')).unwrap().verb
    }

    #[test]
    fn files_are_taken_from_where_they_were_laid() {
        for (line, way) in [
            ("ragpod create notes --env-file ../x/.env", Way::In),
            ("ragpod render notes -o ../x/.env", Way::Out),
            ("ragpod restore notes ../x/.env", Way::In),
            ("ragpod image build --engine-context ../x/.env", Way::In),
            ("ragpod backup --verify ../x/.env", Way::In),
            ("ragpod backup notes -o ../x/.env", Way::Out),
        ] {
            let mut verb = verb(line);
            assert_eq!(verb.files()[0].way, way);
            let taken = verb.take_from("/tmp/d".into(), |dir| dir == "/tmp/d/0");
            assert_eq!(taken, [("/tmp/d/0/.env".into(), "../x/.env".into())]);
            assert_eq!(verb.files()[0].path, "/tmp/d/0/.env", "{line}");
        }
        for none in [
            "ragpod create notes --source .",
            "ragpod backup notes -o -",
            "ragpod backup --verify notes",
        ] {
            assert!(verb(none).files().is_empty(), "{none}");
        }
        let mut restore = verb("ragpod restore notes a/x --identity b/x");
        assert_eq!(
            restore.take_from("/d".into(), |dir| dir == "/d/1"),
            [("/d/1/x".into(), "b/x".into())]
        );
        assert_eq!(restore.files()[0].path, "a/x");
        assert_eq!(staged(2, "..".into()), "2/here");
    }
}
