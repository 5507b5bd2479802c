//! A directory in memory, and how a fuzz input says what is in it.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};

use queue::fuzzing::{seal_ids, seal_segment};
use queue::{Disk, SegmentFile};

/// Set in the first byte of an input: checksums are put right, so that what they protect is looked at.
const SEALED: u8 = 1;

/// Files by name.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<BTreeMap<String, Arc<MemoryFile>>>>);

#[derive(Default)]
pub struct MemoryFile(Mutex<Vec<u8>>);

impl MemoryFile {
    fn bytes<T>(&self, with: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl MemoryDisk {
    fn files<T>(&self, with: impl FnOnce(&mut BTreeMap<String, Arc<MemoryFile>>) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The directory that an input describes. After the byte of flags come parts: kind, number, length (16 bits), bytes.
    /// They are a segment; an ids file; bytes to change in a segment (offset of 16 bits, byte to exclusive-or); where to
    /// cut a segment. Changes and cuts come last.
    pub fn from_input(input: &[u8]) -> MemoryDisk {
        let Some((flags, mut rest)) = input.split_first() else { return MemoryDisk::default() };
        let (mut segments, mut ids, mut damages) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        while let Some(([kind, number, low, high], after)) = rest.split_first_chunk() {
            let len = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
            let (part, after) = after.split_at(len);
            rest = after;
            let number = u32::from(*number);
            match kind % 4 {
                0 => drop(segments.insert(number, part.to_vec())),
                1 => drop(ids.insert(number, part.to_vec())),
                kind => damages.push((kind, number, part)),
            }
        }
        if flags & SEALED != 0 {
            let mut next = 1;
            segments.iter_mut().for_each(|(number, file)| seal_segment(file, *number, &mut next));
            ids.iter_mut().for_each(|(number, file)| seal_ids(file, *number));
        }
        for (kind, number, part) in damages {
            if let Some(file) = segments.get_mut(&number) {
                damage(kind, part, file);
            }
        }
        let segments = segments.into_iter().map(|(number, file)| (format!("{number:010}.log"), file));
        let ids = ids.into_iter().map(|(number, file)| (format!("{number:010}.ids"), file));
        let files = segments.chain(ids).map(|(name, file)| (name, Arc::new(MemoryFile(Mutex::new(file)))));
        MemoryDisk(Arc::new(Mutex::new(files.collect())))
    }
}

fn damage(kind: u8, part: &[u8], file: &mut Vec<u8>) {
    match kind {
        2 => part.chunks_exact(3).for_each(|change| {
            if let Some(byte) = file.get_mut(usize::from(u16::from_le_bytes([change[0], change[1]]))) {
                *byte ^= change[2];
            }
        }),
        _ => {
            if let Some(at) = part.first_chunk() {
                file.truncate(usize::from(u16::from_le_bytes(*at)));
            }
        }
    }
}

impl Disk for MemoryDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files(|files| files.keys().cloned().collect()))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let file = Arc::new(MemoryFile::default());
        self.files(|files| files.insert(name.to_owned(), Arc::clone(&file)));
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        self.files(|files| files.get(name).cloned()).map_or(Err(io::ErrorKind::NotFound.into()), |file| Ok(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files(|files| {
            let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
            files.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files(|files| files.remove(name)).map_or(Err(io::ErrorKind::NotFound.into()), |_| Ok(()))
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl SegmentFile for MemoryFile {
    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.bytes(|bytes| parts.iter().for_each(|part| bytes.extend_from_slice(part)));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.bytes(|bytes| {
            let wanted = bytes.get(offset as usize..).and_then(|bytes| bytes.get(..buffer.len()));
            wanted.map_or(Err(io::ErrorKind::UnexpectedEof.into()), |wanted| {
                buffer.copy_from_slice(wanted);
                Ok(())
            })
        })
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes(|bytes| bytes.len() as u64))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.bytes(|bytes| bytes.truncate(len as usize));
        Ok(())
    }

    fn overwrite(&self, new: &[u8], offset: u64) -> io::Result<()> {
        self.bytes(|bytes| {
            let old = bytes.get_mut(offset as usize..).and_then(|bytes| bytes.get_mut(..new.len()));
            old.map_or(Err(io::ErrorKind::UnexpectedEof.into()), |old| {
                old.copy_from_slice(new);
                Ok(())
            })
        })
    }
}
