//! What the edge is given: a queue, a store to read, and limits on everything that a client can make large or slow.

use std::sync::Arc;
use std::time::Duration;

use queue::Queue;
use store::{Reader, StoreError};

/// Opens the reading side of a store. Called for every request that reads, on a thread that may block.
pub type OpenReader = Arc<dyn Fn() -> Result<Box<dyn Reader>, StoreError> + Send + Sync>;

/// Everything [`run`](crate::run) needs besides a listener.
#[derive(Clone)]
pub struct Settings {
    /// Where posts are put.
    pub queue: Arc<dyn Queue>,
    /// Where counters are read.
    pub store: OpenReader,
    /// How much of everything.
    pub limits: Limits,
}

/// The limits. The defaults suit a server with 100 MB to spare per core; tests shorten the times.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; further ones wait until the operating system gives them up.
    pub connections_max: usize,
    /// How long a client may take to send the head of a request, and how long a connection is kept between requests.
    /// Longer than the 15 s for which common clients keep idle connections, so that it is they who end them.
    pub header_timeout: Duration,
    /// How long a body may be silent.
    pub body_timeout: Duration,
    /// Bytes a second that a body must come with on average, once the edge has waited `body_rate_after` for it.
    pub body_rate_min: u64,
    /// See `body_rate_min`.
    pub body_rate_after: Duration,
    /// How long a client may take nothing of its answer.
    pub answer_timeout: Duration,
    /// Bytes of one body after decompression.
    pub body_bytes_max: u64,
    /// How many times larger than what was sent a body may get by decompression. Gzip can't do more than 1,032; text
    /// does less than 100.
    pub expansion_max: u64,
    /// Decompressed bytes from which on `expansion_max` is enforced.
    pub expansion_free_bytes: u64,
    /// Records in one put.
    pub put_items_max: usize,
    /// Bytes in one put, unless one record alone has more.
    pub put_bytes_max: usize,
    /// Puts of one request that may be on their way at a time.
    pub puts_in_flight: usize,
    /// How long the rest of a body is read after it is known that nothing of it can be stored, so that every record
    /// of a usual request gets its own answer and the client gets to read it.
    pub rest_timeout: Duration,
    /// How many bytes of that rest are read.
    pub rest_bytes_max: u64,
    /// Rejections listed in one answer; all are counted.
    pub rejections_listed: usize,
    /// Bytes of bodies that all requests together hold, beyond a small share that each has for itself.
    pub memory_bytes_max: usize,
    /// How long the queue may take to tell its state.
    pub stats_timeout: Duration,
    /// How long the queue may take to find dead letters, or to retry or drop one.
    pub dead_letters_timeout: Duration,
    /// Requests that read the store at a time; further ones wait.
    pub reads_max: usize,
    /// How long requests may take to end once the edge is told to stop.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 4_096,
            header_timeout: Duration::from_secs(20),
            body_timeout: Duration::from_secs(30),
            body_rate_min: 64,
            body_rate_after: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(30),
            body_bytes_max: 16 << 30,
            expansion_max: 1_000,
            expansion_free_bytes: 8 << 20,
            put_items_max: 256,
            put_bytes_max: 1 << 20,
            puts_in_flight: 4,
            rest_timeout: Duration::from_secs(5),
            rest_bytes_max: 16 << 20,
            rejections_listed: 1_000,
            memory_bytes_max: 48 << 20,
            stats_timeout: Duration::from_secs(2),
            dead_letters_timeout: Duration::from_secs(15),
            reads_max: 8,
            drain_timeout: Duration::from_secs(30),
        }
    }
}
