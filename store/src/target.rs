//! Which store is meant: the text behind `--store`, parsed.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::api::{Health, Reader, Store, StoreError};
use crate::none::NoStore;
use crate::sqlite::{self, SqliteReader, SqliteStore};

/// The file below the data directory that `sqlite` without a path means.
const DEFAULT_FILE: &str = "copydesk.db";

/// One of the stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A SQLite database in this file.
    Sqlite(PathBuf),
    /// Nothing is kept.
    None,
}

impl Target {
    /// Reads `sqlite`, `sqlite:PATH` or `none`.
    pub fn parse(text: &str, data_dir: &Path) -> Result<Target, StoreError> {
        match text.split_once(':') {
            None if text == "sqlite" => Ok(Target::Sqlite(data_dir.join(DEFAULT_FILE))),
            None if text == "none" => Ok(Target::None),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Target::Sqlite(PathBuf::from(path))),
            _ => Err(StoreError::UnknownStore(text.to_owned())),
        }
    }

    /// Opens the store for writing; makes it if it is not there.
    pub fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(match self {
            Target::Sqlite(path) => Box::new(SqliteStore::open(path)?),
            Target::None => Box::new(NoStore),
        })
    }

    /// The file it is in, if it is in one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Target::Sqlite(path) => Some(path),
            Target::None => None,
        }
    }

    /// Whether this user may have a store there. Looks at places alone, not at what is in them.
    pub fn check_place(&self) -> Result<(), StoreError> {
        self.path().map_or(Ok(()), sqlite::check_place)
    }

    /// Reads all of the store, and changes nothing, also while savers write into it.
    pub fn check(&self) -> Result<Health, StoreError> {
        self.path().map_or(Ok(Health::Absent), sqlite::check)
    }

    /// Opens the store for reading; [`StoreError::Absent`] if there is none.
    pub fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        match self {
            Target::Sqlite(path) => Ok(Box::new(SqliteReader::open(path)?)),
            Target::None => Err(StoreError::Absent("`none`, which keeps nothing".to_owned())),
        }
    }
}

impl fmt::Display for Target {
    /// As [`Target::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Target::None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_store_is_read_and_written_the_same() {
        let data = Path::new("/data");
        let parse = |text: &str| Target::parse(text, data);
        assert_eq!(parse("sqlite").ok(), Some(Target::Sqlite("/data/copydesk.db".into())));
        assert_eq!(parse("sqlite:a:b.db").ok(), Some(Target::Sqlite("a:b.db".into())));
        assert_eq!(parse("none").ok(), Some(Target::None));
        for text in ["sqlite", "sqlite:a:b.db", "none"] {
            let target = parse(text).expect("a store");
            assert_eq!(parse(&target.to_string()).ok(), Some(target));
        }
        for text in ["", "sqlite:", "Sqlite", "none:", "postgres:x"] {
            assert!(matches!(parse(text), Err(StoreError::UnknownStore(_))), "{text:?}");
        }
    }
}
