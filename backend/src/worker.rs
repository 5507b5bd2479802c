//! A worker: takes posts, finds their mentions, sums them, and settles the posts together with the batches made of
//! them. CPU-bound and single-threaded in its work; the queue's input and output run beside it on one more thread.
//!
//! A post is settled only in the step that stores what was made of it. So a worker may be killed at any point: what it
//! held is delivered again, and nothing it counted has been stored.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Mention, Post};
use entities::Engine;
use queue::{Client, Delivery, LeaseId, Leased, Outputs, POSTS, Queue, QueueError};
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
/// How long a settlement is awaited between two beats.
const BEAT: Duration = Duration::from_secs(1);
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
    /// Posts after which to flush: the setting, or less after a flush that was too large.
    posts_max: usize,
}

/// Works until the sentinel, or until it is told to stop.
pub fn run(child: Child, settings: WorkerSettings, client: Client, runtime: Runtime) -> Result<(), WorkerError> {
    let engine = open_engine(&settings)?;
    child.ready(engine.name());
    let (client, posts_max) = (Arc::new(client), settings.flush_posts);
    Worker { child, settings, engine, runtime, client, holding: Holding::default(), posts_max }.run()
}

fn open_engine(settings: &WorkerSettings) -> Result<Box<dyn Engine>, entities::EngineError> {
    entities::open(&settings.engine, settings.model.as_deref())
}

/// The mentions of a post; none if the engine panicked on it.
fn find<'a>(engine: &'a mut dyn Engine, post: &'a Post<'_>) -> Option<Vec<Mention<'a>>> {
    // After a panic the engine is thrown away, so nobody sees what state it was left in.
    let both = AssertUnwindSafe((engine, post));
    catch_unwind(move || {
        // The braces move the wrapper in as a whole; a closure would otherwise capture what is inside it.
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
        let worked = self.work(&mut feed);
        // However it ended: what is finished is settled, what is not is given back, so that no post is blamed for it.
        let rest = self.runtime.block_on(feed.close(IDLE));
        self.give_back(rest.iter().map(|delivery| delivery.lease).collect());
        let flushed = if worked.is_ok() { self.flush() } else { Ok(()) };
        let held = self.holding.discard();
        self.give_back(held);
        self.runtime.block_on(self.client.close());
        self.child.finish();
        worked.and(flushed)
    }

    /// Works until the sentinel, an order to stop, or a failure.
    fn work(&mut self, feed: &mut Feed) -> Result<(), WorkerError> {
        while !self.child.should_stop() {
            let idle = Instant::now() + IDLE;
            let wake = self.holding.due_at(self.settings.flush_interval).map_or(idle, |due| due.min(idle));
            match self.runtime.block_on(feed.next(wake)) {
                Next::Leased(Leased::Items { deliveries, suspects }) => {
                    self.extract_all(&deliveries, feed)?;
                    if suspects {
                        self.flush()?;
                    }
                }
                Next::Leased(Leased::Flush) => self.flush()?,
                Next::Leased(Leased::Stop) => return Ok(()),
                Next::Leased(Leased::Empty) | Next::Nothing => {}
                Next::Lost => return Err(WorkerError::FeedLost),
            }
            self.flush_if_due()?;
            self.child.beat();
        }
        Ok(())
    }

    /// Extracts a batch of deliveries, or as much of it as there is time for.
    fn extract_all(&mut self, deliveries: &[Delivery], feed: &Feed) -> Result<(), WorkerError> {
        if self.holding.is_outlived_by(deliveries) {
            let posts = self.holding.discard().len();
            tracing::warn!(posts, "leases lost with the connection; the posts are delivered again");
        }
        let mut spent = Duration::ZERO;
        for (done, delivery) in deliveries.iter().enumerate() {
            let began = Instant::now();
            let outcome = if self.child.should_stop() { Ok(false) } else { self.extract(delivery).map(|()| true) };
            spent += began.elapsed();
            if !matches!(outcome, Ok(true)) {
                self.give_back(deliveries[done..].iter().map(|delivery| delivery.lease).collect());
                return outcome.map(drop);
            }
            self.flush_if_due()?;
            self.child.beat();
        }
        if !deliveries.is_empty() {
            let each = spent.as_secs_f64() / deliveries.len() as f64;
            let items = (LEASE_WORK.as_secs_f64() / each.max(1e-9)).clamp(1.0, f64::from(LEASE_ITEMS_MAX));
            feed.ask_for(items as u32);
        }
        Ok(())
    }

    fn extract(&mut self, delivery: &Delivery) -> Result<(), WorkerError> {
        let post = match Post::parse(&delivery.payload) {
            Ok(post) => post,
            // The edge parses with the same function, so this came in past it.
            Err(error) => return self.bury(delivery.lease, &delivery.id, format!("not a post: {error}")),
        };
        if let Some(mentions) = find(self.engine.as_mut(), &post) {
            self.holding.add(delivery, &post, &mentions, self.settings.keep_mentions, Instant::now());
            self.child.counters.items += 1;
            self.child.counters.increments += mentions.len() as u64;
            return Ok(());
        }
        // Buried first: a post that breaks the engine must not come back because the engine can't be made again.
        self.bury(delivery.lease, &delivery.id, "the engine panicked on this post".to_owned())?;
        self.engine = open_engine(&self.settings)?;
        Ok(())
    }

    fn flush_if_due(&mut self) -> Result<(), WorkerError> {
        let is_late = self.holding.due_at(self.settings.flush_interval).is_some_and(|due| Instant::now() >= due);
        if is_late || self.holding.is_full(self.posts_max) {
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
            match self.settle(&leases, &outputs) {
                Ok(()) => {
                    self.child.counters.flushes += 1;
                    self.posts_max = self.posts_max.saturating_mul(2).min(self.settings.flush_posts);
                    return Ok(());
                }
                Err(QueueError::LeaseLost | QueueError::Disconnected(_)) => {
                    tracing::warn!(posts = leases.len(), "leases lost; the posts are delivered again");
                    return Ok(());
                }
                Err(QueueError::TooLarge { bytes, max }) => match leases[..] {
                    [lease] => {
                        let id = outputs.items.first().map_or("", |item| item.id.as_str());
                        let reason = format!("what was found in it has {bytes} bytes, one settlement takes {max}");
                        return self.bury(lease, id, reason);
                    }
                    // Together they are too much; in smaller flushes each of them fits, or is found.
                    _ => {
                        self.posts_max = (leases.len() / 4).max(1);
                        tracing::warn!(bytes, max, posts_max = self.posts_max, "flush too large, trying smaller ones");
                        self.give_back(leases);
                        return Ok(());
                    }
                },
                Err(error) if error.retryable() => {
                    tracing::warn!(%error, "flush refused, trying again");
                    self.child.beat();
                    std::thread::sleep(FLUSH_RETRY);
                }
                Err(error) => {
                    self.give_back(leases);
                    return Err(error.into());
                }
            }
        }
    }

    /// One try to settle. Beats while it waits: a slow disk is not a stuck worker.
    fn settle(&mut self, leases: &[LeaseId], outputs: &Outputs) -> Result<(), QueueError> {
        let Worker { runtime, client, child, .. } = self;
        runtime.block_on(async {
            let mut settled = client.settle(POSTS, leases.to_vec(), Some(outputs.clone()));
            loop {
                match tokio::time::timeout(BEAT, settled.as_mut()).await {
                    Ok(outcome) => return outcome,
                    Err(_) => child.beat(),
                }
            }
        })
    }

    fn bury(&mut self, lease: LeaseId, id: &str, reason: String) -> Result<(), WorkerError> {
        tracing::warn!(id, reason, "post goes to the dead letters");
        match self.runtime.block_on(self.client.bury(POSTS, lease, reason)) {
            Ok(()) => self.child.counters.buried += 1,
            // It is delivered again, and buried then.
            Err(QueueError::LeaseLost | QueueError::Disconnected(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Gives leases back. If that fails, the end of the connection does it.
    fn give_back(&mut self, leases: Vec<LeaseId>) {
        if leases.is_empty() {
            return;
        }
        if let Err(error) = self.runtime.block_on(self.client.release(POSTS, leases)) {
            tracing::debug!(%error, "leases not given back");
        }
    }
}
