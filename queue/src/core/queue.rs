//! One queue: its items, in which state each is, and who waits for them.

use std::collections::{BTreeMap, VecDeque};

use rustc_hash::FxHashSet;

use crate::api::{QueueStats, Want};
use crate::core::answer::Reply;
use crate::log::cache::Place;
use crate::log::frame::Shape;
use crate::settings::QueueSettings;

/// Number of a connection within one start of the manager.
pub(crate) type Connection = u32;

/// Who has an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody: it waits in `ready`.
    Ready,
    /// Nobody: it waits in `suspects`.
    Suspect,
    /// The writer: a command about it is on its way to the disk.
    Writer,
    /// A consumer.
    Leased(Connection),
}

/// A live item. Its id and payload are in the log.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) shape: Shape,
    pub(crate) put_ms: u64,
    /// Failed deliveries.
    pub(crate) attempts: u32,
    pub(crate) holder: Holder,
}

/// A dead letter.
#[derive(Debug, Clone)]
pub(crate) struct Dead {
    pub(crate) entry: Entry,
    pub(crate) reason: String,
    pub(crate) died_at_ms: u64,
}

/// A consumer that waits for items.
pub(crate) struct Waiter {
    pub(crate) connection: Connection,
    pub(crate) want: Want,
    pub(crate) reply: Reply,
}

/// The state of one queue.
pub(crate) struct QueueState {
    pub(crate) settings: QueueSettings,
    max_deliveries: u32,
    /// Ready and leased, by number.
    pub(crate) items: BTreeMap<u64, Entry>,
    pub(crate) ready: VecDeque<u64>,
    pub(crate) suspects: VecDeque<u64>,
    /// Suspects whose next failed delivery is the last.
    pub(crate) last_tries: VecDeque<u64>,
    /// Suspects that nobody gets for a while: in none of these lists, from the death of their consumer on.
    pub(crate) resting: FxHashSet<u64>,
    pub(crate) dead: BTreeMap<u64, Dead>,
    /// Payload bytes of `items`.
    pub(crate) bytes: u64,
    pub(crate) next_seq: u64,
    /// On their way to the disk.
    pub(crate) pending_items: u64,
    pub(crate) pending_bytes: u64,
    pub(crate) is_closed: bool,
    pub(crate) is_stopped: bool,
    pub(crate) waiters: VecDeque<Waiter>,
    /// Who was asked to settle so as to take suspects next.
    pub(crate) designated: Option<Connection>,
    pub(crate) accepted: u64,
    pub(crate) settled: u64,
}

impl QueueState {
    pub(crate) fn new(settings: QueueSettings, max_deliveries: u32) -> QueueState {
        QueueState {
            settings,
            max_deliveries,
            items: BTreeMap::new(),
            ready: VecDeque::new(),
            suspects: VecDeque::new(),
            last_tries: VecDeque::new(),
            resting: FxHashSet::default(),
            dead: BTreeMap::new(),
            bytes: 0,
            next_seq: 0,
            pending_items: 0,
            pending_bytes: 0,
            is_closed: false,
            is_stopped: false,
            waiters: VecDeque::new(),
            designated: None,
            accepted: 0,
            settled: 0,
        }
    }

    pub(crate) fn ready_count(&self) -> u64 {
        (self.ready.len() + self.suspects.len() + self.last_tries.len() + self.resting.len()) as u64
    }

    /// Whether somebody could be given something now.
    pub(crate) fn has_offers(&self) -> bool {
        !self.ready.is_empty() || !self.suspects.is_empty() || !self.last_tries.is_empty()
    }

    /// Nobody holds this item any more: it waits in its line. The line, unless it is not there, or rests first.
    pub(crate) fn line_for(&mut self, seq: u64) -> Option<&mut VecDeque<u64>> {
        let entry = self.items.get_mut(&seq)?;
        entry.holder = if entry.attempts == 0 { Holder::Ready } else { Holder::Suspect };
        match entry.attempts {
            0 => Some(&mut self.ready),
            _ if self.resting.contains(&seq) => None,
            failed if failed + 1 < self.max_deliveries => Some(&mut self.suspects),
            _ => Some(&mut self.last_tries),
        }
    }

    /// The pause of these items is over.
    pub(crate) fn end_rest(&mut self, mut seqs: Vec<u64>) {
        seqs.retain(|seq| self.resting.remove(seq));
        seqs.sort_unstable();
        for seq in seqs {
            // One whose failed delivery is still being written down is offered as soon as it is.
            if self.items.get(&seq).is_some_and(|entry| entry.holder == Holder::Suspect)
                && let Some(line) = self.line_for(seq)
            {
                line.push_back(seq);
            }
        }
    }

    pub(crate) fn leased_count(&self) -> u64 {
        self.items.len() as u64 - self.ready_count()
    }

    /// Nothing is here, and nothing is on its way here.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.pending_items == 0
    }

    /// Closed, and everything in it is settled or dead.
    pub(crate) fn is_done(&self) -> bool {
        self.is_closed && self.is_empty()
    }

    /// At its bound: consumers that put here must wait.
    pub(crate) fn is_over(&self) -> bool {
        !self.is_empty()
            && (self.items.len() as u64 + self.pending_items >= self.settings.items_max
                || self.bytes + self.pending_bytes >= self.settings.bytes_max)
    }

    /// Why so much more does not fit. An empty queue takes every put, so that no bound is too small to go on.
    pub(crate) fn refusal(&self, items: u64, bytes: u64) -> Option<String> {
        let name = &self.settings.name;
        let (all_items, all_bytes) = (self.items.len() as u64 + self.pending_items, self.bytes + self.pending_bytes);
        if self.is_empty() {
            None
        } else if all_items + items > self.settings.items_max {
            Some(format!("{name} has {all_items} of at most {} items", self.settings.items_max))
        } else if all_bytes + bytes > self.settings.bytes_max {
            Some(format!("{name} has {all_bytes} of at most {} bytes", self.settings.bytes_max))
        } else {
            None
        }
    }

    pub(crate) fn add(&mut self, seq: u64, entry: Entry) {
        self.bytes += u64::from(entry.shape.len);
        self.items.insert(seq, entry);
    }

    pub(crate) fn remove(&mut self, seq: u64) -> Option<Entry> {
        let entry = self.items.remove(&seq)?;
        self.bytes -= u64::from(entry.shape.len);
        Some(entry)
    }

    /// Which of these numbers are items or dead letters: however many are named, it takes as long as there are some.
    pub(crate) fn known(&self, first: u64, count: u32) -> Vec<u64> {
        let range = first..first.saturating_add(u64::from(count));
        let items = self.items.range(range.clone()).map(|(seq, _)| *seq);
        items.chain(self.dead.range(range).map(|(seq, _)| *seq)).collect()
    }

    pub(crate) fn stats(&self, now_ms: u64) -> QueueStats {
        // Numbers are given in the order of puts, so the lowest is the oldest.
        let oldest_ms = self.items.first_key_value().map_or(now_ms, |(_, entry)| entry.put_ms);
        QueueStats {
            ready: self.ready_count(),
            leased: self.leased_count(),
            bytes: self.bytes,
            oldest_seconds: now_ms.saturating_sub(oldest_ms) as f64 / 1000.0,
            accepted: self.accepted,
            settled: self.settled,
        }
    }
}
