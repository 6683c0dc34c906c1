//! Random manifests: in every field that a manifest can set, values that are as bad as can be.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A manifest, field by field. Most values are such that the field takes them; one may be wild.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub autostart: bool,
    pub database: String,
    pub user: String,
    pub memory: [Option<String>; 2],
    pub images: [Option<String>; 2],
    pub profile: Option<String>,
    pub batch_size: i64,
    pub kind: String,
    pub base_url: Option<String>,
    pub api_version: Option<String>,
    /// The language model and the one for embeddings.
    pub models: Option<[String; 2]>,
    pub dim: Option<i64>,
    pub api_key: Option<String>,
    pub ca_file: Option<String>,
    pub sources: Vec<Source>,
    pub mode: Option<String>,
    pub allow: Vec<String>,
    /// By the keys of [`HARDENING`].
    pub hardening: [Vec<String>; 4],
    /// By the keys of [`SCHEDULE`].
    pub schedule: [Option<String>; 3],
    /// A command; none when empty.
    pub notify: Vec<String>,
    pub keep: Option<i64>,
    pub recipient: Option<String>,
    pub env: Vec<(String, String)>,
    /// The field that may hold anything, and must be refused by its key or arrive: key and value.
    pub wild: Option<(String, String)>,
}

/// A `[[source]]`.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: String,
    pub name: Option<String>,
    pub pattern: Option<String>,
}

pub const HARDENING: [&str; 4] =
    ["writable_root", "keep_capabilities", "new_privileges", "root_user"];
pub const SCHEDULE: [&str; 3] = ["ingest", "backup", "idle_stop"];
/// What a remote case's `base_url` begins with.
pub const URL: &str = "https://h.example/";

#[rustfmt::skip]
const SPECIAL: &[&str] = &[
    "\"", "'", "\\", "%", "%%", "%n", "%t", "$", "$$", "$HOME", "${HOME}", ";", " ; ", "#", " ", "=",
    ",", ":", "[", "]", "\\x41", "\\n", "\\\\", "\\q", "é", "日", "🦀", "e\u{301}", "\u{a0}",
    "\u{2028}", "\u{feff}", "|", "&", "`", "[Service]", "ExecStartPre=", "type=bind", "--privileged",
    "{{.}}", "~", "*", "?", "\u{ad}", "\u{200b}", "\u{202e}", "@", "-", "+", "!", "(", ")", "<",
];
/// What no field takes, and what is worst at either end.
#[rustfmt::skip]
const WORSE: &[&str] = &[
    "\n", "\r\n", "\t", "\0", "\u{1}", "\u{1b}", "\u{7f}", "\u{80}", "\u{85}", "\u{9f}", " ", "\\",
    "\n[Service]\nExecStartPre=/bin/false\n", "\\\n", "/", "/srv/", "..", "a", "https://h.example/",
    "localhost/", "none", "app", "x.org:443", "1", "64M", "",
];

/// The source of random cases; the same seed gives the same ones.
pub struct Random {
    runner: TestRunner,
    /// The folder in which all paths of the host lie.
    root: &'static str,
    text: BoxedStrategy<String>,
    wild: BoxedStrategy<String>,
}

impl Random {
    pub fn new(seed: u8, root: &'static str) -> Self {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let special = || prop::sample::select(SPECIAL).prop_map(str::to_owned);
        let worse = prop::sample::select(WORSE).prop_map(str::to_owned);
        let text = prop_oneof![4 => special(), 1 => "\\PC{1,4}"];
        let text = prop::collection::vec(text, 1..8).prop_map(|parts| parts.concat());
        let wild = prop_oneof![2 => special(), 3 => worse, 1 => any::<String>()];
        let wild = prop::collection::vec(wild, 0..5).prop_map(|parts| parts.concat());
        Self {
            runner: TestRunner::new_with_rng(Config::default(), rng),
            root,
            text: text.prop_filter("no control", |t| !t.contains(char::is_control)).boxed(),
            wild: wild.boxed(),
        }
    }

    fn of<T: std::fmt::Debug>(&mut self, strategy: &impl Strategy<Value = T>) -> T {
        strategy.new_tree(&mut self.runner).expect("a value").current()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.of(&(0..n)) == 0
    }

    fn text(&mut self) -> String {
        let text = self.text.clone();
        self.of(&text)
    }

    /// Characters of an alphabet, `least` of them or some more.
    fn word(&mut self, alphabet: &str, least: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        let length = self.of(&(least..least + 8));
        (0..length).map(|_| letters[self.of(&(0..letters.len()))]).collect()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.of(&any::<bool>()).then(|| make(self))
    }

    /// A time, or a span of it, that the manifest takes.
    fn time(&mut self, key: &str) -> &'static str {
        let times: [&str; 4] = if key == "idle_stop" {
            ["30min", "1h 30min", "90", "2 days"]
        } else {
            ["hourly", "Mon..Fri 03:00", "*-*-1..7 0/2:30:15 UTC", "*:*:0/5"]
        };
        times[self.of(&(0..times.len()))]
    }

    fn path(&mut self, unique: usize) -> String {
        // No dots, because `..` is refused; and what is at the end is cut off or refused.
        let text = self.text().replace('.', "_").replace("//", "/");
        let text = text.trim_end_matches(['\\', '/']);
        format!("{}/x{unique}{text}", self.root).replace("//", "/")
    }

    fn image(&mut self) -> String {
        let (path, tag) = (self.word("abc019._-", 1), self.word("abcXYZ019._-", 1));
        let registry = if self.of(&any::<bool>()) { "localhost" } else { "r-1.example:5000" };
        format!("{registry}/a{path}/b:{tag}")
    }

    /// A case that is valid in all its fields. `unique` keeps apart those of one directory.
    pub fn tame(&mut self, prefix: &str, unique: usize) -> Case {
        let kind =
            ["offline", "openai", "azure", "openai-compatible", "ollama"][self.of(&(0..5usize))];
        let remote = kind != "offline";
        let url = remote && (kind != "openai" || self.of(&any::<bool>()));
        let base_url = url.then(|| {
            let text = self.text();
            let fits = |c: &char| !c.is_whitespace() && !"?#".contains(*c);
            format!("{URL}{}", text.chars().filter(fits).collect::<String>())
        });
        let mode = match self.of(&(0..4)) {
            0 => Some("open"),
            1 if !remote => Some("none"),
            2 => Some("allow"),
            _ if remote => None,
            _ => Some("none"),
        };
        let mut allow = Vec::new();
        if mode.is_none_or(|m| m == "allow") {
            allow.push(if url { "h.example:443" } else { "api.openai.com:443" }.to_owned());
            for i in 0..self.of(&(0..3)) {
                allow.push(format!("X{i}{}z.o-k.example:{}", self.word("abc0_-", 0), 1 + i));
            }
        }
        let sources = (0..self.of(&(0..4usize))).map(|i| Source {
            path: self.path(i),
            name: (i > 0).then(|| format!("n{}{i}", self.word("abc0._-", 0))),
            pattern: self
                .maybe(|r| format!("x{}", r.text().replace("..", "_").replace(['[', '{'], "_"))),
        });
        let sources: Vec<Source> = sources.collect();
        let containers = ["app", "postgres", "egress"];
        let hardening = HARDENING.map(|rule| {
            let containers = if rule == "root_user" { &containers[..1] } else { &containers };
            let chosen = containers.iter().filter(|_| self.one_in(4));
            chosen.map(|c| (*c).to_owned()).collect()
        });
        Case {
            name: format!("{prefix}{}{unique}", self.word("abc0-", 0)),
            autostart: self.of(&any::<bool>()),
            database: format!("d{}", self.word("abcz019_", 0)),
            user: format!("_{}", self.word("abcz019_", 0)),
            memory: [(); 2].map(|()| self.maybe(|r| format!("{}M", r.of(&(64..5000))))),
            images: [(); 2].map(|()| self.maybe(Self::image)),
            profile: self.maybe(|_| "lightrag".to_owned()),
            batch_size: self.of(&(1..=1000i64)),
            kind: kind.to_owned(),
            base_url,
            api_version: (kind == "azure").then(|| self.text()),
            models: remote.then(|| [self.text(), self.text()]),
            dim: remote.then(|| self.of(&(1..=16000i64))),
            api_key: remote.then(|| format!("k{}", self.word("abc0", 0))),
            ca_file: (remote && self.of(&any::<bool>())).then(|| self.path(9)),
            sources,
            mode: mode.map(str::to_owned),
            allow,
            hardening,
            schedule: SCHEDULE.map(|key| self.maybe(|r| r.time(key).to_owned())),
            notify: self.maybe(|r| vec!["notify-send".to_owned(), r.text()]).unwrap_or_default(),
            keep: self.maybe(|r| r.of(&(1..=1000i64))),
            recipient: self.maybe(|r| {
                let letter = |r: &mut Self| char::from(b"qpzry9x8"[r.of(&(0..8usize))]);
                format!("age1{}", (0..58).map(|_| letter(r)).collect::<String>())
            }),
            env: (0..self.of(&(0..5)))
                .map(|i| (format!("X{i}{}_Q", self.word("ABCxyz019_", 0)), self.text()))
                .collect(),
            wild: None,
        }
    }

    /// A case of which one field has any value at all.
    pub fn wild(&mut self, prefix: &str, unique: usize) -> Case {
        let mut case = self.tame(prefix, unique);
        if self.one_in(10) {
            let numbers = prop_oneof![any::<i64>(), -2..20_000i64];
            let value = self.of(&numbers);
            let (key, number) = match &mut case.dim {
                Some(dim) if self.of(&any::<bool>()) => ("provider.embedding_dim", dim),
                _ => ("engine.batch_size", &mut case.batch_size),
            };
            *number = value;
            case.wild = Some((key.to_owned(), value.to_string()));
            return case;
        }
        let wild = self.wild.clone();
        let mut value = self.of(&wild);
        if self.one_in(4) {
            value = [" ", "\t", "\n", ""][self.of(&(0..4usize))].to_owned() + &value + " ";
        }
        let mut fields = case.fields();
        let chosen = self.of(&(0..fields.len()));
        let (mut key, field) = fields.swap_remove(chosen);
        if key == "env" {
            // The name of a variable: the key is what it says.
            key = format!("env.{value}");
        }
        field.clone_from(&value);
        case.wild = Some((key, value));
        case
    }
}

impl Case {
    /// Every field that holds a text, by its key.
    fn fields(&mut self) -> Vec<(String, &mut String)> {
        let mut fields = vec![
            ("instance.name".to_owned(), &mut self.name),
            ("postgres.database".to_owned(), &mut self.database),
            ("postgres.user".to_owned(), &mut self.user),
            ("provider.kind".to_owned(), &mut self.kind),
        ];
        let [postgres, engine] = &mut self.memory;
        let [postgres_image, engine_image] = &mut self.images;
        let optional = [
            ("postgres.memory", postgres),
            ("engine.memory", engine),
            ("engine.profile", &mut self.profile),
            ("postgres.image", postgres_image),
            ("engine.image", engine_image),
            ("provider.base_url", &mut self.base_url),
            ("provider.api_version", &mut self.api_version),
            ("provider.api_key", &mut self.api_key),
            ("provider.ca_file", &mut self.ca_file),
            ("egress.mode", &mut self.mode),
        ];
        fields.extend(optional.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v.as_mut()?))));
        if let Some([llm, embedding]) = &mut self.models {
            fields.push(("provider.llm_model".to_owned(), llm));
            fields.push(("provider.embedding_model".to_owned(), embedding));
        }
        for source in &mut self.sources {
            fields.push(("source.path".to_owned(), &mut source.path));
            fields.extend(source.name.as_mut().map(|n| ("source.name".to_owned(), n)));
            fields.extend(source.pattern.as_mut().map(|p| ("source.pattern".to_owned(), p)));
        }
        fields.extend(self.allow.iter_mut().map(|a| ("egress.allow".to_owned(), a)));
        for (rule, containers) in HARDENING.iter().zip(&mut self.hardening) {
            fields.extend(containers.iter_mut().map(|c| (format!("hardening.{rule}"), c)));
        }
        for (key, value) in SCHEDULE.iter().zip(&mut self.schedule) {
            fields.extend(value.as_mut().map(|v| (format!("schedule.{key}"), v)));
        }
        fields.extend(self.recipient.as_mut().map(|r| ("backup.recipient".to_owned(), r)));
        fields.extend(self.notify.iter_mut().map(|word| ("schedule.notify".to_owned(), word)));
        for (name, value) in &mut self.env {
            fields.push((format!("env.{name}"), value));
            fields.push(("env".to_owned(), name));
        }
        fields
    }

    /// The manifest's text, written by nobody's TOML library.
    pub fn manifest(&self) -> String {
        let name = quoted(&self.name);
        let mut out = format!("[instance]\nname = {name}\nautostart = {}\n", self.autostart);
        let [memory, engine_memory] = self.memory.each_ref().map(Option::as_ref);
        let [image, engine_image] = self.images.each_ref().map(Option::as_ref);
        out += "[postgres]\n";
        keys(&mut out, [("database", Some(&self.database)), ("user", Some(&self.user))]);
        keys(&mut out, [("memory", memory), ("image", image)]);
        out += "[engine]\n";
        keys(&mut out, [("image", engine_image), ("memory", engine_memory)]);
        keys(&mut out, [("profile", self.profile.as_ref())]);
        out += &format!("batch_size = {}\n", self.batch_size);
        for Source { path, name, pattern } in &self.sources {
            out += "[[source]]\n";
            keys(&mut out, [("path", Some(path)), ("name", name.as_ref())]);
            keys(&mut out, [("pattern", pattern.as_ref())]);
        }
        out += "[backup]\n";
        keys(&mut out, [("recipient", self.recipient.as_ref())]);
        if let Some(keep) = self.keep {
            out += &format!("keep = {keep}\n");
        }
        out += "[schedule]\n";
        keys(&mut out, SCHEDULE.into_iter().zip(self.schedule.iter().map(Option::as_ref)));
        if !self.notify.is_empty() {
            out += &format!("notify = {}\n", list(&self.notify));
        }
        out += "[egress]\n";
        keys(&mut out, [("mode", self.mode.as_ref())]);
        if !self.allow.is_empty() {
            out += &format!("allow = {}\n", list(&self.allow));
        }
        out += "[hardening]\n";
        for (rule, containers) in HARDENING.iter().zip(&self.hardening) {
            out += &format!("{rule} = {}\n", list(containers));
        }
        out += "[provider]\n";
        let models = self.models.as_ref();
        keys(&mut out, [("kind", Some(&self.kind)), ("base_url", self.base_url.as_ref())]);
        keys(&mut out, [("api_version", self.api_version.as_ref())]);
        keys(&mut out, [("llm_model", models.map(|m| &m[0])), ("ca_file", self.ca_file.as_ref())]);
        keys(&mut out, [("embedding_model", models.map(|m| &m[1]))]);
        out.extend(self.dim.map(|dim| format!("embedding_dim = {dim}\n")));
        let key = self.api_key.as_ref();
        out.extend(key.map(|k| format!("api_key = {{ secret = {} }}\n", quoted(k))));
        out += "[env]\n";
        out.extend(self.env.iter().map(|(n, v)| format!("{} = {}\n", quoted(n), quoted(v))));
        out
    }
}

fn keys<'v>(out: &mut String, keys: impl IntoIterator<Item = (&'static str, Option<&'v String>)>) {
    for (key, value) in keys {
        out.extend(value.map(|v| format!("{key} = {}\n", quoted(v))));
    }
}

fn list(values: &[String]) -> String {
    format!("[{}]", values.iter().map(|v| quoted(v)).collect::<Vec<_>>().join(", "))
}

/// A TOML string, or key, of one line.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out += &format!("\\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out + "\""
}
