//! The feed: leases the next items while the consumer works on the last ones, so that a CPU-bound worker never waits
//! for the disk, and hands them over one batch at a time, so that it never hoards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use queue::{Delivery, Leased, Queue, QueueError, QueueId, Want};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// How long one lease waits at the manager before it is asked again.
const WAIT: Duration = Duration::from_secs(10);
/// Pause after a lost connection or a full disk; the client has its own backoff for reconnecting.
const RETRY: Duration = Duration::from_millis(200);

/// Items on their way to one consumer.
pub struct Feed {
    incoming: mpsc::Receiver<Leased>,
    items_max: Arc<AtomicU32>,
}

/// What the feed has for the consumer.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// An answer of the manager; `Empty` is asked again by the feed itself.
    Leased(Leased),
    /// Nothing came in time.
    Nothing,
    /// The manager refuses this consumer for good; the reason was logged.
    Lost,
}

impl Feed {
    /// Starts leasing from `queue` on the current runtime, at first `items_max` at a time, at most `bytes_max` bytes.
    pub fn start(client: Arc<dyn Queue>, queue: QueueId, items_max: u32, bytes_max: u32) -> Feed {
        // One batch waits in the channel and one is with the consumer.
        let (outgoing, incoming) = mpsc::channel(1);
        let items_max = Arc::new(AtomicU32::new(items_max));
        tokio::spawn(lease_all(client, queue, Arc::clone(&items_max), bytes_max, outgoing));
        Feed { incoming, items_max }
    }

    /// Sets how many items the next lease asks for.
    pub fn ask_for(&self, items_max: u32) {
        self.items_max.store(items_max.max(1), Ordering::Relaxed);
    }

    /// The next answer, waiting until `deadline` at most.
    pub async fn next(&mut self, deadline: std::time::Instant) -> Next {
        match tokio::time::timeout_at(Instant::from_std(deadline), self.incoming.recv()).await {
            Ok(Some(leased)) => Next::Leased(leased),
            Ok(None) => Next::Lost,
            Err(_) => Next::Nothing,
        }
    }

    /// Ends the feed, and returns the deliveries that were leased and not handed over yet. Waits up to `patience` for a
    /// lease that is on its way; a later one is given back by the end of the connection.
    pub async fn close(mut self, patience: Duration) -> Vec<Delivery> {
        let deadline = Instant::now() + patience;
        self.incoming.close();
        let mut rest = Vec::new();
        while let Ok(Some(leased)) = tokio::time::timeout_at(deadline, self.incoming.recv()).await {
            if let Leased::Items { deliveries, .. } = leased {
                rest.extend(deliveries);
            }
        }
        rest
    }
}

async fn lease_all(
    client: Arc<dyn Queue>,
    queue: QueueId,
    items_max: Arc<AtomicU32>,
    bytes_max: u32,
    outgoing: mpsc::Sender<Leased>,
) {
    loop {
        // Room first: what is leased is then handed over at once and never sits with a closed feed.
        let Ok(permit) = outgoing.reserve().await else { return };
        let want = Want { items_max: items_max.load(Ordering::Relaxed), bytes_max, wait: WAIT };
        match client.lease(queue, want).await {
            Ok(Leased::Empty) => {}
            Ok(Leased::Stop) => {
                permit.send(Leased::Stop);
                return;
            }
            Ok(leased) => permit.send(leased),
            Err(error) if error.retryable() || error == QueueError::LeaseLost => sleep(RETRY).await,
            Err(error) => {
                tracing::error!(%error, "the queue manager refuses this process");
                return;
            }
        }
    }
}
