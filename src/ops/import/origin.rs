//! Where an old database is: in a running container, in a dump, or in a directory of its files.

use std::fs::File;
use std::io::{BufReader, Read};

use camino::{Utf8Path, Utf8PathBuf};

use super::super::{Ctx, compose};
use crate::error::{Error, Result};
use crate::manifest::compose::{Data, Database, Deployment, OVERRIDES};
use crate::podman::Podman;

/// How a dump is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
}

/// How a dump is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// SQL.
    Plain,
    /// What `pg_restore` reads: the custom format, or tar.
    Archive,
}

/// Where an old database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// In a running container, which `podman` or `docker` reaches.
    Container { program: &'static str, name: String, database: Option<String> },
    /// In a file.
    Dump { file: Utf8PathBuf, packing: Packing, form: Form },
    /// In a folder that `pg_dump --format=directory` made.
    DumpFolder(Utf8PathBuf),
    /// In a directory of its server's files.
    Files { place: Place, major: String, image: Option<String>, database: Option<String> },
}

/// Where a server's files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Folder(Utf8PathBuf),
    Volume(String),
}

impl Origin {
    /// What it is, for people and programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Origin::Container { .. } => "container",
            Origin::Dump { .. } | Origin::DumpFolder(_) => "dump",
            Origin::Files { .. } => "data directory",
        }
    }

    /// The same with its name.
    pub fn sentence(&self) -> String {
        match self {
            Origin::Container { program, name, .. } => format!("the container {name} ({program})"),
            Origin::Dump { file, .. } => format!("the dump {file}"),
            Origin::DumpFolder(dir) => format!("the dump {dir}"),
            Origin::Files { place: Place::Folder(dir), .. } => format!("the data directory {dir}"),
            Origin::Files { place: Place::Volume(volume), .. } => format!("the volume {volume}"),
        }
    }
}

/// What `import` was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// A compose folder: a running container of it, or else its data directory.
    Compose(Utf8PathBuf),
    /// A dump, a data directory, a compose folder, a running container or a volume.
    Named(String),
}

impl std::fmt::Display for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            From::Compose(place) => write!(f, "{place}"),
            From::Named(named) => f.write_str(named),
        }
    }
}

/// The programs that containers of an old deployment may run under.
const PROGRAMS: [&str; 2] = ["podman", "docker"];

/// Finds an old database.
///
/// # Errors
/// [`crate::error::Kind::Usage`] when there is none, or it is not what it should be.
pub(super) fn find(ctx: Ctx<'_>, from: &From, image: Option<&str>) -> Result<Origin> {
    let named = match from {
        From::Compose(place) => return of_compose(ctx, place, image),
        From::Named(named) => named,
    };
    let path = Utf8Path::new(named);
    let home = named.strip_prefix("~/").map(|rest| ctx.env.home.join(rest));
    let path = home.as_deref().unwrap_or(path);
    if let Ok(path) = path.canonicalize_utf8() {
        if path.is_file() {
            return if is_compose(&path) { of_compose(ctx, &path, image) } else { dump(&path) };
        }
        if path.join("toc.dat").exists() {
            return Ok(Origin::DumpFolder(mountable(path)?));
        }
        if crate::manifest::compose::FILES.iter().any(|f| path.join(f).exists()) {
            return of_compose(ctx, &path, image);
        }
        return files(Place::Folder(mountable(path)?), image, None);
    }
    if let Some(program) = PROGRAMS.into_iter().find(|p| Podman::at(*p).is_running(named)) {
        return Ok(Origin::Container { program, name: named.clone(), database: None });
    }
    if !named.contains('/') && Podman::new().exists("volume", named)? {
        return files(Place::Volume(named.clone()), image, None);
    }
    Err(Error::usage(format!("there is no old database called {named}"))
        .cause("it is neither a file or folder, nor a running container, nor a volume")
        .hint("name a compose folder, a dump, a data directory or a running container"))
}

fn is_compose(path: &Utf8Path) -> bool {
    matches!(path.extension(), Some("yaml" | "yml"))
}

/// The database of a compose folder.
fn of_compose(ctx: Ctx<'_>, place: &Utf8Path, image: Option<&str>) -> Result<Origin> {
    let deployment = compose::read(ctx.env, place, None)?;
    // One that is not read may have the database elsewhere.
    for finding in deployment.findings.iter().filter(|f| OVERRIDES.contains(&f.file.as_str())) {
        ctx.progress.warn(&finding.to_string());
    }
    let Some(database) = &deployment.database else {
        return Err(Error::usage(format!("the deployment in {place} has no database"))
            .hint("name a dump, a data directory or a running container"));
    };
    if let Some((program, name)) = running(&deployment, database) {
        return Ok(Origin::Container { program, name, database: database.database.clone() });
    }
    let image = image.or(database.image.as_deref());
    let name = database.database.clone();
    match &database.data {
        Some(Data::Folder(dir)) => files(Place::Folder(mountable(dir.clone())?), image, name),
        Some(Data::Volume(volumes)) => {
            for volume in volumes {
                if Podman::new().exists("volume", volume)? {
                    return files(Place::Volume(volume.clone()), image, name);
                }
            }
            Err(Error::usage(format!(
                "the database of {place} does not run, and Podman has no volume {}",
                volumes.join(" or ")
            ))
            .hint("start it: docker compose up -d, then the same command again")
            .hint("or name a dump of it: docker compose exec -T SERVICE pg_dump … > FILE"))
        }
        None => Err(Error::usage(format!(
            "the database of {place} does not run, and no volume is named"
        ))
        .hint("start it: docker compose up -d, then the same command again")),
    }
}

/// The running container of a deployment's database.
fn running(deployment: &Deployment, database: &Database) -> Option<(&'static str, String)> {
    for program in PROGRAMS {
        let podman = Podman::at(program);
        if let Some(name) = database.container.as_ref().filter(|name| podman.is_running(name)) {
            return Some((program, name.clone()));
        }
        for prefix in ["com.docker.compose", "io.podman.compose"] {
            let labels = [
                format!("{prefix}.project={}", deployment.project),
                format!("com.docker.compose.service={}", database.service),
            ];
            // A program that is not installed has none.
            if let Some(name) =
                podman.labelled(&labels).ok().and_then(|names| names.into_iter().next())
            {
                return Some((program, name));
            }
        }
    }
    None
}

/// A directory of a server's files, which must be one.
fn files(place: Place, image: Option<&str>, database: Option<String>) -> Result<Origin> {
    let podman = Podman::new();
    let dir = match &place {
        Place::Folder(dir) => dir.clone(),
        Place::Volume(volume) => podman.volume_mountpoint(volume)?.unwrap_or_default(),
    };
    let places = ["", "pgdata", "data", "17/docker", "18/docker"];
    let candidates: Vec<String> =
        places.iter().map(|p| dir.join(p).join("PG_VERSION").into_string()).collect();
    let Some(major) = podman.first_line(&candidates)? else {
        return Err(Error::usage(format!(
            "{dir} is no PostgreSQL data directory, or cannot be read"
        ))
        .cause("no PG_VERSION can be read in it")
        .hint(format!("look at it: sudo ls -l {dir}"))
        .hint(format!(
            "if it is another user's, import a copy: sudo cp -a {dir} ~/old-postgres && sudo \
                 chown -R \"$(id -u)\" ~/old-postgres"
        )));
    };
    Ok(Origin::Files { place, major, image: image.map(str::to_owned), database })
}

/// A path that `podman run --mount` can be told of.
fn mountable(path: Utf8PathBuf) -> Result<Utf8PathBuf> {
    if path.as_str().contains([',', '"', '\n']) {
        return Err(Error::usage(format!(
            "{path} cannot be mounted: it has a comma or a quote in it"
        ))
        .hint("make a link to it: ln -s, and name that"));
    }
    Ok(path)
}

/// A file that should be a dump.
fn dump(path: &Utf8Path) -> Result<Origin> {
    let io = |e: std::io::Error| Error::io("read", path, &e);
    let mut magic = [0u8; 4];
    let read = File::open(path).and_then(|mut f| f.read(&mut magic)).map_err(io)?;
    let packing = match &magic[..read] {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Packing::Zstd,
        _ => Packing::None,
    };
    let mut begins = vec![0u8; 1024];
    let mut all = unpacked(path, packing).map_err(io)?;
    let mut filled = 0;
    while filled < begins.len() {
        match all.read(&mut begins[filled..]).map_err(io)? {
            0 => break,
            n => filled += n,
        }
    }
    begins.truncate(filled);
    let tar = begins.get(257..262) == Some(b"ustar") && begins.starts_with(b"toc.dat");
    let said = String::from_utf8_lossy(&begins).contains("PostgreSQL database");
    let form = match () {
        () if begins.starts_with(b"PGDMP") || tar => Form::Archive,
        () if said => Form::Plain,
        () => {
            let (why, hint) = why_not(&begins);
            return Err(Error::usage(format!("{path} is no dump of PostgreSQL"))
                .cause(why)
                .hint(hint));
        }
    };
    Ok(Origin::Dump { file: path.to_owned(), packing, form })
}

/// Why a file that begins so cannot be read, and what to do.
fn why_not(begins: &[u8]) -> (&'static str, &'static str) {
    let packed = [
        (&b"\xfd7zXZ"[..], "it is packed with xz", "unpack it: unxz FILE"),
        (b"BZh", "it is packed with bzip2", "unpack it: bunzip2 FILE"),
        (b"\x04\x22\x4d\x18", "it is packed with lz4", "unpack it: unlz4 FILE"),
        (b"PK\x03\x04", "it is a zip archive", "unpack it: unzip FILE"),
        (
            b"\xff\xfe",
            "it is UTF-16, as PowerShell writes what > redirects",
            "turn it back: iconv -f UTF-16 -t UTF-8 FILE > FILE.sql",
        ),
    ];
    let found = packed.into_iter().find(|(magic, ..)| begins.starts_with(magic));
    let tar = begins.get(257..262) == Some(b"ustar");
    match found {
        Some((_, why, hint)) => (why, hint),
        None if tar => ("it is a tar archive of something else", "unpack it: tar -xf FILE"),
        None => (
            "it begins neither as pg_dump writes SQL nor as one of its archives",
            "make one: pg_dump --format=custom --file=FILE DATABASE",
        ),
    }
}

/// The bytes of a dump.
pub(super) fn unpacked(path: &Utf8Path, packing: Packing) -> std::io::Result<Box<dyn Read>> {
    let file = BufReader::new(File::open(path)?);
    Ok(match packing {
        Packing::None => Box::new(file),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn written(bytes: &[u8]) -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join("dump")).unwrap();
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    #[test]
    fn a_dump_is_known_by_what_is_in_it() {
        let sql = b"--\n-- PostgreSQL database dump\n--\n";
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(sql).unwrap();
        let zst = zstd::encode_all(&sql[..], 1).unwrap();
        for (bytes, packing, form) in [
            (sql.to_vec(), Packing::None, Form::Plain),
            (gz.finish().unwrap(), Packing::Gzip, Form::Plain),
            (zst, Packing::Zstd, Form::Plain),
            (b"PGDMP\x01\x10".to_vec(), Packing::None, Form::Archive),
        ] {
            let (_keep, path) = written(&bytes);
            let file = path.clone();
            assert_eq!(dump(&path).unwrap(), Origin::Dump { file, packing, form });
        }
        let says = |bytes: &[u8], words: &str| {
            let (_keep, path) = written(bytes);
            let e = dump(&path).unwrap_err();
            assert!(e.to_string().contains(words), "{e}");
        };
        says(b"\xfd7zXZ\0....", "xz");
        says(b"BZh91AY", "bzip2");
        says(b"PK\x03\x04....", "zip");
        says(b"\xff\xfe-\0-\0", "UTF-16");
        let mut tar = tar::Builder::new(Vec::new());
        for name in ["toc.dat", "dump/toc.dat"] {
            let mut header = tar::Header::new_ustar();
            header.set_size(2);
            tar.append_data(&mut header, name, &b"x\n"[..]).unwrap();
        }
        let tar = tar.into_inner().unwrap();
        let (_keep, path) = written(&tar);
        let found = dump(&path).unwrap();
        assert!(matches!(found, Origin::Dump { form: Form::Archive, .. }), "{found:?}");
        // Of a folder, not of pg_dump --format=tar.
        says(&tar[1024..], "tar archive");
        for bytes in [&b""[..], b"\x1f\x8bno", b"just text", b"\x28\xb5\x2f\xfd"] {
            let (_keep, path) = written(bytes);
            assert!(dump(&path).is_err(), "{bytes:?}");
        }
    }
}
