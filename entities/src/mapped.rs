//! The bytes of a model: part of the program, or a file mapped into memory. Either way they are read in place, so all
//! worker processes share one copy. The crate's only `unsafe` is here.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

/// Read-only bytes that are never copied.
#[derive(Debug)]
pub enum Bytes {
    /// Part of the program.
    Static(&'static [u8]),
    /// A mapped file.
    Mapped(Mmap),
    /// Made a moment ago, by training.
    Owned(Vec<u8>),
}

impl Bytes {
    /// Maps a file.
    pub fn map(path: &Path) -> io::Result<Bytes> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        #[expect(unsafe_code, reason = "the only way to map a file")]
        // SAFETY: a mapping is sound as long as nobody changes the file while it lives. `copydesk train` writes a model
        // beside its place and renames it, which leaves the one in use alone, and its help asks people to do the same.
        // Should somebody edit a model in place all the same: every value read is harmless as any number, since all
        // indices come from lengths that were read and checked once, and a file that is cut short ends the process
        // with SIGBUS, which the supervisor treats as any other death.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Bytes::Mapped(map))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Static(bytes) => bytes,
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}
