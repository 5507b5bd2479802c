//! What the manager answers, and to whom. Nothing here is encoded yet: that is done off the manager's lock.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::api::{PutOutcome, QueueError, QueueId, Stats};
use crate::log::cache::Wanted;

/// An answer.
pub(crate) enum Answer {
    Put(Vec<PutOutcome>),
    Granted(Grant),
    Empty,
    Flush,
    Stop,
    Done,
    Stats(Box<Stats>),
    DeadLetters(Vec<DeadWanted>),
    Failed(QueueError),
}

/// Leased items, whose payloads are still to be read.
pub(crate) struct Grant {
    pub(crate) queue: QueueId,
    pub(crate) session: u64,
    pub(crate) suspects: bool,
    pub(crate) items: Vec<Granted>,
    pub(crate) wanted: Vec<Wanted>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Granted {
    pub(crate) seq: u64,
    pub(crate) attempt: u32,
}

/// A dead letter whose payload is still to be read.
pub(crate) struct DeadWanted {
    pub(crate) queue: QueueId,
    pub(crate) seq: u64,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
    pub(crate) died_at_ms: u64,
    pub(crate) wanted: Wanted,
}

/// Something that is held until an answer is on its way: the memory of the request.
pub(crate) type Held = Arc<dyn Send + Sync>;

/// An answer on its way to its connection.
pub(crate) struct Outgoing {
    pub(crate) request: u64,
    pub(crate) answer: Answer,
    pub(crate) held: Option<Held>,
}

/// Where to answer one request.
pub(crate) struct Reply {
    pub(crate) request: u64,
    pub(crate) to: UnboundedSender<Outgoing>,
    pub(crate) held: Option<Held>,
}

impl Reply {
    /// Answers. If the connection has ended, its end takes back what was granted.
    pub(crate) fn send(self, answer: Answer) {
        let Reply { request, to, held } = self;
        let _ = to.send(Outgoing { request, answer, held });
    }
}

/// New items as they came, checked and hashed off the manager's lock.
pub(crate) struct NewItems {
    pub(crate) shapes: Vec<crate::log::frame::Shape>,
    /// Hashes of the ids, if the queue deduplicates.
    pub(crate) ids: Vec<u128>,
    /// Ids and payloads, one after the other.
    pub(crate) area: Bytes,
    /// Bytes of memory that `area` keeps.
    pub(crate) held: usize,
}
