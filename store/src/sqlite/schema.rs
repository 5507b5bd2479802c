//! The tables, their version, and the settings of a connection.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::store_error;
use crate::api::StoreError;

/// Marks a file as a store of Copydesk: "Copy" in ASCII.
const APPLICATION_ID: i64 = 0x436f_7079;

/// Version of the tables. A change of them raises it, and brings the step from the version before.
const VERSION: i64 = 1;

/// How long SQLite polls for a lock that something other than a saver holds, such as a backup.
const OTHERS_MAX: Duration = Duration::from_secs(5);

/// Pages in the write-ahead log at which a commit moves them into the database: 32 MB. Less often costs disk space, more
/// often stalls commits.
const CHECKPOINT_PAGES: i64 = 8192;

/// The log's file is cut back to this when a reader made it grow further.
const LOG_BYTES_MAX: i64 = 64 << 20;

/// Page cache of a connection in KiB, used only as far as a transaction touches pages. Pages beyond it are written to the
/// log early and perhaps twice.
const CACHE_KIB: i64 = 32 << 10;

const TABLES: &str = "
    CREATE TABLE publications (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        articles INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE counters (
        publication INTEGER NOT NULL,
        label TEXT NOT NULL,
        entity TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (publication, label, entity)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE batches (
        id TEXT PRIMARY KEY,
        applied_at INTEGER NOT NULL,
        confirmed INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX confirmed_batches ON batches (applied_at) WHERE confirmed = 1;
    CREATE TABLE posts (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        publication INTEGER NOT NULL,
        title TEXT,
        published_at TEXT,
        url TEXT
    ) STRICT;
    CREATE TABLE mentions (
        post INTEGER NOT NULL,
        position INTEGER NOT NULL,
        label TEXT NOT NULL,
        entity TEXT NOT NULL,
        text TEXT NOT NULL,
        place TEXT NOT NULL,
        start INTEGER NOT NULL,
        \"end\" INTEGER NOT NULL,
        PRIMARY KEY (post, position)
    ) STRICT, WITHOUT ROWID;
";

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing yet.
    Empty,
    /// Tables of [`VERSION`].
    Current,
}

/// Opens a connection for writing and makes the tables if there are none. The caller holds the turn.
pub fn open(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    prepare(&mut connection).map_err(|error| store_error(&error, path))?;
    if inspect(&connection, path)? == Found::Empty {
        create(&mut connection).map_err(|error| store_error(&error, path))?;
    }
    Ok(connection)
}

/// Opens a connection that can't write. The file must be there.
pub fn open_read_only(path: &Path) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Opens a connection to a file that nobody writes, and leaves nothing beside it. The file must be there.
pub fn open_immutable(path: &Path) -> Result<Connection, StoreError> {
    let absolute = absolute(path)?;
    // As a URI, because nothing else says that; what means something in one is written as its code.
    let mut uri = "file:".to_owned();
    for byte in absolute.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => uri.push(char::from(*byte)),
            _ => uri += &format!("%{byte:02X}"),
        }
    }
    uri += "?immutable=1";
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags).map_err(|error| store_error(&error, path))
}

fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path).map_err(|error| StoreError::Unusable(error.to_string()))
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    // SQLite reads names such as `file:x` or `:memory:` in its own way; an absolute path is only a path.
    Connection::open_with_flags(absolute(path)?, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .and_then(|connection| connection.busy_timeout(OTHERS_MAX).map(|()| connection))
        .map_err(|error| store_error(&error, path))
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Finds out whether a file is ours and of a version that this program knows.
pub fn inspect(connection: &Connection, path: &Path) -> Result<Found, StoreError> {
    let read = || -> rusqlite::Result<(i64, i64, i64)> {
        // One transaction, so that all three are of the same moment: another process may be making the tables.
        let transaction = connection.unchecked_transaction()?;
        let number = |sql: &str| transaction.query_row(sql, [], |row| row.get(0));
        let tables = number("SELECT count(*) FROM sqlite_schema")?;
        Ok((tables, number("PRAGMA application_id")?, number("PRAGMA user_version")?))
    };
    let (tables, application, version) = read().map_err(|error| store_error(&error, path))?;
    match (tables, application, version) {
        (0, 0, 0) => Ok(Found::Empty),
        (_, APPLICATION_ID, VERSION) => Ok(Found::Current),
        (_, APPLICATION_ID, newer) if newer > VERSION => Err(StoreError::Unusable(format!(
            "{} was made by a newer Copydesk (tables of version {newer}, this program knows {VERSION}); run that one",
            path.display()
        ))),
        _ => Err(StoreError::Unusable(format!(
            "{} is a database of some other program; choose another file with --store sqlite:PATH",
            path.display()
        ))),
    }
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    // In one transaction, so that nobody ever sees half of the tables.
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
