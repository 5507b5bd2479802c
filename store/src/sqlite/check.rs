//! Looks at a store and changes nothing: neither the database nor the files that SQLite keeps beside it.
//!
//! Merely opening a database that has a write-ahead log may recover, make or remove files. So a database that nobody has
//! open is opened either as one that can't change, if its log has nothing, or by itself alone, when SQLite keeps the index
//! of the log in memory, and without the clean-up at the end. If somebody has it open, the files are there and in use, and
//! this is one reader more.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::error::{file_error, store_error};
use super::schema::{self, Found};
use crate::api::{Health, StoreError};

/// Lines of SQLite's findings that are shown.
const FINDINGS_MAX: usize = 5;

/// Whether the file, or one that would be made, is where this user may write.
pub fn check_place(path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| file_error(&error, path);
    let absolute = std::path::absolute(path).map_err(failed)?;
    if path.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    let dir = absolute.parent().unwrap_or(&absolute);
    if !dir.is_dir() {
        return Err(failed(std::io::ErrorKind::NotFound.into()));
    }
    // SQLite keeps files of its own beside the database.
    access(dir, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|errno| failed(errno.into()))?;
    if absolute.exists() {
        access(&absolute, AccessFlags::R_OK | AccessFlags::W_OK).map_err(|errno| failed(errno.into()))?;
    }
    Ok(())
}

/// Whether the database is ours and whole.
pub fn check(path: &Path) -> Result<Health, StoreError> {
    if !path.try_exists().map_err(|error| file_error(&error, path))? {
        return Ok(Health::Absent);
    }
    let connection = open(path)?;
    if schema::inspect(&connection, path)? == Found::Empty {
        return Ok(Health::Absent);
    }
    let failed = |error| store_error(&error, path);
    let mut check = connection.prepare("PRAGMA quick_check").map_err(failed)?;
    let lines = check.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    let lines = lines.take(FINDINGS_MAX).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if lines != ["ok"] {
        let path = path.display();
        return Err(StoreError::Unusable(format!(
            "{path} is damaged ({}); put a backup in its place, or move it away to begin anew",
            lines.join("; ")
        )));
    }
    let sql = "SELECT count(*), CAST(total(articles) AS INTEGER) FROM publications";
    let sound = |row: &rusqlite::Row<'_>| Ok(Health::Sound { publications: row.get(0)?, articles: row.get(1)? });
    connection.query_row(sql, [], sound).map_err(failed)
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    let beside = |suffix: &str| {
        let mut path = path.as_os_str().to_owned();
        path.push(suffix);
        PathBuf::from(path)
    };
    let log_bytes = std::fs::metadata(beside("-wal")).map(|metadata| metadata.len()).ok();
    let is_unused = log_bytes.is_none() || log_bytes == Some(0) && !beside("-shm").exists();
    if is_unused {
        return schema::open_immutable(path);
    }
    match open_alone(path) {
        Ok(Some(connection)) => Ok(connection),
        Ok(None) => schema::open_read_only(path),
        Err(error) => Err(store_error(&error, path)),
    }
}

/// Opens the database for this process alone; none if others have it open.
fn open_alone(path: &Path) -> rusqlite::Result<Option<Connection>> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(absolute, flags)?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    match connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
        Ok(()) => Ok(Some(connection)),
        Err(error) if matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy)) => Ok(None),
        Err(error) => Err(error),
    }
}
