//! What SQLite's errors mean: wait, give up, or blame the batch.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::api::StoreError;

/// Why a write failed, by who is at fault.
#[derive(Debug)]
pub enum Fault {
    /// What was written can never be stored.
    Batch(String),
    /// The database.
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
                Fault::Batch(error.to_string())
            }
            None if matches!(error, rusqlite::Error::ToSqlConversionFailure(_)) => Fault::Batch(error.to_string()),
            _ => Fault::Database(error),
        }
    }
}

/// The error as the trait has it, with the next thing to try.
pub fn store_error(error: &rusqlite::Error, path: &Path) -> StoreError {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            StoreError::Unavailable(format!("{path} is locked by another program ({error}); close what has it open"))
        }
        Some(ErrorCode::DiskFull) => {
            StoreError::Unavailable(format!("no space is left for {path}; free some on its disk"))
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => {
            StoreError::Unavailable(format!("{path}: {error}; look at the disk and the system's log"))
        }
        Some(ErrorCode::CannotOpen) => StoreError::Unavailable(format!(
            "{path} can't be opened ({error}); check that it and its directory belong to the user who runs this"
        )),
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Unusable(format!(
            "{path} is damaged ({error}); put a backup in its place, or move it away to begin anew"
        )),
        Some(ErrorCode::NotADatabase) => StoreError::Unusable(format!(
            "{path} is not a SQLite database; choose another file with --store sqlite:PATH"
        )),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            StoreError::Unusable(format!(
                "{path} can't be written ({error}); give it and its directory to the user who runs this"
            ))
        }
        _ => StoreError::Unusable(format!("{path}: {error}; keep the file and report this")),
    }
}

/// A file beside the database could not be opened or locked.
pub fn file_error(error: &io::Error, path: &Path) -> StoreError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StoreError::Unusable(format!(
            "the directory of {path} is not there; make it, or correct --data-dir or --store"
        )),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::IsADirectory => {
            StoreError::Unusable(format!("{path}: {error}; give it and its directory to the user who runs this"))
        }
        _ => StoreError::Unavailable(format!("{path}: {error}; look at the disk and the system's log")),
    }
}
