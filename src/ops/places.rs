//! Where the app container sees a path that somebody named, and which pattern holds there.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use super::ingest::Wish;
use crate::error::{Error, Kind, Result};
use crate::manifest;
use crate::model::{FIRST_SOURCE, Instance, MORE_SOURCES, Source};

/// A folder or file as the app container sees it, with its pattern.
pub(super) type Place = (Utf8PathBuf, Option<String>);

/// What is to be ingested: the wished paths, or all sources.
///
/// # Errors
/// [`Kind::Usage`] for a path that lies in no source and a pattern with an open bracket, [`Kind::Manifest`] when there is no source.
pub(super) fn places(instance: &Instance, home: &Utf8Path, wish: &Wish<'_>) -> Result<Vec<Place>> {
    let mut places = if wish.paths.is_empty() {
        instance
            .sources
            .iter()
            .map(|s| (s.mount.clone(), s.pattern.as_ref().map(ToString::to_string)))
            .collect()
    } else {
        wish.paths.iter().map(|p| to_container(instance, home, p)).collect::<Result<Vec<_>>>()?
    };
    if places.is_empty() {
        return Err(Error::new(
            Kind::Manifest,
            format!("{} has no source to ingest", instance.name),
        )
        .hint("add to its manifest: [[source]] and path = \"~/some/folder\""));
    }
    if let Some(pattern) = wish.pattern {
        if let Some(open) = manifest::unclosed(pattern) {
            return Err(Error::usage(format!("--pattern {pattern}: its '{open}' is not closed"))
                .hint(manifest::BRACKETS));
        }
        for (_, own) in &mut places {
            *own = Some(pattern.to_owned());
        }
    }
    Ok(places)
}

/// What [`place`] finds with the links of this host. A relative path is one of the host.
fn to_container(instance: &Instance, home: &Utf8Path, path: &Utf8Path) -> Result<Place> {
    // As a manifest says it, where a shell does not: --path='~/notes'.
    let path = match path.strip_prefix("~") {
        Ok(inner) => home.join(inner),
        Err(_) => path.to_owned(),
    };
    let absolute = camino::absolute_utf8(&path).map_err(|e| Error::io("find", &path, &e))?;
    place(instance, &absolute, |p| p.canonicalize_utf8().ok())
}

/// The place of a path of the host or of the container, and the pattern of the source that it lies
/// in. `path` is absolute; `real` follows the links of a path of the host, if it is there.
///
/// It is compared as text first: whether a path outside of the sources exists is told to nobody.
/// The engine refuses a link in the sources that leads out of them.
///
/// # Errors
/// [`crate::error::Kind::Usage`] for a path in no source, and for one of the container with `..`.
fn place(
    instance: &Instance,
    path: &Utf8Path,
    real: impl Fn(&Utf8Path) -> Option<Utf8PathBuf>,
) -> Result<Place> {
    let outside = || {
        Error::usage(format!("{path} lies in no source of {}", instance.name)).hint(format!(
            "add its folder to the manifest as a [[source]], then: ragpod up {}",
            instance.name
        ))
    };
    let found = if path.starts_with(FIRST_SOURCE) || path.starts_with(MORE_SOURCES) {
        if path.components().any(|c| c == Utf8Component::ParentDir) {
            return Err(outside().cause("it goes up with .."));
        }
        nearest(instance, |s| s.mount.clone(), path)
    } else {
        let real_root = |s: &Source| real(&s.path).unwrap_or_else(|| s.path.clone());
        let plain = normal(path);
        let followed = real(&plain).and_then(|p| nearest(instance, real_root, &p));
        followed.or_else(|| nearest(instance, |s| s.path.clone(), &plain))
    };
    let (source, inner) = found.ok_or_else(outside)?;
    let inside =
        if inner.as_str().is_empty() { source.mount.clone() } else { source.mount.join(inner) };
    Ok((inside, source.pattern.as_ref().map(ToString::to_string)))
}

/// The innermost source whose root has the path below it, and the path from there.
fn nearest<'a>(
    instance: &'a Instance,
    root: impl Fn(&Source) -> Utf8PathBuf,
    path: &Utf8Path,
) -> Option<(&'a Source, Utf8PathBuf)> {
    instance
        .sources
        .iter()
        .filter_map(|s| path.strip_prefix(root(s)).ok().map(|inner| (s, inner.to_owned())))
        .min_by_key(|(_, inner)| inner.components().count())
}

/// Without `.` and `..`, as text.
fn normal(path: &Utf8Path) -> Utf8PathBuf {
    let mut normal = Utf8PathBuf::new();
    for component in path.components() {
        match component {
            Utf8Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        let text = "[instance]\nname = \"a\"\n[provider]\nkind = \"offline\"\n\
                    [[source]]\npath = \"/s/notes\"\npattern = \"**/*.md\"\n\
                    [[source]]\npath = \"/s/work\"\n";
        crate::manifest::parse(text, "a.toml", Utf8Path::new("/home/u")).unwrap()
    }

    fn at(path: &str) -> Result<(Utf8PathBuf, Option<String>)> {
        place(&instance(), Utf8Path::new(path), |_| None)
    }

    #[test]
    fn a_path_of_the_container_is_below_a_mount_and_keeps_its_pattern() {
        let md = Some("**/*.md".to_owned());
        assert_eq!(at("/data/projects/x.md").unwrap(), ("/data/projects/x.md".into(), md.clone()));
        assert_eq!(at("/data/projects").unwrap(), ("/data/projects".into(), md));
        for path in [
            "/data/projects/../../run/secrets/api-key",
            "/data/projects/a/../b.md",
            "/data/sources",
            "/data/sources/none/x",
            "/data/projectsx",
        ] {
            assert!(at(path).unwrap_err().message.contains("lies in no source"), "{path}");
        }
    }

    #[test]
    fn what_lies_outside_gives_the_same_words_there_or_not() {
        let there = |p: &Utf8Path| Some(p.to_owned());
        for path in ["/etc/passwd", "/s/notes/../../etc/passwd", "/s/notesx"] {
            let path = Utf8Path::new(path);
            let (a, b) = (place(&instance(), path, there), place(&instance(), path, |_| None));
            assert_eq!(a.unwrap_err().to_string(), b.unwrap_err().to_string(), "{path}");
        }
    }

    #[test]
    fn a_path_of_the_host_is_followed_into_a_source() {
        let md = Some("**/*.md".to_owned());
        assert_eq!(at("/s/notes/b/../a.md").unwrap(), ("/data/projects/a.md".into(), md.clone()));
        let real = |p: &Utf8Path| match p.as_str() {
            "/link" => Some("/s/notes/deep".into()),
            "/s/notes/out" => Some("/etc".into()),
            other => Some(other.into()),
        };
        let place = |path| place(&instance(), Utf8Path::new(path), real).unwrap();
        assert_eq!(place("/link"), ("/data/projects/deep".into(), md.clone()));
        // The engine looks at links that lead out.
        assert_eq!(place("/s/notes/out"), ("/data/projects/out".into(), md));
    }
}
