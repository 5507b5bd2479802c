//! The state of a manager, and every step of it. Plain data behind one lock: no I/O, no clock but the time of day that
//! is stored with items.
//!
//! A command is checked and numbered here ([`commands`]), written elsewhere, and applied here afterwards ([`apply`]), by
//! the same code that applies it again when the log is read back. Leases ([`leases`]) are never written.

pub(crate) mod answer;
mod apply;
pub(crate) mod commands;
pub(crate) mod leases;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{Map, Value};

use crate::api::{QueueError, QueueId, Stats};
use crate::core::answer::{Answer, Reply};
use crate::core::queue::QueueState;
use crate::log::disk::SegmentFile;
use crate::log::frame::Record;
use crate::log::window::Window;
use crate::settings::ManagerSettings;

pub(crate) use crate::core::queue::Connection;

/// What else the host reports in the counts.
pub(crate) type Annex = Arc<dyn Fn() -> Map<String, Value> + Send + Sync>;

/// A command on its way to the disk.
pub(crate) struct Command {
    /// None for one that only waits for those before it.
    pub(crate) record: Option<Record>,
    /// Ids and payloads of its records.
    pub(crate) area: Vec<Bytes>,
    /// Bytes of memory that `area` keeps.
    pub(crate) held: usize,
    /// Ids that are in the window from then on.
    pub(crate) ids: Vec<u128>,
    /// Whom to answer when it is synced, and what.
    pub(crate) reply: Option<(Reply, Answer)>,
}

/// What is known of a segment.
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn SegmentFile>,
    pub(crate) bytes: u64,
    pub(crate) live_items: u64,
    pub(crate) live_bytes: u64,
}

/// One connection's leases.
pub(crate) struct Session {
    /// By queue: number, and in which grant it was given.
    held: Vec<FxHashMap<u64, u32>>,
    /// By queue: whether what is held are suspects.
    quarantined: Vec<bool>,
    /// Whether it has lived long enough to be given an item on its last try.
    is_proven: bool,
    grants: u32,
    /// Grants that were sent whole.
    sent: Arc<AtomicU32>,
}

/// Everything a manager knows.
pub(crate) struct Core {
    max_deliveries: u32,
    clock: Clock,
    queues: Vec<QueueState>,
    sessions: FxHashMap<Connection, Session>,
    next_connection: Connection,
    pub(crate) epoch: u32,
    pub(crate) segments: BTreeMap<u32, Segment>,
    pub(crate) window: Window,
    /// Ids of puts that are not synced yet.
    pending_ids: FxHashSet<u128>,
    /// For the writer.
    pub(crate) pending: Vec<Command>,
    pub(crate) phase: String,
    pub(crate) annex: Option<Annex>,
    is_forgiving: bool,
    /// Why nothing is written any more.
    poison: Option<String>,
    /// Why puts are refused for lack of space.
    pub(crate) disk_full: Option<String>,
    pub(crate) damaged: u64,
    /// The manager goes away: the writer ends when it has written everything.
    pub(crate) is_ending: bool,
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The time of day as it was at the start, and what has passed since: a clock that is set while items wait makes none of
/// them older or younger.
struct Clock {
    began_ms: u64,
    began: Instant,
}

impl Clock {
    fn start() -> Clock {
        Clock { began_ms: now_ms(), began: Instant::now() }
    }

    fn now_ms(&self) -> u64 {
        self.began_ms + self.began.elapsed().as_millis() as u64
    }
}

impl Core {
    pub(crate) fn new(settings: &ManagerSettings) -> Core {
        let max_deliveries = settings.max_deliveries.max(1);
        Core {
            max_deliveries,
            clock: Clock::start(),
            queues: settings.queues.iter().map(|queue| QueueState::new(queue.clone(), max_deliveries)).collect(),
            sessions: FxHashMap::default(),
            next_connection: 1,
            epoch: 0,
            segments: BTreeMap::new(),
            window: Window::new(settings.duplicate_window),
            pending_ids: FxHashSet::default(),
            pending: Vec::new(),
            phase: String::new(),
            annex: None,
            is_forgiving: false,
            poison: None,
            disk_full: None,
            damaged: 0,
            is_ending: false,
        }
    }

    /// Position of a queue, by its number on the wire and in the log.
    fn position(&self, queue: u8) -> Option<usize> {
        self.queues.iter().position(|state| state.settings.id == QueueId(queue))
    }

    fn find(&self, queue: QueueId) -> Result<usize, QueueError> {
        self.check_poison()?;
        self.position(queue.0).ok_or_else(|| QueueError::NotFound(format!("queue {}", queue.0)))
    }

    fn check_poison(&self) -> Result<(), QueueError> {
        self.poison.clone().map_or(Ok(()), |reason| Err(QueueError::Poisoned(reason)))
    }

    pub(crate) fn deduplicates(&self, queue: u8) -> bool {
        self.position(queue).is_some_and(|q| self.queues[q].settings.deduplicate)
    }

    /// Refuses puts from outside from now on.
    pub(crate) fn close(&mut self, queue: QueueId) {
        if let Some(q) = self.position(queue.0) {
            let queue = &mut self.queues[q];
            queue.is_closed = true;
            // Somebody waits for the end of it now.
            let resting = queue.resting.iter().copied().collect();
            queue.end_rest(resting);
            self.pump(q);
        }
    }

    /// Answers every lease with the sentinel from now on.
    pub(crate) fn stop(&mut self, queue: QueueId) {
        if let Some(q) = self.position(queue.0) {
            self.queues[q].is_stopped = true;
            self.pump(q);
        }
    }

    pub(crate) fn is_done(&self, queue: QueueId) -> bool {
        self.position(queue.0).is_some_and(|q| self.queues[q].is_done())
    }

    /// From now on a lost connection is nobody's fault.
    pub(crate) fn forgive(&mut self) {
        self.is_forgiving = true;
    }

    pub(crate) fn stats(&self) -> Stats {
        let now = self.clock.now_ms();
        Stats {
            phase: self.phase.clone(),
            queues: self.queues.iter().map(|queue| (queue.settings.name.clone(), queue.stats(now))).collect(),
            dead_letters: self.totals().1,
            damaged: self.damaged,
            disk_full: self.disk_full.clone(),
            annex: Map::new(),
        }
    }

    /// Ready items and dead letters of all queues.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let ready = self.queues.iter().map(QueueState::ready_count).sum();
        let dead = self.queues.iter().map(|queue| queue.dead.len() as u64).sum();
        (ready, dead)
    }

    /// The disk has failed: everybody who waits is told, and so is everybody who comes.
    pub(crate) fn fail(&mut self, reason: &str) {
        self.poison.get_or_insert_with(|| reason.to_owned());
        let failed = || Answer::Failed(QueueError::Poisoned(reason.to_owned()));
        for command in self.pending.drain(..) {
            if let Some((reply, _)) = command.reply {
                reply.send(failed());
            }
        }
        for queue in &mut self.queues {
            queue.waiters.drain(..).for_each(|waiter| waiter.reply.send(failed()));
        }
    }
}
