//! What a queue manager does, said as plainly as can be: lists and maps, and nothing of the product's own code.

use std::collections::{BTreeMap, BTreeSet};

use queue::{PutOutcome, QueueId};

/// Ids remembered: few, so that some are forgotten.
pub const WINDOW: usize = 6;
/// Characters kept of a reason.
const REASON_CHARS_MAX: usize = 500;
/// Payload bytes of one item at most.
pub const ITEM_BYTES_MAX: usize = 32 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ready,
    /// Its consumer died: it is offered again sooner or later.
    Resting,
    Held(usize),
    Dead,
}

#[derive(Debug, Clone)]
pub struct Item {
    pub id: String,
    pub payload: Vec<u8>,
    pub attempts: u32,
    pub state: State,
    pub reason: String,
}

impl Item {
    pub fn is_suspect(&self) -> bool {
        self.attempts > 0
    }
}

#[derive(Debug, Clone, Default)]
pub struct PlainQueue {
    pub items_max: usize,
    pub bytes_max: usize,
    pub deduplicates: bool,
    pub items: BTreeMap<u64, Item>,
    /// Those that are ready and never failed, in the order in which they are delivered.
    pub order: Vec<u64>,
    next: u64,
    /// Ids, oldest first.
    window: Vec<String>,
    pub accepted: u64,
    pub settled: u64,
}

/// Puts what became of an item, or that the queue is full.
pub type Put = Option<Vec<PutOutcome>>;

impl PlainQueue {
    pub fn new(items_max: usize, bytes_max: usize, deduplicates: bool) -> PlainQueue {
        PlainQueue { items_max, bytes_max, deduplicates, ..PlainQueue::default() }
    }

    /// Ready, leased, bytes of both.
    pub fn counts(&self) -> (u64, u64, u64) {
        let is_ready = |item: &&Item| matches!(item.state, State::Ready | State::Resting);
        let live: Vec<_> = self.items.values().filter(|item| item.state != State::Dead).collect();
        let ready = live.iter().copied().filter(is_ready).count() as u64;
        let bytes = live.iter().map(|item| item.payload.len() as u64).sum();
        (ready, live.len() as u64 - ready, bytes)
    }

    fn live(&self) -> (usize, usize) {
        let (ready, leased, bytes) = self.counts();
        ((ready + leased) as usize, bytes as usize)
    }

    pub fn is_over(&self) -> bool {
        let (items, bytes) = self.live();
        items > 0 && (items >= self.items_max || bytes >= self.bytes_max)
    }

    pub fn put(&mut self, new: &[(String, Vec<u8>)]) -> Put {
        let mut outcomes = Vec::new();
        let mut taken: Vec<&(String, Vec<u8>)> = Vec::new();
        for item in new {
            let is_known = self.window.contains(&item.0) || taken.iter().any(|other| other.0 == item.0);
            outcomes.push(if item.1.len() > ITEM_BYTES_MAX {
                PutOutcome::TooLarge
            } else if self.deduplicates && is_known {
                PutOutcome::Duplicate
            } else {
                taken.push(item);
                PutOutcome::Accepted
            });
        }
        let (items, bytes) = self.live();
        let new_bytes: usize = taken.iter().map(|item| item.1.len()).sum();
        let fits = items + taken.len() <= self.items_max && bytes + new_bytes <= self.bytes_max;
        if items > 0 && !taken.is_empty() && !fits {
            return None;
        }
        for (id, payload) in taken.into_iter().cloned() {
            if self.deduplicates {
                self.window.push(id.clone());
                self.window.drain(..self.window.len().saturating_sub(WINDOW));
            }
            self.add(id, payload);
        }
        Some(outcomes)
    }

    /// Adds an item, whatever the bounds.
    pub fn add(&mut self, id: String, payload: Vec<u8>) {
        self.items.insert(self.next, Item { id, payload, attempts: 0, state: State::Ready, reason: String::new() });
        self.order.push(self.next);
        self.next += 1;
        self.accepted += 1;
    }

    pub fn held(&self, session: usize) -> Vec<u64> {
        let held = self.items.iter().filter(|(_, item)| item.state == State::Held(session));
        held.map(|(seq, _)| *seq).collect()
    }

    /// Suspects that are offered now, and those that may be by now.
    pub fn suspects(&self) -> (BTreeSet<u64>, BTreeSet<u64>) {
        let those = |state| {
            let suspects = self.items.iter().filter(move |(_, item)| item.is_suspect() && item.state == state);
            suspects.map(|(seq, _)| *seq).collect()
        };
        (those(State::Ready), those(State::Resting))
    }

    pub fn dead(&self) -> Vec<u64> {
        self.items.iter().filter(|(_, item)| item.state == State::Dead).map(|(seq, _)| *seq).collect()
    }

    pub fn hold(&mut self, session: usize, seq: u64) {
        self.order.retain(|other| *other != seq);
        self.items.get_mut(&seq).expect("a known item").state = State::Held(session);
    }

    pub fn settle(&mut self, seq: u64) {
        self.items.remove(&seq).expect("a known item");
        self.settled += 1;
    }

    /// Gives items back untouched: to the front, in their order.
    pub fn release(&mut self, mut seqs: Vec<u64>) {
        seqs.sort_unstable();
        seqs.iter().for_each(|seq| self.items.get_mut(seq).expect("a known item").state = State::Ready);
        seqs.retain(|seq| !self.items[seq].is_suspect());
        self.order.splice(..0, seqs);
    }

    /// The consumer of these items died.
    pub fn fail(&mut self, seqs: Vec<u64>, max_deliveries: u32) {
        for seq in seqs {
            let item = self.items.get_mut(&seq).expect("a known item");
            item.attempts += 1;
            item.state = State::Resting;
            if item.attempts == max_deliveries {
                item.state = State::Dead;
                item.reason = format!("the worker died {max_deliveries} times while it held this item");
            }
        }
    }

    pub fn bury(&mut self, seq: u64, reason: &str) {
        let item = self.items.get_mut(&seq).expect("a known item");
        item.attempts += 1;
        item.state = State::Dead;
        item.reason = reason.chars().take(REASON_CHARS_MAX).collect();
    }

    pub fn retry(&mut self, seq: u64) {
        let item = self.items.get_mut(&seq).expect("a known item");
        (item.attempts, item.state) = (0, State::Ready);
        self.order.push(seq);
    }

    /// The manager starts again: nobody holds anything, and nothing rests.
    pub fn restart(&mut self) {
        self.order.clear();
        for (seq, item) in &mut self.items {
            if item.state != State::Dead {
                item.state = State::Ready;
                if !item.is_suspect() {
                    self.order.push(*seq);
                }
            }
        }
        (self.accepted, self.settled) = (0, 0);
    }
}

/// A manager.
#[derive(Debug, Clone)]
pub struct Plain {
    /// By their numbers.
    pub queues: Vec<PlainQueue>,
    /// Failed deliveries that make a dead letter.
    pub max_deliveries: u32,
}

impl Plain {
    pub fn queue(&mut self, queue: QueueId) -> &mut PlainQueue {
        &mut self.queues[usize::from(queue.0)]
    }

    pub fn dead_letters(&self) -> Vec<(u8, u64)> {
        let of = |(queue, plain): (usize, &PlainQueue)| plain.dead().into_iter().map(move |seq| (queue as u8, seq));
        self.queues.iter().enumerate().flat_map(of).collect()
    }
}
