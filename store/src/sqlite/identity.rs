//! Which file a connection has open, and whether it is still the one at the path.
//!
//! SQLite goes on writing into a file that was removed or replaced, without a word; what a saver settled after that
//! would be nowhere. So it looks before it writes and again before it says that it has written.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::error::file_error;
use crate::api::StoreError;

/// What every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// An open database file.
pub struct Identity {
    path: PathBuf,
    /// Must outlive the connection: closing any descriptor of a file gives up all of the process's locks on it.
    file: File,
    device: u64,
    inode: u64,
}

impl Identity {
    /// The file that is at `path` now.
    pub fn of(path: &Path) -> Result<Identity, StoreError> {
        let open = || {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            Ok((file, metadata.dev(), metadata.ino()))
        };
        let (file, device, inode) = open().map_err(|error| file_error(&error, path))?;
        Ok(Identity { path: path.to_owned(), file, device, inode })
    }

    /// Refuses a file that is no longer at its path, or no longer a database.
    pub fn check(&self) -> Result<(), StoreError> {
        let is_there = std::fs::metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode));
        let mut magic = [0; MAGIC.len()];
        let is_database = self.file.read_exact_at(&mut magic, 0).is_ok() && magic == *MAGIC;
        let path = self.path.display();
        match (is_there, is_database) {
            (true, true) => Ok(()),
            (false, _) => Err(StoreError::Unusable(format!(
                "{path} was removed or replaced while it was in use; if that was a mistake, stop, put it back and start"
            ))),
            (true, false) => Err(StoreError::Unusable(format!(
                "{path} was overwritten while it was in use; stop, put a backup in its place and start"
            ))),
        }
    }
}
