//! The vocabulary of a queue, and the trait behind which every driver stands.
//!
//! The embedded manager speaks it over its own protocol ([`crate::client::Client`]); brokers of other makes become
//! drivers by implementing [`Queue`]. Nothing in this file does I/O.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Which queue of a manager. The pipeline has two, see [`POSTS`] and [`RESULTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueId(pub u8);

/// Posts waiting for a worker.
pub const POSTS: QueueId = QueueId(0);
/// Batches of counters waiting for a saver.
pub const RESULTS: QueueId = QueueId(1);

/// Something to put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The producer's name for it; a queue that deduplicates answers [`PutOutcome::Duplicate`] for a repeat.
    pub id: String,
    /// What it carries.
    pub payload: Bytes,
}

/// What became of one item of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// On disk, synced.
    Accepted,
    /// The id was accepted earlier, or earlier in the same put; nothing was stored, and the earlier one is synced.
    Duplicate,
    /// Larger than the manager takes; nothing was stored.
    TooLarge,
}

/// How much a consumer wants of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// Items at most.
    pub items_max: u32,
    /// Payload bytes at most; one item is delivered even if it alone has more.
    pub bytes_max: u32,
    /// How long to wait for the first item.
    pub wait: Duration,
}

/// Names one lease: valid on the connection it was given on, until it is settled, released, or that connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseId {
    /// The session it was given in: unique over every connection and every start of a manager.
    pub session: u64,
    /// The item's number in its queue.
    pub seq: u64,
}

/// One leased item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// To settle, release or bury it by.
    pub lease: LeaseId,
    /// The producer's name for it.
    pub id: String,
    /// Which delivery this is, counted from 1; a delivery counts when its consumer died or reported a failure.
    pub attempt: u32,
    /// What it carries.
    pub payload: Bytes,
}

/// The answer to a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leased {
    /// Work to do.
    Items {
        /// In the order they were put, except for those that come back.
        deliveries: Vec<Delivery>,
        /// These were leased before by a consumer that died: settle them before leasing again, so that the guilty one
        /// is found and takes no other item with it.
        suspects: bool,
    },
    /// Nothing came within the wait.
    Empty,
    /// This session must settle what it holds, then lease again: the queue is closed and has nothing ready, or it is this
    /// consumer's turn to take suspects, which only one that holds nothing may have.
    Flush,
    /// The sentinel: the queue is closed and done, or has been stopped. There will be no more.
    Stop,
}

/// What a consumer produced from the items it settles. Stored in the same atomic step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// Where they go.
    pub queue: QueueId,
    /// What they are.
    pub items: Vec<Item>,
}

/// Counts of one queue, as of now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueStats {
    /// Items waiting.
    pub ready: u64,
    /// Items with a consumer.
    pub leased: u64,
    /// Payload bytes of both.
    pub bytes: u64,
    /// Seconds since the oldest item that is ready or leased was put; 0 if there is none.
    pub oldest_seconds: f64,
    /// Items accepted since the manager started.
    pub accepted: u64,
    /// Items settled since the manager started.
    pub settled: u64,
}

/// The answer to [`Queue::stats`]. Serialises to the body of `GET /v1/queue`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The phase the pipeline is in, as the process that hosts the manager names it.
    pub phase: String,
    /// By name: `posts` and `results`.
    pub queues: std::collections::BTreeMap<String, QueueStats>,
    /// Dead letters of all queues.
    pub dead_letters: u64,
    /// Records that recovery found damaged, and set aside.
    pub damaged: u64,
    /// Why puts are refused although the queues have room: the disk is nearly full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_full: Option<String>,
    /// Whatever else the hosting process reports (`workers`, `savers`), merged into the object.
    #[serde(flatten)]
    pub annex: serde_json::Map<String, serde_json::Value>,
}

/// An item that nobody could process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The queue it was in.
    pub queue: QueueId,
    /// Its number in that queue.
    pub seq: u64,
    /// The producer's name for it.
    pub id: String,
    /// Why it is here.
    pub reason: String,
    /// Deliveries that failed.
    pub attempts: u32,
    /// Milliseconds since the Unix epoch.
    pub died_at_ms: u64,
    /// What it carries.
    #[serde(skip)]
    pub payload: Bytes,
}

/// Why a queue did not do what it was asked. [`QueueError::retryable`] says whether the same call may succeed later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The queue is at its bound of items or bytes, or the disk is nearly full; nothing of the put was stored. Try
    /// again after a pause.
    #[error("the queue is full: {0}")]
    Full(String),
    /// The queue takes no more items: the pipeline is draining. Try again when it has been restarted.
    #[error("the queue is closed to writes: the pipeline is draining")]
    Closed,
    /// A lease is not held any more: the connection was lost, its time ran out, or the manager restarted. Discard what
    /// was made of these items; they are delivered to somebody again, or were settled by the call whose answer got lost.
    #[error("the lease is lost: the items are, or will be, delivered again")]
    LeaseLost,
    /// The whole call is larger than one frame may be; split it.
    #[error("the call has {bytes} bytes, one frame carries at most {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The shared secret is missing or wrong.
    #[error("the queue manager refused the shared secret; give the same secret file to both sides")]
    Unauthorized,
    /// The other side speaks another version, or not this protocol at all.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// The manager could not be reached, or the connection ended before the answer came: whether the call was carried
    /// out is unknown. Puts may be repeated with the same ids.
    #[error("no connection to the queue manager: {0}")]
    Disconnected(String),
    /// The manager's disk failed; it refuses every write until it is restarted.
    #[error("the queue manager has stopped: {0}")]
    Poisoned(String),
    /// There is no such queue or dead letter.
    #[error("there is no {0}")]
    NotFound(String),
}

impl QueueError {
    /// Whether the same call may succeed later without anybody changing it.
    pub fn retryable(&self) -> bool {
        match self {
            QueueError::Full(_) | QueueError::Closed | QueueError::Disconnected(_) | QueueError::Poisoned(_) => true,
            QueueError::LeaseLost
            | QueueError::TooLarge { .. }
            | QueueError::Unauthorized
            | QueueError::Protocol(_)
            | QueueError::NotFound(_) => false,
        }
    }
}

/// A durable queue with leases.
///
/// A successful answer means synced to disk. All calls may be made concurrently on one value; the calls of one value
/// share one session, so that leases taken by one task may be settled by another.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Puts items, in order. All of them are stored in one step or, on an error, none is (a power loss
    /// before the answer may leave a part); outcomes come in the order of
    /// the items. A lost answer may be retried with the same ids.
    async fn put(&self, queue: QueueId, items: Vec<Item>) -> Result<Vec<PutOutcome>, QueueError>;

    /// Leases items, waiting up to `want.wait` for the first.
    async fn lease(&self, queue: QueueId, want: Want) -> Result<Leased, QueueError>;

    /// Settles leases and puts what was made of them, in one atomic step: after any failure either all of it happened
    /// or nothing. Outputs are taken even if their queue is at its bound.
    async fn settle(&self, queue: QueueId, leases: Vec<LeaseId>, outputs: Option<Outputs>) -> Result<(), QueueError>;

    /// Gives leases back untouched: they are ready again and the delivery does not count.
    async fn release(&self, queue: QueueId, leases: Vec<LeaseId>) -> Result<(), QueueError>;

    /// Moves one leased item to the dead letters at once: it can never succeed, for the reason given.
    async fn bury(&self, queue: QueueId, lease: LeaseId, reason: String) -> Result<(), QueueError>;

    /// The counts, as of now.
    async fn stats(&self) -> Result<Stats, QueueError>;

    /// Dead letters after `(queue, seq)`, oldest first, at most `items_max`, with payloads.
    async fn dead_letters(&self, after: Option<(QueueId, u64)>, items_max: u32) -> Result<Vec<DeadLetter>, QueueError>;

    /// Makes a dead letter ready again, with its failed deliveries forgotten. [`QueueError::Closed`] while the queue drains.
    async fn retry_dead(&self, queue: QueueId, seq: u64) -> Result<(), QueueError>;

    /// Forgets a dead letter for good.
    async fn drop_dead(&self, queue: QueueId, seq: u64) -> Result<(), QueueError>;
}
