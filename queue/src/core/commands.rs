//! Commands, before they are written: checked, numbered, and put in the writer's queue. What a command is about belongs
//! to the writer from here on, so that nothing else can be done with it meanwhile.

use std::ops::Bound;

use bytes::Bytes;

use crate::api::{PutOutcome, QueueError, QueueId};
use crate::core::answer::{Answer, DeadWanted, NewItems, Reply};
use crate::core::queue::{Connection, Holder};
use crate::core::{Command, Core, now_ms};
use crate::log::cache::Wanted;
use crate::log::frame::{Batch, Record, ranges};

/// Payload bytes of one item at most: so that one item always fits the answer to a lease.
pub(crate) const ITEM_BYTES_MAX: u32 = 32 << 20;
/// Characters kept of the reason why an item is dead.
const REASON_CHARS_MAX: usize = 500;

impl Core {
    /// Puts items from outside.
    pub(crate) fn put(&mut self, queue: QueueId, new: NewItems, reply: Reply) {
        match self.check_put(queue, &new) {
            Ok((q, outcomes)) => self.submit_put(q, new, outcomes, reply),
            Err(error) => reply.send(Answer::Failed(error)),
        }
    }

    /// What becomes of each item, if the put as a whole is taken.
    fn check_put(&mut self, queue: QueueId, new: &NewItems) -> Result<(usize, Vec<PutOutcome>), QueueError> {
        let q = self.find(queue)?;
        if self.queues[q].is_closed {
            return Err(QueueError::Closed);
        }
        let (mut items, mut bytes) = (0, 0);
        let mut outcomes = Vec::with_capacity(new.shapes.len());
        for (index, shape) in new.shapes.iter().enumerate() {
            let outcome = if shape.len > ITEM_BYTES_MAX {
                PutOutcome::TooLarge
            } else if new.ids.get(index).is_some_and(|id| !self.window.is_new(*id) || !self.pending_ids.insert(*id)) {
                PutOutcome::Duplicate
            } else {
                items += 1;
                bytes += u64::from(shape.len);
                PutOutcome::Accepted
            };
            outcomes.push(outcome);
        }
        let refusal = self.disk_full.clone().or_else(|| self.queues[q].refusal(items, bytes)).filter(|_| items > 0);
        match refusal {
            None => Ok((q, outcomes)),
            Some(refusal) => {
                let accepted = new.ids.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == PutOutcome::Accepted);
                accepted.for_each(|(id, _)| {
                    self.pending_ids.remove(id);
                });
                Err(QueueError::Full(refusal))
            }
        }
    }

    fn submit_put(&mut self, q: usize, new: NewItems, outcomes: Vec<PutOutcome>, reply: Reply) {
        let is_accepted = |index: usize| outcomes[index] == PutOutcome::Accepted;
        let ids = (0..new.ids.len()).filter(|index| is_accepted(*index)).map(|index| new.ids[index]).collect();
        let shapes: Vec<_> = (0..new.shapes.len()).filter(|index| is_accepted(*index)).map(|i| new.shapes[i]).collect();
        let (area, held) = accepted_area(&new, &outcomes);
        let record = (!shapes.is_empty()).then(|| Record::Put(self.number(q, shapes)));
        if record.is_none() && self.pending_ids.is_empty() {
            return reply.send(Answer::Put(outcomes));
        }
        self.submit(Command { record, area, held, ids, reply: Some((reply, Answer::Put(outcomes))) });
    }

    /// Gives new records their numbers.
    fn number(&mut self, q: usize, shapes: Vec<crate::log::frame::Shape>) -> Batch {
        let put_ms = self.clock.now_ms();
        let queue = &mut self.queues[q];
        let batch = Batch { queue: queue.settings.id.0, first_seq: queue.next_seq, put_ms, shapes };
        queue.next_seq += batch.shapes.len() as u64;
        queue.pending_items += batch.shapes.len() as u64;
        queue.pending_bytes += batch.shapes.iter().map(|shape| u64::from(shape.len)).sum::<u64>();
        batch
    }

    fn submit(&mut self, command: Command) {
        self.pending.push(command);
    }

    fn submit_record(&mut self, record: Record, reply: Option<(Reply, Answer)>) {
        self.submit(Command { record: Some(record), area: Vec::new(), held: 0, ids: Vec::new(), reply });
    }

    /// Settles leases and puts what was made of them.
    pub(crate) fn settle(
        &mut self,
        connection: Connection,
        (queue, session): (QueueId, u64),
        seqs: Vec<u64>,
        outputs: Option<(QueueId, NewItems)>,
        reply: Reply,
    ) {
        let checked = self.find(queue).and_then(|q| {
            let seqs = self.check_leases(connection, q, session, seqs)?;
            let outputs = outputs.map(|(to, new)| self.check_outputs(to, new)).transpose()?;
            Ok((q, seqs, outputs))
        });
        let (q, seqs, outputs) = match checked {
            Ok(checked) => checked,
            Err(error) => return reply.send(Answer::Failed(error)),
        };
        if seqs.is_empty() {
            let error = QueueError::Protocol("outputs without the leases they were made of".to_owned());
            return reply.send(if outputs.is_some() { Answer::Failed(error) } else { Answer::Done });
        }
        self.take_leases(connection, q, &seqs);
        let (mut area, mut held, mut batch) = (Vec::new(), 0, None);
        if let Some((to, new)) = outputs.filter(|(_, new)| !new.shapes.is_empty()) {
            batch = Some(self.number(to, new.shapes));
            (area, held) = (vec![new.area], new.held);
        }
        let record = Record::Settle { queue: queue.0, ranges: ranges(&seqs), outputs: batch };
        self.submit(Command { record: Some(record), area, held, ids: Vec::new(), reply: Some((reply, Answer::Done)) });
        self.pump(q);
    }

    fn check_outputs(&self, to: QueueId, new: NewItems) -> Result<(usize, NewItems), QueueError> {
        let to = self.find(to)?;
        match new.shapes.iter().map(|shape| shape.len).max() {
            Some(bytes) if bytes > ITEM_BYTES_MAX => {
                Err(QueueError::TooLarge { bytes: bytes as usize, max: ITEM_BYTES_MAX as usize })
            }
            _ => Ok((to, new)),
        }
    }

    /// Moves a leased item to the dead letters.
    pub(crate) fn bury(
        &mut self,
        connection: Connection,
        (queue, session): (QueueId, u64),
        seq: u64,
        reason: &str,
        reply: Reply,
    ) {
        let checked =
            self.find(queue).and_then(|q| self.check_leases(connection, q, session, vec![seq]).map(|seqs| (q, seqs)));
        match checked {
            Ok((q, seqs)) => {
                self.take_leases(connection, q, &seqs);
                let attempts = self.queues[q].items.get(&seq).map_or(0, |entry| entry.attempts) + 1;
                let record = bury_record(queue, vec![(seq, attempts)], reason);
                self.submit_record(record, Some((reply, Answer::Done)));
                self.pump(q);
            }
            Err(error) => reply.send(Answer::Failed(error)),
        }
    }

    /// Notes that a consumer died while it held these items, which it holds no more. Returns the most failed deliveries
    /// of those that rest now, if any do.
    pub(super) fn fail_deliveries(&mut self, q: usize, seqs: &[u64]) -> Option<u32> {
        let max_deliveries = self.max_deliveries;
        let queue = &mut self.queues[q];
        let (mut failed, mut buried) = (Vec::new(), Vec::new());
        for seq in seqs {
            let Some(entry) = queue.items.get_mut(seq) else { continue };
            entry.holder = Holder::Writer;
            let attempts = entry.attempts + 1;
            let list = if attempts < max_deliveries { &mut failed } else { &mut buried };
            list.push((*seq, attempts));
        }
        let id = queue.settings.id;
        queue.resting.extend(failed.iter().map(|(seq, _)| *seq));
        let attempts_most = failed.iter().map(|(_, attempts)| *attempts).max();
        if !failed.is_empty() {
            self.submit_record(Record::Return { queue: id.0, failed }, None);
        }
        if !buried.is_empty() {
            let times = if max_deliveries == 1 { "once".to_owned() } else { format!("{max_deliveries} times") };
            let reason = format!("the worker died {times} while it held this item");
            tracing::error!(queue = id.0, items = buried.len(), reason, "items go to the dead letters");
            self.submit_record(bury_record(id, buried, &reason), None);
        }
        attempts_most
    }

    /// Gives up an item whose payload can't be read back.
    pub(crate) fn give_up_unreadable(&mut self, connection: Connection, queue: QueueId, seq: u64) {
        let Some(q) = self.position(queue.0) else { return };
        let is_held = self.sessions.get(&connection).is_some_and(|session| session.held[q].contains_key(&seq));
        if is_held && self.poison.is_none() {
            tracing::error!(
                queue = queue.0,
                seq,
                "the payload of an item is damaged on the disk; it is a dead letter now"
            );
            self.damaged += 1;
            self.take_leases(connection, q, &[seq]);
            let attempts = self.queues[q].items.get(&seq).map_or(0, |entry| entry.attempts);
            self.submit_record(bury_record(queue, vec![(seq, attempts)], "its payload is damaged on the disk"), None);
        }
    }

    /// Dead letters after a position, in order.
    pub(crate) fn dead_letters(&self, after: Option<(QueueId, u64)>, items_max: u32, bytes_max: u64, reply: Reply) {
        let mut queues: Vec<_> = self.queues.iter().collect();
        queues.sort_by_key(|queue| queue.settings.id);
        // Each page begins where it is told to, without a walk over those before it.
        let begin = |queue: QueueId| match after {
            Some((last, _)) if queue < last => Bound::Excluded(u64::MAX),
            Some((last, seq)) if queue == last => Bound::Excluded(seq),
            _ => Bound::Unbounded,
        };
        let all = queues.iter().flat_map(|queue| {
            let id = queue.settings.id;
            queue.dead.range((begin(id), Bound::Unbounded)).map(move |(seq, dead)| (id, *seq, dead))
        });
        let mut letters = Vec::new();
        let mut bytes = 0;
        for (queue, seq, dead) in all {
            bytes += dead.entry.shape.record_len() + dead.reason.len() as u64;
            let is_enough = letters.len() >= items_max as usize || bytes > bytes_max && !letters.is_empty();
            let Some(segment) = self.segments.get(&dead.entry.place.segment).filter(|_| !is_enough) else { break };
            letters.push(DeadWanted {
                queue,
                seq,
                reason: dead.reason.clone(),
                attempts: dead.entry.attempts,
                died_at_ms: dead.died_at_ms,
                wanted: Wanted { place: dead.entry.place, shape: dead.entry.shape, file: segment.file.clone() },
            });
        }
        reply.send(Answer::DeadLetters(letters));
    }

    /// Makes a dead letter ready again, or forgets it. What drains takes nothing more, and be it from its own dead: its
    /// consumers may be gone already.
    pub(crate) fn raise_dead(&mut self, queue: QueueId, seq: u64, is_retry: bool, reply: Reply) {
        let found = self.find(queue).and_then(|q| {
            let state = &mut self.queues[q];
            let dead = state.dead.get_mut(&seq).filter(|dead| dead.entry.holder != Holder::Writer);
            let dead = dead.ok_or_else(|| QueueError::NotFound(format!("dead letter {seq} in queue {}", queue.0)))?;
            if is_retry && state.is_closed { Err(QueueError::Closed) } else { Ok(dead) }
        });
        match found {
            Ok(dead) => {
                dead.entry.holder = Holder::Writer;
                let queue = queue.0;
                let record = if is_retry { Record::Retry { queue, seq } } else { Record::Drop { queue, seq } };
                self.submit_record(record, Some((reply, Answer::Done)));
            }
            Err(error) => reply.send(Answer::Failed(error)),
        }
    }

    /// Applies the ids of a put that was just synced.
    pub(crate) fn remember(&mut self, ids: &[u128]) {
        for id in ids {
            self.pending_ids.remove(id);
            self.window.insert(*id);
        }
    }
}

fn bury_record(queue: QueueId, buried: Vec<(u64, u32)>, reason: &str) -> Record {
    let reason = reason.chars().take(REASON_CHARS_MAX).collect();
    Record::Bury { queue: queue.0, buried, reason, died_at_ms: now_ms() }
}

/// The parts of the area that are accepted, neighbours together, and how much memory they keep. If that is far more than
/// they are, they are copied out.
fn accepted_area(new: &NewItems, outcomes: &[PutOutcome]) -> (Vec<Bytes>, usize) {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    let (mut at, mut accepted) = (0, 0);
    for (shape, outcome) in new.shapes.iter().zip(outcomes) {
        let end = at + shape.record_len() as usize;
        if *outcome == PutOutcome::Accepted && end > at {
            accepted += end - at;
            match parts.last_mut() {
                Some((_, last_end)) if *last_end == at => *last_end = end,
                _ => parts.push((at, end)),
            }
        }
        at = end;
    }
    if parts.len() > 1 || accepted < new.held / 2 {
        let mut copy = Vec::with_capacity(accepted);
        parts.iter().for_each(|(begin, end)| copy.extend_from_slice(&new.area[*begin..*end]));
        return (if copy.is_empty() { Vec::new() } else { vec![Bytes::from(copy)] }, accepted);
    }
    (parts.iter().map(|(begin, end)| new.area.slice(*begin..*end)).collect(), new.held)
}
