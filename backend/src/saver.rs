//! A saver: takes batches and has the store apply each exactly once. IO-bound; several of them overlap the waiting.
//!
//! A batch is settled only after the store has committed it together with its marker. A saver killed in between leaves
//! a batch that is delivered again and found to be applied.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Batch;
use queue::{Client, Delivery, LeaseId, Leased, Queue, QueueError, RESULTS};
use store::{Applied, Store, StoreError, Target};
use tokio::runtime::Runtime;

use crate::child::Child;
use crate::control::SaverSettings;
use crate::feed::{Feed, Next};

/// Batches in one lease, and so in one transaction of the store.
const LEASE_ITEMS: u32 = 64;
/// Bytes of batches in one lease.
const LEASE_BYTES: u32 = 8 << 20;
/// How often the loop comes round when there is nothing to do.
const IDLE: Duration = Duration::from_millis(500);
/// Pauses before an unavailable store is tried again: doubling from the first to the second.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Why a saver ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum SaverError {
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue refused.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The feed ended without a sentinel; the log says why.
    #[error("the queue manager refused to go on")]
    FeedLost,
}

/// One saver at work.
struct Saver {
    child: Child,
    store: Box<dyn Store>,
    runtime: Runtime,
    client: Arc<Client>,
}

/// Saves until the sentinel, or until it is told to stop.
pub fn run(child: Child, settings: &SaverSettings, client: Client, runtime: Runtime) -> Result<(), SaverError> {
    let target = Target::parse(&settings.store, Path::new(&settings.data_dir))?;
    let store = target.open()?;
    child.ready(&target.to_string());
    Saver { child, store, runtime, client: Arc::new(client) }.run()
}

impl Saver {
    fn run(mut self) -> Result<(), SaverError> {
        let mut feed = {
            let _context = self.runtime.enter();
            Feed::start(self.client.clone(), RESULTS, LEASE_ITEMS, LEASE_BYTES)
        };
        let worked = self.work(&mut feed);
        // However it ended: what is not saved is given back, so that no batch is blamed for a store that fails.
        let rest = self.runtime.block_on(feed.close(IDLE));
        self.give_back(&rest);
        self.runtime.block_on(self.client.close());
        self.child.finish();
        worked
    }

    /// Saves until the sentinel, an order to stop, or a failure.
    fn work(&mut self, feed: &mut Feed) -> Result<(), SaverError> {
        while !self.child.should_stop() {
            match self.runtime.block_on(feed.next(Instant::now() + IDLE)) {
                Next::Leased(Leased::Items { deliveries, .. }) => {
                    if let Err(error) = self.save(&deliveries) {
                        self.give_back(&deliveries);
                        return Err(error);
                    }
                }
                Next::Leased(Leased::Stop) => return Ok(()),
                // Every batch is settled before the next is taken, so there is nothing to flush.
                Next::Leased(Leased::Flush | Leased::Empty) | Next::Nothing => {}
                Next::Lost => return Err(SaverError::FeedLost),
            }
            self.child.beat();
        }
        Ok(())
    }

    fn save(&mut self, deliveries: &[Delivery]) -> Result<(), SaverError> {
        let mut batches = Vec::with_capacity(deliveries.len());
        let mut leases = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match serde_json::from_slice::<Batch>(&delivery.payload) {
                Ok(batch) => {
                    batches.push(batch);
                    leases.push(delivery.lease);
                }
                Err(error) => self.bury(delivery.lease, &delivery.id, format!("not a batch: {error}"))?,
            }
        }
        let Some(outcomes) = self.apply(&batches)? else {
            self.give_back(deliveries);
            return Ok(());
        };
        self.settle(&batches, &leases, outcomes)
    }

    /// Applies batches, waiting for a store that is unavailable; none if there is no time to wait any longer.
    fn apply(&mut self, batches: &[Batch]) -> Result<Option<Vec<Applied>>, SaverError> {
        let mut pause = RETRY_MIN;
        loop {
            match self.store.apply(batches) {
                Ok(outcomes) => return Ok(Some(outcomes)),
                Err(StoreError::Unavailable(reason)) => {
                    tracing::warn!(reason, "the store is unavailable, trying again");
                    self.child.beat();
                    if self.child.should_stop() {
                        return Ok(None);
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(RETRY_MAX);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn settle(&mut self, batches: &[Batch], leases: &[LeaseId], outcomes: Vec<Applied>) -> Result<(), SaverError> {
        let mut settled = Vec::with_capacity(leases.len());
        let mut confirmed = Vec::with_capacity(leases.len());
        for ((batch, &lease), outcome) in batches.iter().zip(leases).zip(outcomes) {
            match outcome {
                Applied::Now => {
                    self.child.counters.items += 1;
                    self.child.counters.increments += batch.increments() as u64;
                }
                Applied::Before => tracing::info!(batch = batch.id, "batch was applied before; not counted again"),
                Applied::Refused(reason) => {
                    self.bury(lease, &batch.id, reason)?;
                    continue;
                }
            }
            settled.push(lease);
            confirmed.push(batch.id.clone());
        }
        if settled.is_empty() {
            return Ok(());
        }
        self.child.counters.flushes += 1;
        match self.runtime.block_on(self.client.settle(RESULTS, settled, None)) {
            Ok(()) => Ok(self.store.confirm(&confirmed)?),
            // They are delivered again, and their markers are found.
            Err(QueueError::LeaseLost | QueueError::Disconnected(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn bury(&mut self, lease: LeaseId, id: &str, reason: String) -> Result<(), SaverError> {
        tracing::error!(batch = id, reason, "batch goes to the dead letters");
        match self.runtime.block_on(self.client.bury(RESULTS, lease, reason)) {
            Ok(()) => self.child.counters.buried += 1,
            Err(QueueError::LeaseLost | QueueError::Disconnected(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Gives unfinished deliveries back. If that fails, the end of the connection does it.
    fn give_back(&mut self, deliveries: &[Delivery]) {
        if deliveries.is_empty() {
            return;
        }
        let leases = deliveries.iter().map(|delivery| delivery.lease).collect();
        if let Err(error) = self.runtime.block_on(self.client.release(RESULTS, leases)) {
            tracing::debug!(%error, "leases not given back");
        }
    }
}
