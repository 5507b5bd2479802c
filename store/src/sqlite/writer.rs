//! The writing side: transactions around [`super::apply`].

use std::path::{Path, PathBuf};

use common::Batch;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::{Fault, store_error};
use super::identity::Identity;
use super::turn::Turns;
use super::{apply, schema};
use crate::api::{Applied, Store, StoreError};

/// One saver's connection.
pub struct SqliteStore {
    path: PathBuf,
    turns: Turns,
    connection: Connection,
    /// After the connection, because it must be closed after it.
    identity: Identity,
    /// Ids of batches that the queue has forgotten, until the next transaction writes it down.
    confirmed: Vec<String>,
}

impl SqliteStore {
    /// Opens the file; makes it and its tables if they are not there.
    pub fn open(path: &Path) -> Result<SqliteStore, StoreError> {
        let turns = Turns::open(path)?;
        // Switching to the write-ahead log and making tables are writes, too.
        let turn = turns.take()?;
        let connection = schema::open(path)?;
        let identity = Identity::of(path)?;
        drop(turn);
        Ok(SqliteStore { path: path.to_owned(), turns, connection, identity, confirmed: Vec::new() })
    }

    /// Runs `write` in a transaction that is durable when this returns, along with what was confirmed since the last.
    fn transact<T>(&mut self, write: impl FnOnce(&mut Transaction<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = write(&mut transaction)?;
        apply::housekeeping(&transaction, &self.confirmed)?;
        transaction.commit()?;
        self.confirmed.clear();
        Ok(written)
    }

    fn to_store_error(&self, fault: Fault) -> StoreError {
        match fault {
            Fault::Database(error) => store_error(&error, &self.path),
            // Outside a single batch there is nothing left that a batch could be blamed for.
            Fault::Batch(reason) => StoreError::Unusable(reason),
        }
    }
}

impl Store for SqliteStore {
    fn apply(&mut self, batches: &[Batch]) -> Result<Vec<Applied>, StoreError> {
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let _turn = self.turns.take()?;
        self.identity.check()?;
        let together = match self.transact(|transaction| apply::batches(transaction, batches)) {
            Err(Fault::Batch(_)) => self.transact(|transaction| one_by_one(transaction, batches)),
            together => together,
        };
        let outcomes = together.map_err(|fault| self.to_store_error(fault))?;
        self.identity.check()?;
        Ok(outcomes)
    }

    fn confirm(&mut self, batch_ids: &[String]) -> Result<(), StoreError> {
        self.confirmed.extend_from_slice(batch_ids);
        Ok(())
    }
}

/// Applies each batch in a savepoint of its own, so that one that can't be applied changes nothing for the others.
fn one_by_one(transaction: &mut Transaction<'_>, batches: &[Batch]) -> Result<Vec<Applied>, Fault> {
    let mut outcomes = Vec::with_capacity(batches.len());
    for batch in batches {
        let savepoint = transaction.savepoint()?;
        match apply::batches(&savepoint, std::slice::from_ref(batch)) {
            Ok(outcome) => {
                savepoint.commit()?;
                outcomes.extend(outcome);
            }
            Err(Fault::Batch(reason)) => {
                // A savepoint that is dropped is rolled back.
                drop(savepoint);
                outcomes.push(Applied::Refused(reason));
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(outcomes)
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if self.confirmed.is_empty() {
            return;
        }
        let Ok(_turn) = self.turns.take() else { return };
        if let Err(fault) = self.transact(|_| Ok(())) {
            // Their markers stay for ever, which costs some bytes and nothing else.
            tracing::warn!(reason = %self.to_store_error(fault), "confirmations not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use common::PublicationCounts;

    use super::*;

    #[test]
    fn a_full_disk_is_waited_for_and_nothing_of_the_batch_is_kept_until_there_is_space() {
        let dir = tempfile::TempDir::new().expect("temp dir");
        let mut store = SqliteStore::open(&dir.path().join("x.db")).expect("opens");
        let entities = (0..500).map(|n| ("PER".to_owned(), format!("{n} {}", "long ".repeat(200)), 1)).collect();
        let counts = PublicationCounts { key: "a".into(), name: "A".into(), articles: 1, entities };
        let batches = [Batch { id: "1".into(), publications: vec![counts], posts: Vec::new() }];
        // SQLite gives the same error here as on a disk without space.
        store.connection.pragma_update(None, "max_page_count", 20).expect("a limit");
        assert!(matches!(store.apply(&batches), Err(StoreError::Unavailable(_))));
        let count = |store: &SqliteStore, table: &str| -> i64 {
            let sql = format!("SELECT count(*) FROM {table}");
            store.connection.query_row(&sql, [], |row| row.get(0)).expect("a count")
        };
        assert_eq!((count(&store, "batches"), count(&store, "counters")), (0, 0));
        store.connection.pragma_update(None, "max_page_count", 1_000_000).expect("no limit");
        assert_eq!(store.apply(&batches).expect("applies"), [Applied::Now]);
        assert_eq!((count(&store, "batches"), count(&store, "counters")), (1, 500));
    }
}
