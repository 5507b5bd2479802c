//! A disk in memory that remembers every operation, and what would be left of it after a power loss at any of them.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use queue::*;

/// Bytes that a disk keeps or loses together.
const SECTOR: usize = 512;

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// One operation. Files are numbered in the order in which they were made.
#[derive(Debug, Clone)]
pub enum Op {
    Create(String, usize),
    Write { file: usize, offset: usize, bytes: Vec<u8> },
    Truncate(usize, usize),
    Sync(usize),
    Rename(String, String),
    Remove(String),
    SyncNames,
}

/// What a disk that loses power keeps of what was not synced.
#[derive(Debug, Clone, Copy)]
pub enum Survivors {
    Nothing,
    Everything,
    /// The first half of every write.
    Halves,
    /// Each sector and each change of a name by a coin.
    Sectors(u64),
}

#[derive(Clone)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
    /// A sync takes so long, so that what comes meanwhile is written together.
    sync: Duration,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    journal: Vec<Op>,
}

struct MemoryFile {
    disk: MemoryDisk,
    number: usize,
}

impl MemoryDisk {
    /// A disk on which these files are, durably.
    pub fn new(files: Files, sync: Duration) -> MemoryDisk {
        let mut state = State::default();
        for (name, bytes) in files {
            state.names.insert(name, state.files.len());
            state.files.push(bytes);
        }
        MemoryDisk { state: Arc::new(Mutex::new(state)), sync }
    }

    /// The disk as a process that was killed after these operations leaves it: they are all done, and as far from being
    /// synced as they were.
    pub fn after_kill(journal: &[Op]) -> MemoryDisk {
        let disk = MemoryDisk::new(Files::new(), Duration::ZERO);
        let mut state = disk.state();
        for op in journal {
            match op {
                Op::Create(_, number) => state.files.resize(number + 1, Vec::new()),
                Op::Write { file, offset, bytes } => put(&mut state.files[*file], *offset, bytes),
                Op::Truncate(file, len) => state.files[*file].truncate(*len),
                Op::Sync(_) | Op::SyncNames | Op::Rename(..) | Op::Remove(_) => {}
            }
            apply_name(&mut state.names, op);
        }
        state.journal = journal.to_vec();
        drop(state);
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Everything that was done to it so far.
    pub fn journal(&self) -> Vec<Op> {
        self.state().journal.clone()
    }

    /// How many operations there have been.
    pub fn position(&self) -> usize {
        self.state().journal.len()
    }

    fn file(&self, number: usize) -> Arc<dyn SegmentFile> {
        Arc::new(MemoryFile { disk: self.clone(), number })
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for MemoryDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let mut state = self.state();
        let number = state.files.len();
        state.files.push(Vec::new());
        state.names.insert(name.to_owned(), number);
        state.journal.push(Op::Create(name.to_owned(), number));
        Ok(self.file(number))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let number = *self.state().names.get(name).ok_or_else(not_found)?;
        Ok(self.file(number))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let number = state.names.remove(from).ok_or_else(not_found)?;
        state.names.insert(to.to_owned(), number);
        state.journal.push(Op::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.names.remove(name).ok_or_else(not_found)?;
        state.journal.push(Op::Remove(name.to_owned()));
        Ok(())
    }
    fn sync_names(&self) -> io::Result<()> {
        self.state().journal.push(Op::SyncNames);
        Ok(())
    }
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl SegmentFile for MemoryFile {
    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut state = self.disk.state();
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let offset = state.files[self.number].len();
        state.files[self.number].extend_from_slice(&bytes);
        state.journal.push(Op::Write { file: self.number, offset, bytes });
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        std::thread::sleep(self.disk.sync);
        self.disk.state().journal.push(Op::Sync(self.number));
        Ok(())
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.state();
        let begin = offset as usize;
        let bytes = state.files[self.number].get(begin..begin + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.number].len() as u64)
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.files[self.number].truncate(len as usize);
        state.journal.push(Op::Truncate(self.number, len as usize));
        state.journal.push(Op::Sync(self.number));
        Ok(())
    }
    fn overwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let begin = offset as usize;
        state.files[self.number][begin..begin + bytes.len()].copy_from_slice(bytes);
        state.journal.push(Op::Write { file: self.number, offset: begin, bytes: bytes.to_vec() });
        state.journal.push(Op::Sync(self.number));
        Ok(())
    }
}

/// What is on the disk when the power comes back, if it went after these operations on these files.
pub fn after_power_loss(before: &Files, journal: &[Op], survivors: Survivors) -> Files {
    let mut files: Vec<FileState> =
        before.values().map(|bytes| FileState { bytes: bytes.clone(), pending: vec![] }).collect();
    let mut names: BTreeMap<String, usize> = before.keys().cloned().zip(0..).collect();
    let mut pending_names: Vec<&Op> = Vec::new();
    for op in journal {
        match op {
            Op::Create(_, number) => {
                files.resize_with((*number + 1).max(files.len()), FileState::default);
                pending_names.push(op);
            }
            Op::Write { file, .. } | Op::Truncate(file, _) => files[*file].pending.push(op),
            Op::Sync(file) => files[*file].keep_all(),
            Op::Rename(..) | Op::Remove(_) => pending_names.push(op),
            Op::SyncNames => pending_names.drain(..).for_each(|op| apply_name(&mut names, op)),
        }
    }
    let mut coin = Coin(match survivors {
        Survivors::Sectors(seed) => seed,
        _ => 0,
    });
    let half = pending_names.len() / 2;
    let is_kept = |index: usize, coin: &mut Coin| match survivors {
        Survivors::Nothing => false,
        Survivors::Everything => true,
        Survivors::Halves => index < half,
        Survivors::Sectors(_) => coin.toss(),
    };
    for (index, op) in pending_names.into_iter().enumerate() {
        if is_kept(index, &mut coin) {
            apply_name(&mut names, op);
        }
    }
    for file in &mut files {
        file.keep(survivors, &mut coin);
    }
    names.into_iter().map(|(name, number)| (name, files[number].bytes.clone())).collect()
}

fn apply_name(names: &mut BTreeMap<String, usize>, op: &Op) {
    match op {
        Op::Create(name, number) => {
            names.insert(name.clone(), *number);
        }
        Op::Rename(from, to) => {
            if let Some(number) = names.remove(from) {
                names.insert(to.clone(), number);
            }
        }
        Op::Remove(name) => {
            names.remove(name);
        }
        _ => {}
    }
}

#[derive(Default)]
struct FileState<'a> {
    bytes: Vec<u8>,
    pending: Vec<&'a Op>,
}

impl FileState<'_> {
    fn keep_all(&mut self) {
        self.keep(Survivors::Everything, &mut Coin(0));
    }

    fn keep(&mut self, survivors: Survivors, coin: &mut Coin) {
        for op in self.pending.drain(..) {
            match (op, survivors) {
                (_, Survivors::Nothing) => {}
                (Op::Truncate(_, len), Survivors::Everything) => self.bytes.truncate(*len),
                (Op::Truncate(_, len), _) if coin.toss() => self.bytes.truncate(*len),
                (Op::Write { offset, bytes, .. }, Survivors::Everything) => put(&mut self.bytes, *offset, bytes),
                (Op::Write { offset, bytes, .. }, Survivors::Halves) => {
                    put(&mut self.bytes, *offset, &bytes[..bytes.len() / 2]);
                }
                (Op::Write { offset, bytes, .. }, Survivors::Sectors(_)) => {
                    let mut begin = 0;
                    while begin < bytes.len() {
                        let end = (((offset + begin) / SECTOR + 1) * SECTOR - offset).min(bytes.len());
                        if coin.toss() {
                            put(&mut self.bytes, offset + begin, &bytes[begin..end]);
                        }
                        begin = end;
                    }
                }
                _ => {}
            }
        }
    }
}

/// Writes, and leaves zeros where nothing has been written.
fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    file.resize(file.len().max(offset + bytes.len()), 0);
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// A generator whose every throw follows from its seed (splitmix64).
pub struct Coin(pub u64);

impl Coin {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn toss(&mut self) -> bool {
        self.next() & 1 == 1
    }
}
