//! Turns: which saver writes now. A lock file beside the database, because the kernel queues those who wait for it, while
//! SQLite has them poll with growing pauses, which costs CPU and lets some of them starve.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::file_error;
use crate::api::StoreError;

/// The lock file.
pub struct Turns {
    path: PathBuf,
    file: File,
}

/// A turn; it ends when dropped, and by the kernel's hand when its process dies.
#[must_use]
pub struct Turn {
    _lock: Flock<File>,
}

impl Turns {
    /// Opens the lock file of a database; makes it if it is not there.
    pub fn open(database: &Path) -> Result<Turns, StoreError> {
        let mut path = database.as_os_str().to_owned();
        path.push("-lock");
        let path = PathBuf::from(path);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| file_error(&error, &path))?;
        Ok(Turns { path, file })
    }

    /// Waits for the turn.
    pub fn take(&self) -> Result<Turn, StoreError> {
        self.lock().map_err(|error| file_error(&error, &self.path))
    }

    fn lock(&self) -> io::Result<Turn> {
        // The clone shares the lock with the original, which is never unlocked by itself.
        let mut file = self.file.try_clone()?;
        loop {
            match Flock::lock(file, FlockArg::LockExclusive) {
                Ok(lock) => return Ok(Turn { _lock: lock }),
                Err((unlocked, Errno::EINTR)) => file = unlocked,
                Err((_, errno)) => return Err(errno.into()),
            }
        }
    }
}
