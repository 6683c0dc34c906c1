//! What clients of the protocol take as the way to start a server.

use std::collections::BTreeMap;
use std::str::FromStr;

use camino::Utf8Path;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::env::Env;
use crate::error::{Error, Result};
use crate::model::Name;
use crate::remote::Host;

/// A program that starts servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Claude Desktop.
    Claude,
    /// Claude Code.
    ClaudeCode,
    /// Visual Studio Code.
    Vscode,
    /// Cursor.
    Cursor,
    /// Codex.
    Codex,
    /// Gemini CLI.
    Gemini,
}

impl Client {
    /// All that are known.
    pub const ALL: [Client; 6] = [
        Client::Claude,
        Client::ClaudeCode,
        Client::Vscode,
        Client::Cursor,
        Client::Codex,
        Client::Gemini,
    ];

    /// Its word on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Client::Claude => "claude",
            Client::ClaudeCode => "claude-code",
            Client::Vscode => "vscode",
            Client::Cursor => "cursor",
            Client::Codex => "codex",
            Client::Gemini => "gemini",
        }
    }

    /// Where it wants it.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Client::Claude => "~/.config/Claude/claude_desktop_config.json",
            Client::ClaudeCode => ".mcp.json of a project",
            Client::Vscode => ".vscode/mcp.json of a project",
            Client::Cursor => "~/.cursor/mcp.json",
            Client::Codex => "~/.codex/config.toml",
            Client::Gemini => "~/.gemini/settings.json",
        }
    }
}

impl FromStr for Client {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|client| client.as_str() == text)
            .ok_or_else(|| format!("no client {text} is known"))
    }
}

/// How long the part of a title may be that names instances; one name always fits.
const LONGEST_TITLE: usize = 40;

/// How a server is started.
#[derive(Debug, PartialEq, Eq)]
pub struct Start {
    /// What clients call it.
    pub title: String,
    /// The program, by its full path: a client may have another `PATH`.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Directories that are elsewhere than usual; a client may not pass its environment on.
    pub env: BTreeMap<&'static str, String>,
}

impl Start {
    /// For these instances.
    #[must_use]
    pub fn new(env: &Env, program: &Utf8Path, names: &[Name], read_only: bool) -> Self {
        let mut args = vec!["mcp".to_owned()];
        args.extend(names.iter().map(ToString::to_string));
        args.extend(read_only.then(|| "--read-only".to_owned()));
        Self {
            title: Self::title_of(names),
            command: program.to_string(),
            args,
            env: env.unusual_dirs(),
        }
    }

    /// The same for instances of another machine: `--host`. Where directories lie there is that
    /// machine's affair.
    #[must_use]
    pub fn on(mut self, host: &Host) -> Self {
        let host = host.to_string();
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        self.title = format!("{}-on-{}", self.title, host.chars().map(plain).collect::<String>());
        self.args.splice(..0, ["--host".to_owned(), host]);
        self.env.clear();
        self
    }

    /// One server for each set of instances: clients keep one of each title, so the title names them
    /// all. A name has no underscore.
    fn title_of(names: &[Name]) -> String {
        let all = names.iter().map(Name::as_str).collect::<Vec<_>>().join("_");
        if all.len() <= LONGEST_TITLE {
            return format!("ragpod-{all}");
        }
        // Clients put it before the names of tools, and those have a limit.
        let digest = Sha256::digest(all.as_bytes());
        let digest: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("ragpod-{}-instances-{digest}", names.len())
    }

    /// What the client's file must have, as JSON would have it.
    #[must_use]
    pub fn value(&self, client: Client) -> Value {
        let mut server = json!({ "command": self.command, "args": self.args });
        if matches!(client, Client::Vscode | Client::ClaudeCode) {
            server["type"] = json!("stdio");
        }
        if !self.env.is_empty() {
            server["env"] = json!(self.env);
        }
        let key = match client {
            Client::Vscode => "servers",
            Client::Codex => "mcp_servers",
            _ => "mcpServers",
        };
        json!({ key: { &self.title: server } })
    }

    /// The same in the language of the client's file.
    ///
    /// # Errors
    /// When it cannot be written, which no value here can cause.
    pub fn text(&self, client: Client) -> Result<String> {
        let cannot = |e: String| Error::failed("cannot write the configuration").cause(e);
        let value = self.value(client);
        if client == Client::Codex {
            return toml::to_string(&value).map_err(|e| cannot(e.to_string()));
        }
        let text = serde_json::to_string_pretty(&value).map_err(|e| cannot(e.to_string()))?;
        Ok(text + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(names: &[&str]) -> Start {
        let names: Vec<Name> = names.iter().map(|n| n.parse().unwrap()).collect();
        let title = Start::title_of(&names);
        let args = ["mcp", "notes"].map(str::to_owned).to_vec();
        Start { title, command: "/opt/my tools/ragpod".into(), args, env: BTreeMap::new() }
    }

    #[test]
    fn each_set_of_instances_has_a_title_of_its_own() {
        let title = |names: &[&str]| start(names).title;
        assert_eq!(title(&["notes"]), "ragpod-notes");
        assert_eq!(title(&["notes", "work"]), "ragpod-notes_work");
        assert_ne!(title(&["a-b", "c"]), title(&["a", "b-c"]));
        let many: Vec<String> = (0..30).map(|n| format!("instance-{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_ne!(title(&many), title(&many[1..]));
        for title in [title(&many), title(&["x".repeat(40).as_str()])] {
            assert!(title.len() <= 47, "{title}");
        }
    }

    #[test]
    fn each_client_has_its_form() {
        let start = start(&["notes"]);
        let server = json!({ "command": "/opt/my tools/ragpod", "args": ["mcp", "notes"] });
        for client in [Client::Claude, Client::Cursor, Client::Gemini] {
            assert_eq!(start.value(client), json!({ "mcpServers": { "ragpod-notes": server } }));
        }
        let vscode = start.value(Client::Vscode);
        assert_eq!(vscode["servers"]["ragpod-notes"]["type"], "stdio");
        assert_eq!(
            start.text(Client::Codex).unwrap(),
            "[mcp_servers.ragpod-notes]\nargs = [\"mcp\", \"notes\"]\n\
             command = \"/opt/my tools/ragpod\"\n"
        );
        for client in Client::ALL {
            assert_eq!(client.as_str().parse(), Ok(client));
            assert!(start.text(client).unwrap().ends_with('\n'));
        }
        assert!("emacs".parse::<Client>().is_err());
    }
}
