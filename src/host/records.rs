//! What ragpod itself has on the host, as far as `doctor` judges it: gathered by those who know
//! where it lies.

use camino::Utf8PathBuf;

use crate::model::Name;

/// What there is of instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The directory of installed units.
    pub units: Utf8PathBuf,
    /// The folders that instances take their text from.
    pub sources: Vec<Utf8PathBuf>,
    /// Commands that were killed before they had done what they began.
    pub unfinished: Vec<Unfinished>,
    /// Files that killed commands left: none of them is in anybody's way.
    pub leftovers: Vec<Utf8PathBuf>,
    /// Files whose time is one that the clock had.
    pub dated: Vec<Utf8PathBuf>,
    /// Ports of the host that somebody has an instance publish.
    pub published: Vec<Published>,
}

/// A command that did not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The instance.
    pub name: Name,
    /// The command.
    pub doing: String,
    /// The command that completes it.
    pub redo: String,
}

/// A port of the host in a unit or a drop-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The file that says so.
    pub file: Utf8PathBuf,
    /// The port.
    pub port: u16,
    /// Whether the instance runs, and so listens there itself.
    pub running: bool,
}

/// The host's port in a value of `PublishPort=`: `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, the first one
/// of a range; `None` where Podman picks it.
#[must_use]
pub fn published_port(value: &str) -> Option<u16> {
    let value = value.trim().trim_matches('"');
    let (value, _) = value.split_once('/').unwrap_or((value, ""));
    let mut fields = value.rsplit(':');
    let _container = fields.next()?;
    fields.next()?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_the_host() {
        let of = published_port;
        assert_eq!(of("127.0.0.1:15432:5432"), Some(15432));
        assert_eq!(of("8080:80/tcp"), Some(8080));
        assert_eq!(of("[::1]:53:53/udp"), Some(53));
        assert_eq!(of("8000-8010:8000-8010"), Some(8000));
        assert_eq!(of("127.0.0.1::80"), None);
        assert_eq!((of("80"), of(""), of("x:y")), (None, None, None));
    }
}
