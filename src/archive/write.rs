//! Writing a backup: each member is staged on disk, because a tar says a member's length before its
//! content, then all of them are compressed into one file.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};

use super::index::{Index, Member};
use super::{INDEX, MEMBERS};
use crate::error::{Error, Result};
use crate::fault;

/// Fast enough for a database, and near what more effort would give.
const LEVEL: i32 = 3;

/// A member whose content is on disk, in a file without a name: however this process ends, nothing
/// is left of it.
pub struct Staged {
    file: BufWriter<File>,
    dir: Utf8PathBuf,
    bytes: u64,
    hash: Sha256,
}

impl Staged {
    fn new(dir: &Utf8Path) -> Result<Self> {
        let file = tempfile::tempfile_in(dir).map_err(|e| Error::io("write in", dir, &e))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { file, dir: dir.to_owned(), bytes: 0, hash: Sha256::new() })
    }

    /// Adds to the content.
    pub fn add(&mut self, piece: &[u8]) -> Result<()> {
        fault::write()
            .and_then(|()| self.file.write_all(piece))
            .map_err(|e| Error::io("write in", &self.dir, &e))?;
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// How long it is by now, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The content from its beginning.
    pub fn reader(&mut self) -> Result<impl Read + '_> {
        let failed = |e: &io::Error| Error::io("read in", &self.dir, e);
        self.file.flush().map_err(|e| failed(&e))?;
        self.file.get_ref().rewind().map_err(|e| failed(&e))?;
        Ok(self.file.get_ref())
    }
}

/// A backup that is being put together.
pub struct Draft {
    dir: Utf8PathBuf,
    members: Vec<(&'static str, Staged)>,
}

impl Draft {
    /// One whose members are staged in `dir`.
    #[must_use]
    pub fn new(dir: &Utf8Path) -> Self {
        Self { dir: dir.to_owned(), members: Vec::new() }
    }

    /// Makes room for a member: one of [`MEMBERS`], in their order.
    pub fn member(&mut self, name: &'static str) -> Result<&mut Staged> {
        let staged = Staged::new(&self.dir)?;
        self.members.push((name, staged));
        let last = self.members.len() - 1;
        Ok(&mut self.members[last].1)
    }

    /// How long all members are, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.members.iter().map(|(_, staged)| staged.bytes).sum()
    }

    /// Writes the file: the index, completed with what the members are, and the members. `out` is
    /// where, `told` hears how many bytes are done, and ends it when it fails. Gives the index.
    pub fn write(
        mut self,
        mut index: Index,
        out: &mut dyn Write,
        told: &mut dyn FnMut(u64) -> io::Result<()>,
    ) -> Result<Index> {
        self.members.sort_by_key(|(name, _)| MEMBERS.iter().position(|m| m == name));
        for (name, staged) in &self.members {
            let sha256 = hex(staged.hash.clone());
            index.members.insert((*name).to_owned(), Member { bytes: staged.bytes, sha256 });
        }
        let mtime = index.created.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
        let mtime = u64::try_from(mtime).unwrap_or(0);
        let first = index.to_json()?;
        let dir = self.dir.clone();
        let failed = |e: &io::Error| Error::io("write in", &dir, e);
        let mut write = || -> io::Result<()> {
            fault::write()?;
            let mut zstd = zstd::Encoder::new(&mut *out, LEVEL)?;
            // Each bit of it is watched over, the index's too.
            zstd.include_checksum(true)?;
            let mut tar = tar::Builder::new(zstd);
            append(&mut tar, INDEX, first.len() as u64, mtime, &mut &first[..])?;
            let mut done = 0;
            for (name, staged) in &mut self.members {
                fault::write()?;
                staged.file.flush()?;
                staged.file.get_ref().rewind()?;
                let before = done;
                let source = Counted {
                    inner: staged.file.get_ref().take(staged.bytes),
                    done: &mut done,
                    told: &mut *told,
                };
                append(&mut tar, name, staged.bytes, mtime, &mut { source })?;
                if done - before != staged.bytes {
                    return Err(io::Error::other("a staged file was cut"));
                }
            }
            tar.into_inner()?.finish()?.flush()
        };
        write().map_err(|e| failed(&e))?;
        Ok(index)
    }
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    name: &str,
    bytes: u64,
    mtime: u64,
    content: &mut dyn Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(mtime);
    tar.append_data(&mut header, name, content)
}

/// Tells how far a copy is.
struct Counted<'a, R> {
    inner: R,
    done: &'a mut u64,
    told: &'a mut dyn FnMut(u64) -> io::Result<()>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        *self.done += n as u64;
        (self.told)(*self.done).map(|()| n)
    }
}

/// A hash in hexadecimal.
pub(super) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
