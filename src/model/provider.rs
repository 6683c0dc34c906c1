//! Where embeddings and completions come from, and what may be reached for it.

use std::fmt;
use std::str::FromStr;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::{SecretKey, Text};

/// `[provider]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Which protocol is spoken.
    pub kind: ProviderKind,
    /// The API's address, `http://` or `https://`; `None` is the kind's own.
    pub base_url: Option<Text>,
    /// Azure's `api-version`.
    pub api_version: Option<Text>,
    /// The model that answers; `None` is the engine's choice for the kind.
    pub llm_model: Option<Text>,
    /// The model that embeds.
    pub embedding_model: Option<Text>,
    /// Its vectors' length, 1 to 16,000.
    pub embedding_dim: Option<u16>,
    /// The secret that holds its key; `None` when the provider asks for none.
    pub api_key: Option<SecretKey>,
    /// A file on the host with certificates of authorities that are trusted besides the public ones.
    pub ca_file: Option<Utf8PathBuf>,
}

/// The providers that the engine speaks with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// Azure OpenAI and Azure AI Foundry.
    Azure,
    /// OpenAI.
    #[serde(rename = "openai")]
    OpenAi,
    /// Anything that speaks OpenAI's protocol: vLLM, `LiteLLM`, LM Studio, ….
    #[serde(rename = "openai-compatible")]
    OpenAiCompatible,
    /// Ollama.
    Ollama,
    /// A small sentence model in the engine's image: no key, no network.
    #[default]
    Offline,
}

impl ProviderKind {
    /// All kinds, in the order in which help texts name them.
    pub const ALL: [Self; 5] =
        [Self::Offline, Self::OpenAi, Self::Azure, Self::OpenAiCompatible, Self::Ollama];

    /// The manifest's word for it, which the engine understands too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::OpenAi => "openai",
            Self::OpenAiCompatible => "openai-compatible",
            Self::Ollama => "ollama",
            Self::Offline => "offline",
        }
    }

    /// Whether it cannot work without a key.
    #[must_use]
    pub fn needs_key(self) -> bool {
        matches!(self, Self::Azure | Self::OpenAi)
    }

    /// Whether it is somewhere else on the network.
    #[must_use]
    pub fn is_remote(self) -> bool {
        self != Self::Offline
    }

    /// Whether the manifest must say where it is.
    #[must_use]
    pub fn needs_base_url(self) -> bool {
        matches!(self, Self::Azure | Self::OpenAiCompatible | Self::Ollama)
    }

    /// The address used when the manifest names none.
    #[must_use]
    pub fn default_endpoint(self) -> Option<Endpoint> {
        matches!(self, Self::OpenAi)
            .then(|| Endpoint { host: "api.openai.com".to_owned(), port: 443 })
    }
}

impl FromStr for ProviderKind {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|k| k.as_str() == s).ok_or_else(|| {
            format!("{s:?} is no provider; there are {}", Self::ALL.map(Self::as_str).join(", "))
        })
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A host and a port that the gateway lets connections through to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// A DNS name in lower case; never a literal address, a scheme, a path or a wildcard.
    host: String,
    port: u16,
}

impl Endpoint {
    /// The host's name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 1 to 65535.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The endpoint of an `http://` or `https://` address.
    pub fn of_url(url: &str) -> Result<Self, String> {
        let (default, rest) = if let Some(rest) = url.strip_prefix("https://") {
            (443, rest)
        } else if let Some(rest) = url.strip_prefix("http://") {
            (80, rest)
        } else {
            return Err(format!("{url:?} is no address: it must begin with https:// or http://"));
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err("it holds a user name or a password; put the key into a secret: ragpod secret set NAME api-key".into());
        }
        match authority.rsplit_once(':') {
            Some(_) => authority.parse(),
            None => format!("{authority}:{default}").parse(),
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// `host:port`.
    fn from_str(s: &str) -> Result<Self, String> {
        if let Some((scheme, _)) = s.split_once("://") {
            return Err(format!("it has a scheme; leave {scheme}:// away and write host:port"));
        }
        if s.contains('/') {
            return Err("it has a path; write host:port only".into());
        }
        if s.contains('*') {
            return Err("it has a wildcard; name each host in full".into());
        }
        if s.is_empty() {
            return Err("it is empty; write host:port".into());
        }
        if s.contains(char::is_whitespace) {
            return Err("it has a blank; write each host:port as an entry of its own".into());
        }
        let Some((host, port)) = s.rsplit_once(':') else {
            return Err(format!("it has no port; write {s}:443"));
        };
        let port = port
            .parse::<u16>()
            .ok()
            .filter(|p| *p != 0)
            .ok_or_else(|| format!("{port:?} is no port; it must be 1 to 65535"))?;
        let host = host.to_ascii_lowercase();
        // inet_aton(3) takes 2130706433, 127.1 and 0x7f000001 for addresses, too.
        let last = host.rsplit('.').next().unwrap_or_default();
        let number = last.chars().all(|c| c.is_ascii_digit()) || last.starts_with("0x");
        if host.contains([':', '[']) || (number && !last.is_empty()) {
            return Err("it is a literal address; name the host, so that its certificate and its log line mean something".into());
        }
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        if host.len() > 253 || !host.split('.').all(label) {
            return Err(format!("{host:?} is no host name"));
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        assert_eq!("API.x.org:443".parse::<Endpoint>().unwrap().to_string(), "api.x.org:443");
        for bad in [
            "x.org",
            "x.org:0",
            "x.org:65536",
            "https://x.org:443",
            "x.org:443/v1",
            "*.x.org:443",
            "10.0.0.1:443",
            "[::1]:443",
            "2130706433:443",
            "127.1:443",
            "0x7f000001:443",
            "x.org:443 y.org:443",
            "",
            "a b:1",
            ":443",
            "x..org:1",
            "-x.org:1",
            "x.org:443\n",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn endpoints_of_urls() {
        let of = |u: &str| Endpoint::of_url(u).map(|e| e.to_string());
        assert_eq!(of("https://a.b/c?d"), Ok("a.b:443".into()));
        assert_eq!(of("http://a.b:8080/v1"), Ok("a.b:8080".into()));
        assert_eq!(of("http://a.b"), Ok("a.b:80".into()));
        assert!(of("https://user:pw@a.b/").is_err());
        assert!(of("ftp://a.b").is_err());
    }
}
