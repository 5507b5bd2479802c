//! Leases: who gets what, who waits, and what becomes of the items of a consumer that is gone.
//!
//! Items whose consumer died are suspects: one of them may have killed it. They are given in small groups, and alone
//! before the last try, only to a consumer that holds nothing else, which then gets nothing more until it has settled
//! them. So a poison item is found by itself and takes nothing with it.
//!
//! Whatever kills consumers without looking at items, such as a lack of memory or an impatient operator, must not cost
//! an item its last try. So suspects rest before the next one, longer each time, which also leaves consumers to others;
//! and the last one is with a consumer that has lived for a while: while consumers are killed as soon as they come,
//! nobody is given any. There is no clock in here: whoever serves a session is told these times, and says when they are
//! over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::api::{QueueError, QueueId, Want};
use crate::core::answer::{Answer, Grant, Granted, Reply};
use crate::core::queue::{Connection, Holder, Waiter};
use crate::core::{Core, Session};
use crate::log::cache::Wanted;

/// Suspects given at once.
const SUSPECTS_MAX: usize = 32;
/// Bytes that an item takes in an answer beside its id and payload.
const ITEM_OVERHEAD: u64 = 32;
/// Bytes of one answer at most, well below what one frame carries.
pub(crate) const LEASE_BYTES_MAX: u32 = 32 << 20;
/// Items of one answer at most.
const LEASE_ITEMS_MAX: u32 = 1 << 16;
/// Leases that wait on one connection at most.
const WAITERS_MAX: usize = 64;

/// Pause after the first failed delivery; each further one makes it four times as long, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Items that rest, since their consumer died.
pub(crate) struct Pause {
    pub(crate) time: Duration,
    q: usize,
    seqs: Vec<u64>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It said good-bye, or this side ended it: its leases are given back.
    Released,
    /// It broke or fell silent: whatever it held may have killed it.
    Lost,
}

/// Which items are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Ready,
    Suspects,
    LastTries,
}

/// What to answer to a lease.
enum Decision {
    Grant(Line),
    Answer(Answer),
    Wait,
}

impl Core {
    /// Begins a connection: its number, its session, and where it counts the grants it has sent.
    pub(crate) fn begin_session(&mut self) -> (Connection, u64, Arc<AtomicU32>) {
        let connection = self.next_connection;
        self.next_connection += 1;
        let sent = Arc::new(AtomicU32::new(0));
        let queues = self.queues.len();
        let session = Session {
            held: vec![FxHashMap::default(); queues],
            quarantined: vec![false; queues],
            is_proven: false,
            grants: 0,
            sent: Arc::clone(&sent),
        };
        self.sessions.insert(connection, session);
        (connection, self.session_id(connection), sent)
    }

    /// A session has lived for long enough to be given items on their last try.
    pub(crate) fn prove(&mut self, connection: Connection) {
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.is_proven = true;
            self.pump_all();
        }
    }

    fn session_id(&self, connection: Connection) -> u64 {
        u64::from(self.epoch) << 32 | u64::from(connection)
    }

    /// Ends a connection. Its waiting leases are dropped first, so that nothing is given to it any more. Somebody must
    /// call [`Core::end_pause`] for each pause, when its time is over.
    pub(crate) fn end_session(&mut self, connection: Connection, end: End) -> Vec<Pause> {
        let Some(session) = self.sessions.remove(&connection) else { return Vec::new() };
        let mut pauses = Vec::new();
        let sent = session.sent.load(Ordering::Acquire);
        for (q, held) in session.held.into_iter().enumerate() {
            let queue = &mut self.queues[q];
            queue.waiters.retain(|waiter| waiter.connection != connection);
            queue.designated = queue.designated.filter(|designated| *designated != connection);
            let is_blamed = end == End::Lost && !self.is_forgiving && !queue.is_stopped;
            // A grant that was not sent whole was not seen: it killed nobody.
            let (failed, released): (Vec<_>, Vec<_>) =
                held.into_iter().partition(|(_, grant)| is_blamed && *grant < sent);
            self.make_ready(q, released.into_iter().map(|(seq, _)| seq).collect());
            let mut failed: Vec<u64> = failed.into_iter().map(|(seq, _)| seq).collect();
            failed.sort_unstable();
            if self.poison.is_none()
                && let Some(attempts) = self.fail_deliveries(q, &failed)
            {
                // The end of a closed queue is waited for.
                let attempts = if self.queues[q].is_closed { 1 } else { attempts };
                pauses.push(Pause { time: pause_after(attempts), q, seqs: failed });
            }
        }
        self.pump_all();
        pauses
    }

    /// The time of a pause is over.
    pub(crate) fn end_pause(&mut self, Pause { q, seqs, .. }: Pause) {
        self.queues[q].end_rest(seqs);
        self.pump(q);
    }

    /// Puts items back to the front, in their order.
    fn make_ready(&mut self, q: usize, mut seqs: Vec<u64>) {
        seqs.sort_unstable();
        let queue = &mut self.queues[q];
        for seq in seqs.into_iter().rev() {
            if let Some(line) = queue.line_for(seq) {
                line.push_front(seq);
            }
        }
    }

    /// Leases items, or waits for them: then `true`, and somebody must call [`Core::expire`] in time.
    pub(crate) fn lease(&mut self, connection: Connection, queue: QueueId, want: Want, reply: Reply) -> bool {
        let q = match self.find(queue) {
            Ok(q) => q,
            Err(error) => {
                reply.send(Answer::Failed(error));
                return false;
            }
        };
        match self.decide(q, connection) {
            Decision::Grant(line) => self.grant(q, connection, want, line, reply),
            Decision::Answer(answer) => reply.send(answer),
            Decision::Wait if want.wait.is_zero() => reply.send(Answer::Empty),
            Decision::Wait => {
                let waiters = &mut self.queues[q].waiters;
                if waiters.iter().filter(|waiter| waiter.connection == connection).count() < WAITERS_MAX {
                    waiters.push_back(Waiter { connection, want, reply });
                    return true;
                }
                let error = format!("more than {WAITERS_MAX} leases wait on one connection");
                reply.send(Answer::Failed(QueueError::Protocol(error)));
            }
        }
        false
    }

    /// The wait of a lease is over.
    pub(crate) fn expire(&mut self, connection: Connection, queue: QueueId, request: u64) {
        let Some(q) = self.position(queue.0) else { return };
        let waiters = &mut self.queues[q].waiters;
        let is_meant = |waiter: &Waiter| waiter.connection == connection && waiter.reply.request == request;
        if let Some(waiter) = waiters.iter().position(is_meant).and_then(|at| waiters.remove(at)) {
            waiter.reply.send(Answer::Empty);
        }
    }

    fn decide(&mut self, q: usize, connection: Connection) -> Decision {
        let Some(session) = self.sessions.get(&connection) else { return Decision::Answer(Answer::Stop) };
        let holds = !session.held[q].is_empty();
        let is_quarantined = holds && session.quarantined[q];
        let is_proven = session.is_proven;
        let is_blocked = is_quarantined || self.is_fed_full(q);
        let queue = &mut self.queues[q];
        if queue.is_stopped {
            return Decision::Answer(Answer::Stop);
        }
        let suspects = match (is_proven && !queue.last_tries.is_empty(), !queue.suspects.is_empty()) {
            (true, _) => Some(Line::LastTries),
            (false, true) => Some(Line::Suspects),
            (false, false) => None,
        };
        if let Some(line) = suspects.filter(|_| !is_blocked) {
            if !holds {
                queue.designated = None;
                return Decision::Grant(line);
            }
            // While there is other work nobody would ever hold nothing: so one is asked to settle first.
            if queue.is_closed && queue.ready.is_empty()
                || !queue.ready.is_empty() && queue.designated.is_none_or(|designated| designated == connection)
            {
                queue.designated = Some(connection);
                return Decision::Answer(Answer::Flush);
            }
        }
        if !is_blocked && !queue.ready.is_empty() {
            return Decision::Grant(Line::Ready);
        }
        if queue.is_done() {
            return Decision::Answer(Answer::Stop);
        }
        if queue.is_closed && !queue.has_offers() && holds {
            return Decision::Answer(Answer::Flush);
        }
        Decision::Wait
    }

    fn is_fed_full(&self, q: usize) -> bool {
        let feeds = self.queues[q].settings.feeds.and_then(|feeds| self.position(feeds.0));
        feeds.is_some_and(|feeds| self.queues[feeds].is_over())
    }

    fn grant(&mut self, q: usize, connection: Connection, want: Want, line: Line, reply: Reply) {
        let session_id = self.session_id(connection);
        let (queue, Some(session)) = (&mut self.queues[q], self.sessions.get_mut(&connection)) else { return };
        let items_max = want.items_max.clamp(1, LEASE_ITEMS_MAX) as usize;
        let (waiting, items_max) = match line {
            Line::Ready => (&mut queue.ready, items_max),
            Line::Suspects => (&mut queue.suspects, items_max.min(SUSPECTS_MAX)),
            Line::LastTries => (&mut queue.last_tries, 1),
        };
        let suspects = line != Line::Ready;
        let bytes_max = u64::from(want.bytes_max.min(LEASE_BYTES_MAX));
        let mut grant =
            Grant { queue: queue.settings.id, session: session_id, suspects, items: Vec::new(), wanted: Vec::new() };
        let mut bytes = 0;
        while grant.items.len() < items_max
            && let Some(seq) = waiting.front().copied()
        {
            let entry = queue.items.get_mut(&seq);
            let Some((entry, segment)) =
                entry.and_then(|entry| self.segments.get(&entry.place.segment).map(|segment| (entry, segment)))
            else {
                waiting.pop_front();
                continue;
            };
            let attempt = entry.attempts + 1;
            bytes += entry.shape.record_len() + ITEM_OVERHEAD;
            if !grant.items.is_empty() && bytes > bytes_max {
                break;
            }
            waiting.pop_front();
            entry.holder = Holder::Leased(connection);
            session.held[q].insert(seq, session.grants);
            grant.items.push(Granted { seq, attempt });
            grant.wanted.push(Wanted { place: entry.place, shape: entry.shape, file: Arc::clone(&segment.file) });
        }
        session.quarantined[q] = suspects;
        session.grants += 1;
        reply.send(Answer::Granted(grant));
    }

    /// The leases that a call names, sorted, each once; or that they are lost, if any is.
    pub(super) fn check_leases(
        &self,
        connection: Connection,
        q: usize,
        session_id: u64,
        mut seqs: Vec<u64>,
    ) -> Result<Vec<u64>, QueueError> {
        seqs.sort_unstable();
        seqs.dedup();
        let session = self.sessions.get(&connection).filter(|_| session_id == self.session_id(connection));
        let all_held = session.is_some_and(|session| seqs.iter().all(|seq| session.held[q].contains_key(seq)));
        if all_held { Ok(seqs) } else { Err(QueueError::LeaseLost) }
    }

    /// Takes leases from their connection, for the writer.
    pub(super) fn take_leases(&mut self, connection: Connection, q: usize, seqs: &[u64]) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        for seq in seqs {
            session.held[q].remove(seq);
            if let Some(entry) = self.queues[q].items.get_mut(seq) {
                entry.holder = Holder::Writer;
            }
        }
    }

    /// Gives leases back untouched.
    pub(crate) fn release(
        &mut self,
        connection: Connection,
        queue: QueueId,
        session: u64,
        seqs: Vec<u64>,
        reply: Reply,
    ) {
        let checked =
            self.find(queue).and_then(|q| self.check_leases(connection, q, session, seqs).map(|seqs| (q, seqs)));
        match checked {
            Ok((q, seqs)) => {
                self.take_leases(connection, q, &seqs);
                self.make_ready(q, seqs);
                reply.send(Answer::Done);
                self.pump(q);
            }
            Err(error) => reply.send(Answer::Failed(error)),
        }
    }

    /// Answers whoever waits and need not any more.
    pub(crate) fn pump(&mut self, q: usize) {
        for _ in 0..self.queues[q].waiters.len() {
            let queue = &mut self.queues[q];
            if !queue.has_offers() && !queue.is_closed && !queue.is_stopped {
                return;
            }
            let Some(Waiter { connection, want, reply }) = queue.waiters.pop_front() else { return };
            match self.decide(q, connection) {
                Decision::Grant(line) => self.grant(q, connection, want, line, reply),
                Decision::Answer(answer) => reply.send(answer),
                Decision::Wait => self.queues[q].waiters.push_back(Waiter { connection, want, reply }),
            }
        }
    }

    /// After anything that may have changed more than one queue.
    pub(crate) fn pump_all(&mut self) {
        for q in 0..self.queues.len() {
            self.pump(q);
        }
    }
}

fn pause_after(attempts: u32) -> Duration {
    PAUSE_MIN.saturating_mul(4_u32.saturating_pow(attempts.saturating_sub(1))).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let pauses = [1, 2, 3, 4, 100].map(|attempts| pause_after(attempts).as_millis());
        assert_eq!(pauses, [500, 2_000, 8_000, 10_000, 10_000]);
    }
}
