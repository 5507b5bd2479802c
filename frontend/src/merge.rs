//! The few posts of many requests become one put. While a put is on its way the next posts gather, so the busier the
//! edge the larger the puts, and an idle one does not wait for anything.

use std::sync::Arc;

use queue::{Item, PutOutcome, QueueError};
use tokio::sync::{mpsc, oneshot};

use crate::edge::WatchedQueue;
use crate::settings::Limits;

type PutResult = Result<Vec<PutOutcome>, QueueError>;

/// Requests that may wait for a turn; more wait to wait.
const WAITING_MAX: usize = 4_096;

/// The entrance; the merging is done by a task of its own.
pub struct Merger {
    entrance: mpsc::Sender<Waiting>,
}

struct Waiting {
    items: Vec<Item>,
    reply: oneshot::Sender<PutResult>,
}

impl Merger {
    /// Starts the task, which ends when the merger is dropped.
    pub fn start(queue: Arc<WatchedQueue>, limits: &Limits) -> Merger {
        let (entrance, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(merge(queue, waiting, limits.put_items_max, limits.put_bytes_max));
        Merger { entrance }
    }

    /// Puts these items together with whatever else there is, and gives their outcomes.
    pub async fn put(&self, items: Vec<Item>) -> PutResult {
        let (reply, outcome) = oneshot::channel();
        let gone = |_| QueueError::Disconnected("the edge is stopping".into());
        self.entrance.send(Waiting { items, reply }).await.map_err(|_| gone(()))?;
        outcome.await.map_err(|_| gone(()))?
    }
}

async fn merge(queue: Arc<WatchedQueue>, mut waiting: mpsc::Receiver<Waiting>, items_max: usize, bytes_max: usize) {
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(first) => first,
            None => match waiting.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        let mut bytes = bytes_of(&first.items);
        let mut items = first.items;
        let mut replies = vec![(items.len(), first.reply)];
        while let Ok(more) = waiting.try_recv() {
            let more_bytes = bytes_of(&more.items);
            if items.len() + more.items.len() > items_max || bytes + more_bytes > bytes_max {
                next = Some(more);
                break;
            }
            bytes += more_bytes;
            replies.push((more.items.len(), more.reply));
            items.extend(more.items);
        }
        // A request that has gone away meanwhile does not hear its outcome; nobody was told that its post is stored.
        match queue.put(items).await {
            Ok(outcomes) => {
                let mut rest = outcomes.into_iter();
                for (count, reply) in replies {
                    let _ = reply.send(Ok(rest.by_ref().take(count).collect()));
                }
            }
            Err(error) => {
                for (_, reply) in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}

fn bytes_of(items: &[Item]) -> usize {
    items.iter().map(|item| item.payload.len()).sum()
}
