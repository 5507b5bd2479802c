//! Stores in directories of their own, and short ways to write batches and to look inside.

use std::path::PathBuf;

use common::{Batch, PublicationCounts};
use store::{Applied, EntityCount, Filter, Store, Target};
use tempfile::TempDir;

/// A directory with the file of a store, which nobody has made yet.
pub struct Place {
    _dir: TempDir,
    pub path: PathBuf,
}

impl Place {
    pub fn new() -> Place {
        let dir = TempDir::new().expect("temp dir");
        Place { path: dir.path().join("copydesk.db"), _dir: dir }
    }

    pub fn target(&self) -> Target {
        Target::Sqlite(self.path.clone())
    }

    pub fn open(&self) -> Box<dyn Store> {
        self.target().open().expect("the store opens")
    }

    /// The database as any other program sees it.
    pub fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.path).expect("the database opens")
    }

    /// A single number from the database.
    pub fn number(&self, sql: &str) -> i64 {
        self.database().query_row(sql, [], |row| row.get(0)).expect(sql)
    }

    pub fn entities(&self, filter: &Filter) -> Vec<EntityCount> {
        self.target().reader().expect("a reader").entities(filter).expect("entities")
    }

    /// All counters as `publication/label/entity=count`.
    pub fn counters(&self) -> Vec<String> {
        let row = |row: EntityCount| format!("{}/{}/{}={}", row.publication, row.label, row.entity, row.count);
        self.entities(&Filter::default()).into_iter().map(row).collect()
    }
}

/// A batch with one article of one publication.
pub fn batch(id: &str, publication: &str, entities: &[(&str, &str, u64)]) -> Batch {
    let entities = entities.iter().map(|&(label, entity, count)| (label.into(), entity.into(), count)).collect();
    let (key, name) = (common::publication_key(publication), publication.to_owned());
    let publications = vec![PublicationCounts { key, name, articles: 1, entities }];
    Batch { id: id.to_owned(), publications, posts: Vec::new() }
}

/// Applies one batch.
pub fn apply_one(store: &mut dyn Store, batch: Batch) -> Applied {
    store.apply(&[batch]).expect("the store is usable").remove(0)
}
