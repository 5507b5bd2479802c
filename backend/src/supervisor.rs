//! The supervisor: starts children, listens to them, restarts them, and ends them in order.
//!
//! A thin shell: [`crate::slot`] decides about one child and [`crate::drain`] about the order of a stop; this file turns
//! their decisions into processes, signals and orders. It runs on one thread that lives as long as the process, because
//! the kernel ties children to the *thread* that started them.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::Phase;
use nix::sys::signal::Signal;
use queue::{Manager, POSTS, QueueId, RESULTS};

use crate::control::{ChildSettings, Order, Report};
use crate::drain::{Drain, Step};
use crate::seat::{ChildStatus, Kind, Seat, SlotId};
use crate::slot::{Action, State};
use crate::spawn::spawn;

/// How often slots and the drain are asked what is due.
const TICK: Duration = Duration::from_millis(50);
/// How long a saver may be silent: it is while the store has others commit before it, and there may be many.
const SAVER_SILENCE_MAX: Duration = Duration::from_secs(900);

/// What the supervisor hears of.
#[derive(Debug)]
pub enum Event {
    /// SIGTERM or SIGINT came.
    Signal,
    /// The manager's disk failed.
    DiskFailed(String),
    /// A child, of that incarnation, reported.
    Reported(SlotId, u64, Report),
    /// A child's process, of that incarnation, ended; it has not been reaped yet.
    Ended(SlotId, u64),
}

/// How the pipeline ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every child is gone and the phase is [`Phase::Stopping`].
    Stopped,
    /// The disk failed: children were killed, what was acknowledged is as durable as the disk kept it.
    DiskFailed(String),
}

/// The statuses of all children, shared with whoever answers `GET /v1/queue`.
pub type Board = Arc<Mutex<BTreeMap<SlotId, ChildStatus>>>;

/// How children are started.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The program, normally this one.
    pub program: PathBuf,
    /// What workers are told.
    pub worker: ChildSettings,
    /// What savers are told.
    pub saver: ChildSettings,
    /// How long a worker may be silent: longer than it takes for any post.
    pub stuck_after: Duration,
}

/// The supervisor.
pub struct Supervisor {
    manager: Manager,
    recipe: Recipe,
    seats: BTreeMap<SlotId, Seat>,
    drain: Drain,
    board: Board,
    events: Receiver<Event>,
    sender: Sender<Event>,
}

impl Supervisor {
    /// A supervisor of so many workers and savers. `sender` feeds `events`; the caller keeps a clone for its signals.
    pub fn new(
        manager: Manager,
        recipe: Recipe,
        (workers, savers): (usize, usize),
        drain_timeout: Duration,
        (sender, events): (Sender<Event>, Receiver<Event>),
    ) -> Supervisor {
        let now = Instant::now();
        let kinds = [(Kind::Worker, workers, recipe.stuck_after), (Kind::Saver, savers, SAVER_SILENCE_MAX)];
        let seats = kinds.into_iter().flat_map(|(kind, count, silence_max)| {
            (1..=count).map(move |number| (SlotId { kind, number }, Seat::empty(now, silence_max)))
        });
        let (seats, drain) = (seats.collect(), Drain::new(drain_timeout));
        Supervisor { manager, recipe, seats, drain, board: Board::default(), events, sender }
    }

    /// The board that this supervisor keeps up to date.
    pub fn board(&self) -> Board {
        Arc::clone(&self.board)
    }

    /// Runs until everybody is gone. Call it on a thread that lives as long as the process.
    pub fn run(mut self) -> Outcome {
        loop {
            self.publish();
            match self.events.recv_timeout(TICK) {
                Ok(Event::DiskFailed(reason)) => {
                    // Not reaped: this process ends next, and the kernel ends what is left with it.
                    self.kill(|_| true);
                    return Outcome::DiskFailed(reason);
                }
                Ok(Event::Signal) => {
                    for step in self.drain.signal(Instant::now()) {
                        self.take(step);
                    }
                }
                Ok(Event::Reported(id, incarnation, report)) => self.listen(id, incarnation, report),
                Ok(Event::Ended(id, incarnation)) => self.bury(id, incarnation),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            let now = Instant::now();
            self.tend(now);
            for step in self.drain.next(now, self.left(Kind::Worker), self.left(Kind::Saver)) {
                if step == Step::Finish {
                    self.publish();
                    return Outcome::Stopped;
                }
                self.take(step);
            }
        }
    }

    fn listen(&mut self, id: SlotId, incarnation: u64, report: Report) {
        let now = Instant::now();
        let Some(seat) = self.seats.get_mut(&id).filter(|seat| seat.incarnation == incarnation) else { return };
        match report {
            Report::Hello { orders } => {
                let settings = match id.kind {
                    Kind::Worker => &self.recipe.worker,
                    Kind::Saver => &self.recipe.saver,
                };
                seat.orders = Some(orders);
                seat.order(Order::Settings(Box::new(settings.clone())));
            }
            Report::Ready { with } => {
                seat.slot.ready(now);
                seat.was_ready = true;
                tracing::info!(child = %id, pid = seat.pid(), with, "ready");
            }
            Report::Beat(counters) => {
                seat.slot.beat(now);
                seat.counters = counters;
            }
            Report::Nobody => {}
        }
    }

    /// Reaps an ended child and decides what follows.
    fn bury(&mut self, id: SlotId, incarnation: u64) {
        let is_done = self.is_done(id.kind);
        let is_draining = self.drain.phase() >= Phase::DrainingPosts;
        let is_wanted = self.drain.wants(id.kind == Kind::Worker);
        let Some(seat) = self.seats.get_mut(&id).filter(|seat| seat.incarnation == incarnation) else { return };
        let Some(mut process) = seat.process.take() else { return };
        let status = process.wait();
        seat.orders = None;
        // One that left in good order while there is work, because somebody signalled it, needs a successor.
        let finished = status.as_ref().is_ok_and(ExitStatus::success) && is_draining && (is_done || !is_wanted);
        seat.slot.ended(Instant::now(), finished, f64::from(process.id() % 64) / 64.0);
        if !finished {
            let (pid, end) = (process.id(), describe(status));
            tracing::warn!(child = %id, pid, end, degraded = seat.slot.is_degraded(), "child ended");
        }
    }

    /// Does what is due for each slot.
    fn tend(&mut self, now: Instant) {
        if [Kind::Worker, Kind::Saver].into_iter().all(|kind| self.has_been_ready(kind)) {
            self.drain.running();
        }
        let done = [Kind::Worker, Kind::Saver].map(|kind| (kind, self.is_done(kind)));
        for (&id, seat) in &mut self.seats {
            let is_done = done.contains(&(id.kind, true));
            match seat.slot.due(now, self.drain.wants(id.kind == Kind::Worker) && !is_done) {
                Action::Wait => {}
                Action::Spawn => {
                    seat.incarnation += 1;
                    match spawn(&self.recipe.program, id, seat.incarnation, &self.sender) {
                        Ok(process) => seat.take(process, now),
                        Err(error) => {
                            tracing::error!(child = %id, error, "can't start a child");
                            seat.slot.ended(now, false, 0.5);
                        }
                    }
                }
                Action::Kill(reason) => {
                    tracing::error!(child = %id, pid = seat.pid(), reason, "killing a child");
                    seat.signal(Signal::SIGKILL);
                }
            }
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::ClosePosts => {
                tracing::info!("draining: posts are refused, workers finish what is queued");
                self.manager.close(POSTS);
            }
            Step::CloseResults => {
                tracing::info!("draining: workers are gone, savers finish what is queued");
                self.manager.close(RESULTS);
            }
            Step::StopWorkers => self.stop(Kind::Worker),
            Step::StopSavers => self.stop(Kind::Saver),
            Step::KillRest => {
                tracing::error!(left = self.left_names(), "killing children that outstayed their grace");
                let kind = if self.left(Kind::Worker) > 0 { Kind::Worker } else { Kind::Saver };
                self.kill(|id| id.kind == kind);
            }
            Step::Report => tracing::info!(left = self.left_names(), waiting = self.waiting(), "still draining"),
            // Ends the loop in `run`.
            Step::Finish => {}
        }
    }

    /// Ends a kind of children early: their queue answers everyone with the sentinel, and they are told directly too,
    /// because they may be in the middle of a long lease.
    fn stop(&mut self, kind: Kind) {
        let waiting = self.waiting();
        tracing::warn!(child = kind.name(), waiting, "draining cut short; what is unfinished stays on disk");
        self.manager.stop(input(kind));
        for (_, seat) in self.seats.iter().filter(|(id, _)| id.kind == kind) {
            seat.order(Order::Stop);
        }
    }

    /// Kills children; what they hold is delivered again without blame.
    fn kill(&mut self, which: impl Fn(&SlotId) -> bool) {
        self.manager.forgive();
        for (_, seat) in self.seats.iter().filter(|(id, _)| which(id)) {
            seat.signal(Signal::SIGKILL);
        }
    }

    /// Whether a kind has nothing to do any more: its queue is closed and empty.
    fn is_done(&self, kind: Kind) -> bool {
        self.drain.phase() >= Phase::DrainingPosts && self.manager.is_done(input(kind))
    }

    /// Whether a kind that has seats has had somebody ready in one.
    fn has_been_ready(&self, kind: Kind) -> bool {
        let mut seats = self.seats.iter().filter(|(id, _)| id.kind == kind).map(|(_, seat)| seat).peekable();
        seats.peek().is_none() || seats.any(|seat| seat.was_ready)
    }

    /// How many of a kind are not done.
    fn left(&self, kind: Kind) -> usize {
        self.seats.iter().filter(|(id, seat)| id.kind == kind && seat.slot.state() != State::Done).count()
    }

    fn left_names(&self) -> String {
        let left = self.seats.iter().filter(|(_, seat)| seat.slot.state() != State::Done);
        left.map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Items in all queues.
    fn waiting(&self) -> u64 {
        self.manager.stats().queues.values().map(|queue| queue.ready + queue.leased).sum()
    }

    /// Brings the board and the phase up to date.
    fn publish(&self) {
        self.manager.set_phase(self.drain.phase().name());
        let now = Instant::now();
        let statuses = self.seats.iter().map(|(&id, seat)| (id, seat.status(id, now))).collect();
        if let Ok(mut board) = self.board.lock() {
            *board = statuses;
        }
    }
}

/// The queue that a kind takes from.
fn input(kind: Kind) -> QueueId {
    match kind {
        Kind::Worker => POSTS,
        Kind::Saver => RESULTS,
    }
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => status.to_string(),
        },
        Err(error) => error.to_string(),
    }
}
