//! Reading a backup: as a whole, to see that it is good, or one member of it as a stream.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest, Sha256};

use super::index::Index;
use super::write::hex;
use super::{DATABASE, ENGINE, GRAPHS, INDEX, LIST, MANIFEST, MEMBERS};
use crate::error::{Error, Kind, Result};

/// What a file that zstd compressed begins with.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The longest member that is taken into memory, in bytes.
const LONGEST: u64 = 16 << 20;

/// A backup on disk. The file stays open: what was checked is what is read, also when somebody
/// puts another one in its place meanwhile.
pub struct Archive {
    path: Utf8PathBuf,
    file: File,
}

type Tar<'f> = tar::Archive<zstd::Decoder<'static, io::BufReader<&'f File>>>;

impl Archive {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Kind::Io`] when it cannot be read, [`Kind::Failed`] when it is no backup.
    pub fn open(path: &Utf8Path) -> Result<Self> {
        let failed = |e: &io::Error| Error::io("read", path, e);
        let mut file = File::open(path).map_err(|e| {
            failed(&e).hint("see which backups there are: ragpod backup NAME --list")
        })?;
        if file.metadata().is_ok_and(|m| m.is_dir()) {
            return Err(foreign(path).cause("it is a directory"));
        }
        let mut begins = [0; 4];
        let n = file.read(&mut begins).map_err(|e| failed(&e))?;
        if begins[..n] != MAGIC {
            return Err(foreign(path).cause("it was not compressed by zstd"));
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// How large the file is, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |m| m.len())
    }

    /// What it holds, without a look at whether the rest is good.
    pub fn index(&self) -> Result<Index> {
        let mut tar = self.tar()?;
        let mut entries = tar.entries().map_err(|e| self.damaged(&e))?;
        self.first(&mut entries)
    }

    /// Reads all of it, and gives what it holds. `told` hears how many bytes of the file are done,
    /// and ends it when it fails.
    ///
    /// # Errors
    /// [`Kind::Failed`]: it was cut off, a bit of it is not as it was written, or it is no backup.
    pub fn check(&self, told: &mut dyn FnMut(u64) -> Result<()>) -> Result<Index> {
        let mut tar = self.tar()?;
        let mut entries = tar.entries().map_err(|e| self.damaged(&e))?;
        let index = self.first(&mut entries)?;
        let mut seen = BTreeMap::new();
        let mut piece = vec![0; 256 << 10];
        for entry in &mut entries {
            let mut entry = entry.map_err(|e| self.damaged(&e))?;
            let name = name(&entry);
            let Some(member) = index.members.get(&name) else {
                return Err(self.damaged(&format!("it has a member too many, {name}")));
            };
            let mut hash = Sha256::new();
            let mut bytes = 0;
            loop {
                let n = entry.read(&mut piece).map_err(|e| self.damaged(&e))?;
                if n == 0 {
                    break;
                }
                hash.update(&piece[..n]);
                bytes += n as u64;
                told((&self.file).stream_position().unwrap_or(0))?;
            }
            if bytes != member.bytes || hex(hash) != member.sha256 {
                return Err(self.damaged(&format!("{name} is not as it was written")));
            }
            seen.insert(name, bytes);
        }
        // The checksum of the whole comes last.
        io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|e| self.damaged(&e))?;
        let needed = [MANIFEST, GRAPHS, LIST, DATABASE, ENGINE];
        let needed = needed.into_iter().chain(index.members.keys().map(String::as_str));
        for member in needed {
            if !seen.contains_key(member) {
                return Err(self.damaged(&format!("{member} is missing")));
            }
        }
        if let Some(member) = index.members.keys().find(|m| !MEMBERS.contains(&m.as_str())) {
            return Err(self.damaged(&format!("{member} is no part of a backup")));
        }
        Ok(index)
    }

    /// Gives a member as a stream to `take`; `None` when there is none of that name.
    pub fn member<T>(
        &self,
        wanted: &str,
        take: impl FnOnce(&mut dyn Read) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut tar = self.tar()?;
        for entry in tar.entries().map_err(|e| self.damaged(&e))? {
            let mut entry = entry.map_err(|e| self.damaged(&e))?;
            if name(&entry) == wanted {
                return take(&mut entry).map(Some);
            }
        }
        Ok(None)
    }

    /// A short member whole.
    pub fn small(&self, wanted: &str) -> Result<Option<Vec<u8>>> {
        self.member(wanted, |content| self.whole(content))
    }

    fn tar(&self) -> Result<Tar<'_>> {
        let rewound = (&self.file).rewind().and_then(|()| zstd::Decoder::new(&self.file));
        rewound.map(tar::Archive::new).map_err(|e| self.damaged(&e))
    }

    /// The index, which every backup begins with.
    fn first<R: Read>(&self, entries: &mut tar::Entries<'_, R>) -> Result<Index> {
        let mut first = match entries.next() {
            Some(Ok(entry)) if name(&entry) == INDEX => entry,
            Some(Err(e)) if e.kind() != io::ErrorKind::Other => return Err(self.damaged(&e)),
            _ => return Err(foreign(&self.path).cause(format!("it does not begin with {INDEX}"))),
        };
        let bytes = self.whole(&mut first)?;
        Index::parse(&bytes, self.path.as_str())
    }

    fn whole(&self, content: &mut dyn Read) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        content.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|e| self.damaged(&e))?;
        if bytes.len() as u64 > LONGEST {
            return Err(self.damaged(&"a member is too long"));
        }
        Ok(bytes)
    }

    fn damaged(&self, why: &dyn std::fmt::Display) -> Error {
        Error::new(Kind::Failed, format!("{} is damaged", self.path))
            .cause(why.to_string())
            .hint("take another one: ragpod backup --list NAME")
    }
}

fn name(entry: &tar::Entry<'_, impl Read>) -> String {
    String::from_utf8_lossy(&entry.path_bytes()).into_owned()
}

fn foreign(path: &Utf8Path) -> Error {
    Error::failed(format!("{path} is no backup of ragpod's"))
        .hint("see which there are: ragpod backup --list NAME")
}

#[cfg(test)]
mod tests {
    use super::super::index::tests::index;
    use super::super::{Draft, MEMBERS, SECRETS};
    use super::*;

    fn made(dir: &Utf8Path) -> Vec<u8> {
        let mut draft = Draft::new(dir);
        for member in MEMBERS.into_iter().filter(|m| ![INDEX, SECRETS].contains(m)) {
            let staged = draft.member(member).unwrap();
            for i in 0..20_000_u32 {
                staged.add(&i.wrapping_mul(2_654_435_761).to_le_bytes()).unwrap();
            }
        }
        let mut out = Vec::new();
        let mut far = 0;
        let mut told = |n| {
            far = n;
            Ok(())
        };
        draft.write(index(), &mut out, &mut told).unwrap();
        assert_eq!(far, 5 * 80_000);
        out
    }

    fn opened(dir: &Utf8Path, bytes: &[u8]) -> Result<Archive> {
        let path = dir.join("f");
        std::fs::write(&path, bytes).unwrap();
        Archive::open(&path)
    }

    fn dir() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    #[test]
    fn written_and_read_again() {
        let (_keep, dir) = dir();
        let archive = opened(&dir, &made(&dir)).unwrap();
        let whole = archive.check(&mut |_| Ok(())).unwrap();
        assert_eq!(archive.index().unwrap(), whole);
        assert_eq!((whole.instance.as_str(), whole.members.len()), ("demo", 5));
        assert_eq!(archive.small(DATABASE).unwrap().unwrap().len(), 80_000);
        assert_eq!(archive.small(SECRETS).unwrap(), None);
    }

    #[test]
    fn cut_off_anywhere_it_is_damaged() {
        let (_keep, dir) = dir();
        let whole = made(&dir);
        for cut in (4..whole.len()).step_by(whole.len() / 60).chain(whole.len() - 12..whole.len()) {
            let e = opened(&dir, &whole[..cut]).unwrap().check(&mut |_| Ok(())).unwrap_err();
            assert!(e.message.contains("is damaged") || e.message.contains("no backup"), "{e:?}");
        }
        let longer = [&whole[..], b"more"].concat();
        assert!(opened(&dir, &longer).unwrap().check(&mut |_| Ok(())).is_err());
    }

    #[test]
    fn a_bit_that_flipped_anywhere_is_seen() {
        let (_keep, dir) = dir();
        let whole = made(&dir);
        // The two before say how large a window unpacking takes: it can be larger than needed.
        for at in (6..whole.len()).step_by(whole.len() / 150) {
            let mut other = whole.clone();
            other[at] ^= 1 << (at % 8);
            let read = opened(&dir, &other).and_then(|a| a.check(&mut |_| Ok(())));
            assert!(read.is_err(), "bit {} of byte {at}", at % 8);
        }
    }

    #[test]
    fn a_member_that_was_exchanged_is_seen_although_all_checksums_of_the_file_are_good() {
        let (_keep, dir) = dir();
        let plain = zstd::decode_all(&made(&dir)[..]).unwrap();
        let mut other = plain.clone();
        // Well inside of the last member's content.
        let at = other.len() - 40_000;
        other[at] ^= 1;
        let packed = zstd::encode_all(&other[..], 1).unwrap();
        let e = opened(&dir, &packed).unwrap().check(&mut |_| Ok(())).unwrap_err();
        assert_eq!(e.causes, ["engine.tar is not as it was written"]);
    }

    #[test]
    fn what_is_no_backup_is_said_to_be_none() {
        let (_keep, dir) = dir();
        for bytes in [&b""[..], b"x", b"PGDMP\x01\x0e\x00", b"\x1f\x8b\x08\x00aaaaaaaa"] {
            let e = opened(&dir, bytes).err().unwrap();
            assert!(e.message.contains("no backup of ragpod's"), "{e}");
        }
        let mut tar = tar::Builder::new(Vec::new());
        append_one(&mut tar, "notes.md", b"hello");
        let packed = zstd::encode_all(&tar.into_inner().unwrap()[..], 1).unwrap();
        let e = opened(&dir, &packed).unwrap().check(&mut |_| Ok(())).unwrap_err();
        assert!(e.message.contains("no backup of ragpod's"), "{e}");
        let text = zstd::encode_all(&b"just some text, of no form at all"[..], 1).unwrap();
        assert!(opened(&dir, &text).unwrap().check(&mut |_| Ok(())).is_err());
        assert!(Archive::open(&dir).is_err());
    }

    fn append_one(tar: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content).unwrap();
    }
}
