//! Pages of the documentation, as far as tests have to read Markdown; and what of the sources they
//! are held against.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// A Markdown file.
pub struct Page {
    /// From the repository's root.
    pub path: String,
    text: String,
}

/// All pages that links are followed in.
pub fn all() -> Vec<Page> {
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(PathBuf::from);
    let mut files = Vec::from(top);
    files_below(Path::new("docs"), "md", &mut files);
    files.sort();
    files.iter().map(|file| Page::read(file.to_str().unwrap())).collect()
}

/// Those that people write: all but the reference.
pub fn written() -> Vec<Page> {
    all().into_iter().filter(|page| !page.path.starts_with("docs/reference")).collect()
}

fn files_below(dir: &Path, ending: &str, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, ending, files);
        } else if path.extension().is_some_and(|e| e == ending) {
            files.push(path);
        }
    }
}

impl Page {
    pub fn read(path: &str) -> Self {
        Self { path: path.to_owned(), text: fs::read_to_string(path).unwrap() }
    }

    /// The lines, each with the language of the block that it is in.
    fn lines(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        let mut block = None;
        self.text.lines().filter_map(move |line| match line.strip_prefix("```") {
            Some(language) => {
                block = if block.is_some() { None } else { Some(language) };
                None
            }
            None => Some((block, line)),
        })
    }

    /// What is in the blocks of a language.
    pub fn blocks(&self, language: &str) -> Vec<String> {
        let opening = format!("\n```{language}\n");
        let after = self.text.split(&opening).skip(1);
        after.map(|rest| rest.split("\n```").next().unwrap().to_owned() + "\n").collect()
    }

    /// The text outside of blocks, line breaks within a sentence undone.
    pub fn prose(&self) -> String {
        let mut text = String::new();
        for (_, line) in self.lines().filter(|(block, _)| block.is_none()) {
            text.push_str(line);
            text.push(if line.starts_with('|') || line.is_empty() { '\n' } else { ' ' });
        }
        text
    }

    /// Where its links go, those into the web aside.
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.filter(|t| !t.contains("://")).map(str::to_owned).collect()
    }

    /// Fails when a link leads nowhere.
    pub fn follow(&self, link: &str) -> Result<(), &'static str> {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = if file.is_empty() {
            PathBuf::from(&self.path)
        } else {
            plain(&Path::new(&self.path).parent().unwrap().join(file))
        };
        if !target.exists() {
            return Err("there is no such file");
        }
        if anchor.is_empty() || Page::read(target.to_str().unwrap()).anchors().contains(anchor) {
            Ok(())
        } else {
            Err("there is no such heading")
        }
    }

    /// What headings are called in links.
    fn anchors(&self) -> BTreeSet<String> {
        let headings =
            self.lines().filter(|(block, line)| block.is_none() && line.starts_with('#'));
        headings
            .map(|(_, line)| {
                let title = line.trim_start_matches('#').trim().to_lowercase();
                let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
                kept.map(|c| if c == ' ' { '-' } else { c }).collect()
            })
            .collect()
    }

    /// The lines of blocks that a shell reads, continued ones joined.
    pub fn shell(&self) -> Vec<String> {
        self.blocks("sh").iter().flat_map(|block| joined(block)).collect()
    }

    /// The first cell of each row of its tables.
    pub fn first_cells(&self) -> Vec<String> {
        let rows = self.lines().filter(|(block, line)| block.is_none() && line.starts_with("| "));
        rows.map(|(_, row)| row[2..].split(" | ").next().unwrap().to_owned()).collect()
    }

    /// The names in the first cells of the table below a heading.
    pub fn ids_below(&self, heading: &str) -> BTreeSet<String> {
        let section = self.text.split(&format!("\n{heading}\n")).nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let page = Self { path: self.path.clone(), text: section.to_owned() };
        page.first_cells().iter().flat_map(|cell| inline(cell).collect::<Vec<_>>()).collect()
    }
}

fn joined(block: &str) -> Vec<String> {
    block.replace("\\\n", " ").lines().map(str::to_owned).collect()
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

/// What stands between backticks.
pub fn inline(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// What of a message is the same each time: `…` and words in capitals stand for what is not.
pub fn fragments(said: &str) -> impl Iterator<Item = String> {
    said.split(['…', '"'])
        .flat_map(|part| part.split("NAME"))
        .flat_map(|part| part.split("PATH"))
        .map(|part| part.trim_matches(|c: char| c.is_whitespace() || ".,;:".contains(c)).to_owned())
        .filter(|part| part.len() > 3)
        .collect::<Vec<_>>()
        .into_iter()
}

/// Everything that ragpod and its engine may say, line breaks within texts undone.
pub fn sources() -> String {
    let mut files = Vec::new();
    files_below(Path::new("src"), "rs", &mut files);
    files_below(Path::new("packaging/images/engine/ragengine"), "py", &mut files);
    let mut text = String::new();
    for file in files {
        let mut rest = fs::read_to_string(file).unwrap();
        while let Some(at) = rest.find("\\\n") {
            text.push_str(&rest[..at]);
            rest = rest[at + 2..].trim_start().to_owned();
        }
        text.push_str(&rest);
    }
    text
}

/// The ids of the checks that a directory of modules makes.
pub fn check_ids(file: &str, dir: &str) -> BTreeSet<String> {
    let mut files = vec![PathBuf::from(file)];
    files_below(Path::new(dir), "rs", &mut files);
    let mut ids = BTreeSet::new();
    for file in files {
        if file.file_stem().is_some_and(|s| s.to_str().unwrap().ends_with("tests")) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code = code.replace(",\n", ", ");
        let squeezed: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
        for before in [
            "const ID: &str = \"",
            "Check::new(\"",
            "Check::new( \"",
            "helper(facts, \"",
            "space(\"",
            "each_self(facts, \"",
            ".tried(\"",
            ".check(\"",
        ] {
            for rest in squeezed.split(before).skip(1) {
                ids.insert(rest.split('"').next().unwrap().to_owned());
            }
        }
    }
    ids
}
