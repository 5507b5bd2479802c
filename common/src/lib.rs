//! What every Copydesk process shares, and nothing that only one of them needs.
//!
//! Owns the vocabulary: a [`Post`] comes in, an engine finds [`Mention`]s in it, a worker adds them to a [`Tally`], a
//! tally leaves as [`Batch`]es, a saver applies them. Knows nothing of HTTP, disks, sockets or models.

pub mod batch;
pub mod exit;
pub mod finding;
pub mod id;
pub mod limits;
pub mod mention;
pub mod phase;
pub mod post;
pub mod records;
pub mod tally;
pub mod telemetry;

pub use batch::{Batch, KeptMention, KeptPost, PublicationCounts};
pub use finding::{Finding, Findings, Level};
pub use mention::{Mention, Place};
pub use phase::Phase;
pub use post::{Post, PostError, publication_key};
pub use tally::Tally;
