//! What the handlers share: the queue as seen from here, the reading side of the store, and the memory that bodies may
//! hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use queue::{DeadLetter, Item, POSTS, PutOutcome, Queue, QueueError, QueueId, Stats};
use tokio::sync::Semaphore;

use crate::error::{ApiError, Code};
use crate::merge::Merger;
use crate::settings::{Limits, OpenReader, Settings};

/// One for all connections.
pub struct Edge {
    /// Where posts go.
    pub queue: Arc<WatchedQueue>,
    /// Where few posts go, to travel with those of others.
    pub merger: Merger,
    /// Where counters are read.
    pub store: OpenReader,
    /// One permit for every request that reads the store.
    pub reads: Semaphore,
    /// One permit, for the request that asks for dead letters.
    pub letters: Semaphore,
    /// What bodies hold.
    pub memory: Arc<Memory>,
    /// How much of everything.
    pub limits: Arc<Limits>,
}

impl Edge {
    /// To be made inside a runtime, which the merging task runs on until the edge is dropped.
    pub fn new(settings: Settings) -> Edge {
        let Settings { queue, store, limits } = settings;
        let queue = Arc::new(WatchedQueue { queue, reachable: AtomicBool::new(true) });
        Edge {
            merger: Merger::start(queue.clone(), &limits),
            queue,
            store,
            reads: Semaphore::new(limits.reads_max),
            letters: Semaphore::new(1),
            memory: Arc::new(Memory { bytes: AtomicUsize::new(0), bytes_max: limits.memory_bytes_max }),
            limits: Arc::new(limits),
        }
    }

    /// The queue's state, within the time allowed for it.
    pub async fn stats(&self) -> Result<Stats, ApiError> {
        self.answered(self.limits.stats_timeout, self.queue.stats()).await
    }

    /// What the queue answers within a time.
    pub async fn answered<T>(
        &self,
        within: Duration,
        call: impl Future<Output = Result<T, QueueError>>,
    ) -> Result<T, ApiError> {
        match tokio::time::timeout(within, call).await {
            Ok(answer) => answer.map_err(|error| ApiError::from(&error)),
            Err(_) => {
                let message =
                    "the queue manager does not answer; try again later, and see that `copydesk backend` runs";
                Err(ApiError::new(Code::QueueUnavailable, message))
            }
        }
    }
}

/// The queue, with one log line whenever it becomes reachable or unreachable, and none per request.
pub struct WatchedQueue {
    queue: Arc<dyn Queue>,
    reachable: AtomicBool,
}

impl WatchedQueue {
    /// [`Queue::put`] of posts.
    pub async fn put(&self, items: Vec<Item>) -> Result<Vec<PutOutcome>, QueueError> {
        let outcomes = self.watch(self.queue.put(POSTS, items).await)?;
        Ok(outcomes)
    }

    async fn stats(&self) -> Result<Stats, QueueError> {
        self.watch(self.queue.stats().await)
    }

    /// [`Queue::dead_letters`].
    pub async fn dead_letters(
        &self,
        after: Option<(QueueId, u64)>,
        items_max: u32,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        self.watch(self.queue.dead_letters(after, items_max).await)
    }

    /// [`Queue::retry_dead`].
    pub async fn retry_dead(&self, queue: QueueId, seq: u64) -> Result<(), QueueError> {
        self.watch(self.queue.retry_dead(queue, seq).await)
    }

    /// [`Queue::drop_dead`].
    pub async fn drop_dead(&self, queue: QueueId, seq: u64) -> Result<(), QueueError> {
        self.watch(self.queue.drop_dead(queue, seq).await)
    }

    fn watch<T>(&self, result: Result<T, QueueError>) -> Result<T, QueueError> {
        let unreachable = match &result {
            // These are answers of a manager that works.
            Ok(_)
            | Err(QueueError::Full(_) | QueueError::Closed | QueueError::TooLarge { .. } | QueueError::NotFound(_)) => {
                None
            }
            Err(error) => Some(error),
        };
        if self.reachable.swap(unreachable.is_none(), Ordering::Relaxed) != unreachable.is_none() {
            match unreachable {
                Some(error) => tracing::warn!(%error, "the queue is unavailable; posts are refused until it is back"),
                None => tracing::info!("the queue is available again"),
            }
        }
        result
    }
}

/// Bytes of bodies that are held in all requests together.
pub struct Memory {
    bytes: AtomicUsize,
    bytes_max: usize,
}

/// One request's part of [`Memory`]; given back when dropped.
pub struct Hold {
    memory: Arc<Memory>,
    bytes: usize,
}

/// What every request has for itself: as many connections as there may be fit into it.
const FREE_BYTES: usize = 32 << 10;

impl Hold {
    /// Of nothing yet.
    pub fn new(memory: &Arc<Memory>) -> Hold {
        Hold { memory: memory.clone(), bytes: 0 }
    }

    /// Says how much the request holds now. False if all together hold more than they may and this one is not content
    /// with what it has for itself; then it should hold less, or end.
    #[must_use]
    pub fn set(&mut self, bytes: usize) -> bool {
        let bytes = bytes.saturating_sub(FREE_BYTES);
        let grown = bytes.saturating_sub(self.bytes);
        let total = self.memory.bytes.fetch_add(grown, Ordering::Relaxed) + grown;
        let shrunk = self.bytes.saturating_sub(bytes);
        self.memory.bytes.fetch_sub(shrunk, Ordering::Relaxed);
        self.bytes = bytes;
        bytes == 0 || total - shrunk <= self.memory.bytes_max
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.memory.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_given_back_can_be_held_again() {
        let memory = Arc::new(Memory { bytes: AtomicUsize::new(0), bytes_max: 100 });
        let (mut one, mut two) = (Hold::new(&memory), Hold::new(&memory));
        assert!(one.set(FREE_BYTES + 100));
        assert!(two.set(FREE_BYTES));
        assert!(!two.set(FREE_BYTES + 1));
        drop(two);
        assert!(one.set(FREE_BYTES + 50));
        let mut three = Hold::new(&memory);
        assert!(three.set(FREE_BYTES + 50));
        drop((one, three));
        assert_eq!(memory.bytes.load(Ordering::Relaxed), 0);
    }
}
