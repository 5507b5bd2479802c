//! A worker: takes posts, finds their mentions, sums them, and settles the posts together with the batches made of
//! them. CPU-bound and single-threaded in its work; the queue's input and output run beside it on one more thread.
//!
//! A post is settled only in the step that stores what was made of it. So a worker may be killed at any point: what it
//! held is delivered again, and nothing it counted has been stored.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Mention, Post};
use entities::Engine;
use queue::{Client, Delivery, Leased, POSTS, Queue, QueueError};
use tokio::runtime::Runtime;

use crate::child::Child;
use crate::control::WorkerSettings;
use crate::feed::{Feed, Next};
use crate::holding::Holding;

/// Bytes of posts in one lease.
const LEASE_BYTES: u32 = 4 << 20;
/// Posts in the first lease, before the speed of the engine is known.
const LEASE_ITEMS_FIRST: u32 = 16;
const LEASE_ITEMS_MAX: u32 = 512;
/// One lease should keep the worker busy for so long: enough to hide the manager's answer, little enough that others
/// get their share of a short queue.
const LEASE_WORK: Duration = Duration::from_millis(200);
/// How often the loop comes round when there is nothing to do, to beat and to look for an order to stop.
const IDLE: Duration = Duration::from_millis(500);
/// Pause before a flush is tried again on a manager that is out of disk.
const FLUSH_RETRY: Duration = Duration::from_secs(1);

/// Why a worker ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The engine can't be made.
    #[error(transparent)]
    Engine(#[from] entities::EngineError),
    /// The queue refused.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The threads for input and output could not be started.
    #[error("can't start the runtime: {0}")]
    Runtime(#[from] std::io::Error),
    /// The feed ended without a sentinel; the log says why.
    #[error("the queue manager refused to go on")]
    FeedLost,
}

/// One worker at work.
struct Worker {
    child: Child,
    settings: WorkerSettings,
    engine: Box<dyn Engine>,
    runtime: Runtime,
    client: Arc<Client>,
    holding: Holding,
    /// Posts to settle one by one, because together they did not fit one settlement.
    careful: usize,
}

/// Works until the sentinel, or until it is told to stop.
pub fn run(child: Child, settings: WorkerSettings, client: Client, runtime: Runtime) -> Result<(), WorkerError> {
    let engine = open_engine(&settings)?;
    child.ready(engine.name());
    let worker =
        Worker { child, settings, engine, runtime, client: Arc::new(client), holding: Holding::default(), careful: 0 };
    worker.run()
}

fn open_engine(settings: &WorkerSettings) -> Result<Box<dyn Engine>, entities::EngineError> {
    entities::open(&settings.engine, settings.model.as_ref().map(PathBuf::as_path))
}

/// The mentions of a post; none if the engine panicked on it.
fn find<'a>(engine: &'a mut dyn Engine, post: &'a Post<'_>) -> Option<Vec<Mention<'a>>> {
    // After a panic the engine is thrown away, so nobody sees what state it was left in.
    let both = AssertUnwindSafe((engine, post));
    catch_unwind(move || {
        let AssertUnwindSafe((engine, post)) = { both };
        entities::mentions(engine, post)
    })
    .ok()
}

impl Worker {
    fn run(mut self) -> Result<(), WorkerError> {
        let mut feed = {
            let _context = self.runtime.enter();
            Feed::start(self.client.clone(), POSTS, LEASE_ITEMS_FIRST, LEASE_BYTES)
        };
        while !self.child.should_stop() {
            let idle = Instant::now() + IDLE;
            let wake = self.holding.due_at(self.settings.flush_interval).map_or(idle, |due| due.min(idle));
            match self.runtime.block_on(feed.next(wake)) {
                Next::Leased(Leased::Items { deliveries, suspects }) => {
                    self.work(&deliveries, &feed)?;
                    if suspects {
                        self.flush()?;
                    }
                }
                Next::Leased(Leased::Flush) => self.flush()?,
                Next::Leased(Leased::Stop) => break,
                Next::Leased(Leased::Empty) | Next::Nothing => {}
                Next::Lost => return Err(WorkerError::FeedLost),
            }
            self.flush_if_due()?;
            self.child.beat();
        }
        let rest = self.runtime.block_on(feed.close(IDLE));
        if !rest.is_empty() {
            self.give_back(&rest);
        }
        self.flush()?;
        self.child.finish();
        Ok(())
    }

    /// Extracts a batch of deliveries, or as much of it as there is time for.
    fn work(&mut self, deliveries: &[Delivery], feed: &Feed) -> Result<(), WorkerError> {
        if self.holding.is_outlived_by(deliveries) {
            self.discard();
        }
        let began = Instant::now();
        for (done, delivery) in deliveries.iter().enumerate() {
            if self.child.should_stop() {
                self.give_back(&deliveries[done..]);
                return Ok(());
            }
            self.extract(delivery)?;
            self.flush_if_due()?;
            self.child.beat();
        }
        if !deliveries.is_empty() {
            let each = began.elapsed().as_secs_f64() / deliveries.len() as f64;
            let items = (LEASE_WORK.as_secs_f64() / each.max(1e-9)).clamp(1.0, f64::from(LEASE_ITEMS_MAX));
            feed.ask_for(items as u32);
        }
        Ok(())
    }

    fn extract(&mut self, delivery: &Delivery) -> Result<(), WorkerError> {
        let post = match Post::parse(&delivery.payload) {
            Ok(post) => post,
            // The edge parses with the same function, so this came in past it.
            Err(error) => return self.bury(delivery, format!("not a post: {error}")),
        };
        match find(self.engine.as_mut(), &post) {
            Some(mentions) => {
                self.holding.add(delivery, &post, &mentions, self.settings.keep_mentions, Instant::now());
                self.child.counters.items += 1;
                self.child.counters.increments += mentions.len() as u64;
                if self.careful > 0 {
                    self.careful -= 1;
                    self.flush()?;
                }
                Ok(())
            }
            None => {
                // Its scratch space may be in any state now.
                self.engine = open_engine(&self.settings)?;
                self.bury(delivery, "the engine panicked on this post".to_owned())
            }
        }
    }

    fn flush_if_due(&mut self) -> Result<(), WorkerError> {
        let is_late = self.holding.due_at(self.settings.flush_interval).is_some_and(|due| Instant::now() >= due);
        if is_late || self.holding.is_full(self.settings.flush_posts) {
            self.flush()?;
        }
        Ok(())
    }

    /// Settles what is held and stores the batches made of it, in one step.
    fn flush(&mut self) -> Result<(), WorkerError> {
        if self.holding.posts() == 0 {
            return Ok(());
        }
        let (leases, outputs) = self.holding.take()?;
        loop {
            let settled = self.client.settle(POSTS, leases.clone(), Some(outputs.clone()));
            match self.runtime.block_on(settled) {
                Ok(()) => {
                    self.child.counters.flushes += 1;
                    return Ok(());
                }
                Err(QueueError::LeaseLost | QueueError::Disconnected(_)) => {
                    tracing::warn!(posts = leases.len(), "leases lost; the posts are delivered again");
                    return Ok(());
                }
                Err(QueueError::TooLarge { bytes, max }) if leases.len() == 1 => {
                    let reason = format!("what was found in it has {bytes} bytes, one settlement takes {max}");
                    self.child.counters.buried += 1;
                    self.runtime.block_on(self.client.bury(POSTS, leases[0], reason))?;
                    return Ok(());
                }
                Err(QueueError::TooLarge { .. }) => {
                    self.careful = leases.len();
                    self.runtime.block_on(self.client.release(POSTS, leases))?;
                    return Ok(());
                }
                Err(error) if error.retryable() => {
                    tracing::warn!(%error, "flush refused, trying again");
                    self.child.beat();
                    std::thread::sleep(FLUSH_RETRY);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn bury(&mut self, delivery: &Delivery, reason: String) -> Result<(), WorkerError> {
        tracing::warn!(id = delivery.id, reason, "post goes to the dead letters");
        match self.runtime.block_on(self.client.bury(POSTS, delivery.lease, reason)) {
            Ok(()) => self.child.counters.buried += 1,
            // It is delivered again, and buried then.
            Err(QueueError::LeaseLost | QueueError::Disconnected(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn discard(&mut self) {
        let posts = self.holding.discard();
        tracing::warn!(posts, "leases lost with the connection; the posts are delivered again");
    }

    /// Gives unfinished deliveries back. If that fails, the end of the connection does it.
    fn give_back(&mut self, deliveries: &[Delivery]) {
        let leases = deliveries.iter().map(|delivery| delivery.lease).collect();
        if let Err(error) = self.runtime.block_on(self.client.release(POSTS, leases)) {
            tracing::debug!(%error, "leases not given back");
        }
    }
}
