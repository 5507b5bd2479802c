//! The embedded store: one SQLite file, written by several saver processes and read by anybody.
//!
//! # What is kept
//!
//! ```text
//! publications  key -> id, name, articles
//! counters      (publication, label, entity) -> count
//! batches       the marker of every applied batch: id -> applied_at, confirmed
//! posts         with `--mentions`: one row a post …
//! mentions      … and one a mention, with its place in the text
//! ```
//!
//! # Writing
//!
//! One call of [`SqliteStore`]'s `apply` is one transaction, whatever the number of its batches: markers first, so that a
//! batch that was applied before (or stands twice in the call) drops out; then the increments of the others, summed per
//! counter and in the order of the primary key, so that a counter is written once and pages are visited in order. The
//! transaction is durable when `apply` returns (`synchronous=FULL`). A batch that can never be applied would take the
//! others with it, so then the call is done again batch by batch, each in a savepoint.
//!
//! SQLite has one writer at a time, and lets the others poll. Savers queue up in the kernel instead: `turn` holds a lock
//! file beside the database during each transaction. Programs that know nothing of the lock file are still kept apart by
//! SQLite's own locks.
//!
//! # Markers
//!
//! A marker must live as long as its batch can be delivered again: until the queue has forgotten the batch. The saver says
//! so by `confirm`, which is written along with the next call. Confirmed markers older than a week are pruned, a few a
//! call. A saver that is killed before its next call leaves a few markers that are never pruned: some bytes, and safe.
//!
//! # Recovery
//!
//! SQLite's: a transaction is in the write-ahead log as a whole or not at all, and the next one to open the file finds out.

mod apply;
mod check;
mod error;
mod identity;
mod merge;
mod reader;
mod schema;
mod turn;
mod writer;

pub use check::{check, check_place};
pub use reader::SqliteReader;
pub use writer::SqliteStore;
