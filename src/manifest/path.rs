//! A path of the host as it stands in the manifest → one that can be mounted.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use super::problem::{At, Log};
use crate::model::Text;

/// What is meant: absolute and normal. `home` is what `~` means.
pub(super) fn expand(
    field: &At<String>,
    key: &str,
    home: &Utf8Path,
    log: &Log<'_>,
) -> Result<Utf8PathBuf, ()> {
    resolve(&field.value, home)
        .map_err(|(message, hint)| log.add(field.at, key, message, hint.map(str::to_owned)))
}

type Refusal = (String, Option<&'static str>);

fn resolve(text: &str, home: &Utf8Path) -> Result<Utf8PathBuf, Refusal> {
    if let Err(e) = text.parse::<Text>() {
        return Err((e.to_string(), None));
    }
    let path = match text.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(rest) => {
            let Some(rest) = rest.strip_prefix('/') else {
                let hint = "write the path in full; only your own home can be ~";
                return Err((format!("{text:?} names another user's home"), Some(hint)));
            };
            home.join(rest.trim_start_matches('/'))
        }
        None => Utf8PathBuf::from(text),
    };
    if !path.is_absolute() {
        let hint = "begin it with / or ~/";
        return Err((format!("{text:?} is relative"), Some(hint)));
    }
    let mut normal = Utf8PathBuf::new();
    for component in path.components() {
        match component {
            // What `..` means depends on symbolic links.
            Utf8Component::ParentDir => {
                let hint = "write the path without ..";
                return Err((format!("{text:?} goes up with .."), Some(hint)));
            }
            other => normal.push(other),
        }
    }
    if ["/proc", "/sys", "/dev", "/run"].iter().any(|special| normal.starts_with(special)) {
        return Err((format!("{normal} is no place for files, but the system's own state"), None));
    }
    if normal == "/" {
        return Err(("the whole file system cannot be mounted".to_owned(), None));
    }
    // In the service that Podman before 6.0 generates, a backslash there joins two lines.
    if normal.as_str().ends_with('\\') {
        return Err(("it ends in a backslash, which cannot be mounted".to_owned(), None));
    }
    Ok(normal)
}
