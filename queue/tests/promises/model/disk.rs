//! A directory whose writer can be made to wait.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

use queue::*;

/// A directory that can be held still: a copy of it is of one moment. Nothing is synced, because a killed process loses
/// nothing that it has written.
#[derive(Clone)]
pub struct GatedDisk {
    pub real: RealDisk,
    pub gate: Arc<Mutex<()>>,
}

struct GatedFile {
    real: Arc<dyn SegmentFile>,
    gate: Arc<Mutex<()>>,
}

impl GatedDisk {
    fn wrap(&self, file: Arc<dyn SegmentFile>) -> Arc<dyn SegmentFile> {
        Arc::new(GatedFile { real: file, gate: Arc::clone(&self.gate) })
    }
}

impl Disk for GatedDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        self.real.names()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let _open = self.gate.lock().unwrap();
        Ok(self.wrap(self.real.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(self.wrap(self.real.open(name)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let _open = self.gate.lock().unwrap();
        self.real.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        let _open = self.gate.lock().unwrap();
        self.real.remove(name)
    }
    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.real.free_bytes()
    }
}

impl SegmentFile for GatedFile {
    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let _open = self.gate.lock().unwrap();
        self.real.append(parts)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.real.read_at(buffer, offset)
    }
    fn size(&self) -> io::Result<u64> {
        self.real.size()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        let _open = self.gate.lock().unwrap();
        self.real.truncate(len)
    }
    fn overwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let _open = self.gate.lock().unwrap();
        self.real.overwrite(bytes, offset)
    }
}
