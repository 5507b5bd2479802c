//! The file system as the log sees it: the one place that touches it, and the one to replace in order to see a disk fail.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory of segments.
pub trait Disk: Send + Sync + 'static {
    /// Names of the files in it.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Makes an empty file, replacing one that is there.
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>>;
    /// Opens a file to read and to append.
    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>>;
    /// Gives a file another name, replacing one that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, new names and removals durable.
    fn sync_names(&self) -> io::Result<()>;
    /// Bytes free for this user.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// One file of a log. Written at its end, by one thread; read anywhere, by any.
pub trait SegmentFile: Send + Sync + 'static {
    /// Appends the parts, all of them.
    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Makes everything appended durable.
    fn sync(&self) -> io::Result<()>;
    /// Fills `buffer` from `offset`.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Bytes in it.
    fn size(&self) -> io::Result<u64>;
    /// Cuts it, and makes that durable.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Replaces bytes that are there, and makes that durable. Only recovery does that, to take a frame back.
    fn overwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
}

/// A directory of the operating system.
#[derive(Debug, Clone)]
pub struct RealDisk {
    dir: PathBuf,
}

struct RealFile {
    /// Writes at the end, whatever offset is asked for.
    file: File,
    path: PathBuf,
}

impl RealDisk {
    /// The directory itself must be there.
    pub fn new(dir: &Path) -> RealDisk {
        RealDisk { dir: dir.to_owned() }
    }
}

impl Disk for RealDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.dir)?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let path = self.dir.join(name);
        // Two steps: O_APPEND and truncation exclude each other in the standard library.
        File::create(&path)?;
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let path = self.dir.join(name);
        let file = OpenOptions::new().read(true).append(true).open(&path)?;
        Ok(Arc::new(RealFile { file, path }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.dir.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = nix::sys::statvfs::statvfs(&self.dir)?;
        Ok(stat.blocks_available() * stat.fragment_size())
    }
}

impl SegmentFile for RealFile {
    fn append(&self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match (&self.file).write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut parts, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.file.sync_all()
    }

    fn overwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.write_all_at(bytes, offset)?;
        file.sync_data()
    }
}
