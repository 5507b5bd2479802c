//! The traits behind which every store stands, and what can be asked of them.

use std::collections::BTreeMap;

use common::Batch;
use serde::Serialize;

/// What became of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// Its increments and its marker are committed.
    Now,
    /// Its marker was there: it had been applied before, and nothing was changed.
    Before,
    /// The store will never take it; the reason is for the dead letter. Nothing of it was applied.
    Refused(String),
}

/// One counter. Serialises as `copydesk entities --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntityCount {
    /// The publication's key.
    pub publication: String,
    /// The label.
    pub label: String,
    /// The entity.
    pub entity: String,
    /// How often it was mentioned.
    pub count: u64,
}

/// One publication. Serialises as `copydesk publications --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicationCount {
    /// The publication's key.
    pub publication: String,
    /// Its articles.
    pub articles: u64,
}

/// Which counters to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this publication; normalised by the store as posts are.
    pub publication: Option<String>,
    /// Only with this label.
    pub label: Option<String>,
    /// The most frequent so many; 0 is all.
    pub top: usize,
}

/// What the store holds as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// Publications.
    pub publications: u64,
    /// Articles of all publications.
    pub articles: u64,
    /// Mentions in all publications.
    pub mentions: u64,
    /// Per label, the entities most often mentioned in all publications together, highest first, then by name.
    pub leaders: BTreeMap<String, Vec<Leader>>,
}

/// One of the entities most often mentioned with a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leader {
    /// The entity.
    pub entity: String,
    /// How often it was mentioned, in all publications.
    pub count: u64,
}

/// What a look at a store found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// There is none yet.
    Absent,
    /// It is ours, and whole.
    Sound {
        /// Publications in it.
        publications: u64,
        /// Articles of all of them.
        articles: u64,
    },
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The `--store` text is not one of the stores.
    #[error("{0:?} is no store; use sqlite, sqlite:PATH or none")]
    UnknownStore(String),
    /// There is nothing to read yet.
    #[error("there is no store at {0}; load some posts first, or point --data-dir or --store at the right place")]
    Absent(String),
    /// May succeed later: busy, out of space, unreachable. The batches were not applied.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Will not succeed by waiting: damaged, of a newer version, not permitted.
    #[error("the store can't be used: {0}")]
    Unusable(String),
}

/// The writing side, owned by one saver.
pub trait Store: Send {
    /// Applies batches, each exactly once: a batch's increments and its marker are committed together, and a batch
    /// whose marker exists is left alone. Returns one outcome a batch, in order. On an error, no batch of the call was
    /// applied; calling again is safe.
    fn apply(&mut self, batches: &[Batch]) -> Result<Vec<Applied>, StoreError>;

    /// Says that the queue has durably forgotten these batches, so that their markers may be pruned in time.
    fn confirm(&mut self, batch_ids: &[String]) -> Result<(), StoreError>;
}

/// The reading side. Opening it never creates a store.
pub trait Reader: Send {
    /// All publications, most articles first, then by name.
    fn publications(&mut self) -> Result<Vec<PublicationCount>, StoreError>;

    /// Counters, highest first, then by publication, label and entity.
    fn entities(&mut self, filter: &Filter) -> Result<Vec<EntityCount>, StoreError>;

    /// Sums, and `top` entities for every label.
    fn overview(&mut self, top: usize) -> Result<Overview, StoreError>;
}
