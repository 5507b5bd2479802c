//! What a worker holds between two flushes: the leases of the posts it has finished, and their sums. Both leave
//! together, in one atomic settlement, or are forgotten together when the leases are lost.

use std::time::{Duration, Instant};

use common::limits::BATCH_INCREMENTS_MAX;
use common::{Mention, Post, Tally, id};
use queue::{Delivery, Item, LeaseId, Outputs, QueueError, RESULTS};

/// A flush leaves early when its batches reach so many bytes, well below what one frame carries.
const FLUSH_BYTES: usize = 16 << 20;
/// Bytes of one batch, about: what a saver reads and applies in one go.
const BATCH_BYTES: usize = 1 << 20;

/// Finished posts that are not settled yet.
#[derive(Debug, Default)]
pub struct Holding {
    tally: Tally,
    leases: Vec<LeaseId>,
    since: Option<Instant>,
    latest: Option<Instant>,
}

impl Holding {
    /// Adds a finished post.
    pub fn add(&mut self, delivery: &Delivery, post: &Post<'_>, mentions: &[Mention<'_>], keep: bool, now: Instant) {
        self.tally.add(&delivery.id, post, mentions, keep);
        self.leases.push(delivery.lease);
        self.since.get_or_insert(now);
        self.latest = Some(now);
    }

    /// Posts held.
    pub fn posts(&self) -> usize {
        self.leases.len()
    }

    /// When the flush is due by time: after the interval, or earlier when no post has come for a tenth of it, because
    /// then there is little left to sum up. None if nothing is held.
    pub fn due_at(&self, interval: Duration) -> Option<Instant> {
        Some((self.since? + interval).min(self.latest? + interval / 10))
    }

    /// Whether the flush is due by count or by size.
    pub fn is_full(&self, posts_max: usize) -> bool {
        self.leases.len() >= posts_max || self.tally.bytes() >= FLUSH_BYTES
    }

    /// Whether these deliveries belong to another session than what is held: then what is held can't be settled any
    /// more, because the old session's leases ended with it.
    pub fn is_outlived_by(&self, deliveries: &[Delivery]) -> bool {
        match (self.leases.first(), deliveries.first()) {
            (Some(held), Some(delivery)) => held.session != delivery.lease.session,
            _ => false,
        }
    }

    /// Forgets what is held, and returns the leases: those posts are delivered to somebody again.
    pub fn discard(&mut self) -> Vec<LeaseId> {
        std::mem::take(self).leases
    }

    /// Takes everything out: the leases to settle, and the batches to put in the same step.
    pub fn take(&mut self) -> Result<(Vec<LeaseId>, Outputs), QueueError> {
        let Holding { tally, leases, .. } = std::mem::take(self);
        let mut items = Vec::new();
        for batch in tally.into_batches(&id::fresh(), BATCH_INCREMENTS_MAX, BATCH_BYTES) {
            let payload = serde_json::to_vec(&batch).map_err(|error| QueueError::Protocol(error.to_string()))?;
            items.push(Item { id: batch.id, payload: payload.into() });
        }
        Ok((leases, Outputs { queue: RESULTS, items }))
    }
}
