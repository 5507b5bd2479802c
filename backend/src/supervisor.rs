//! The supervisor: starts children, listens to them, restarts them, and ends them in order.
//!
//! A thin shell: [`crate::slot`] decides about one child and [`crate::drain`] about the order of a stop; this file turns
//! their decisions into processes, signals and orders. It runs on one thread that lives as long as the process, because
//! the kernel ties children to the *thread* that started them. Beside it stand one thread a child for its reports and
//! one for its end; both only pass on what happened, as an [`Event`].

use std::collections::BTreeMap;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child as Process, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::Phase;
use ipc_channel::ipc::{IpcOneShotServer, IpcSender};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use queue::{Manager, POSTS, RESULTS};

use crate::control::{ChildSettings, Counters, Order, Report, wake};
use crate::drain::{Drain, Step};
use crate::slot::{Action, Slot, State};

/// How often slots and the drain are asked what is due.
const TICK: Duration = Duration::from_millis(50);

/// Which kind of child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Extracts.
    Worker,
    /// Saves.
    Saver,
}

/// Names one slot: `worker 3`. Numbers start at 1.
pub type SlotId = (Kind, usize);

/// What the supervisor hears of.
#[derive(Debug)]
pub enum Event {
    /// SIGTERM or SIGINT came.
    Signal,
    /// The manager's disk failed.
    DiskFailed(String),
    /// A child reported.
    Reported(SlotId, u32, Report),
    /// A child's process ended; it has not been reaped yet.
    Ended(SlotId, u32),
}

/// How the pipeline ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every child is gone and the phase is [`Phase::Stopping`].
    Stopped,
    /// The disk failed: children were killed, what was acknowledged is as durable as the disk kept it.
    DiskFailed(String),
}

/// What is known of a child, for `GET /v1/queue`.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct ChildStatus {
    /// `worker 3`.
    pub name: String,
    /// Its process; 0 if there is none.
    pub pid: u32,
    /// `starting`, `running`, `restarting`, `degraded` or `done`.
    pub state: &'static str,
    /// Posts or batches since it started.
    pub items: u64,
    /// Mentions or increments since it started.
    pub increments: u64,
    /// Flushes or transactions since it started.
    pub flushes: u64,
    /// Items sent to the dead letters since it started.
    pub buried: u64,
    /// How often this slot was started again.
    pub restarts: u64,
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

/// A slot, and the process in it.
struct Seat {
    slot: Slot,
    process: Option<Process>,
    pid: u32,
    orders: Option<IpcSender<Order>>,
    counters: Counters,
    was_ready: bool,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Worker => "worker",
            Kind::Saver => "saver",
        }
    }
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
        let ids = (1..=workers).map(|n| (Kind::Worker, n)).chain((1..=savers).map(|n| (Kind::Saver, n)));
        let seats = ids.map(|id| (id, Seat::empty(now))).collect();
        let drain = Drain::new(drain_timeout);
        Supervisor { manager, recipe, seats, drain, board: Board::default(), events, sender }
    }

    /// The board that this supervisor keeps up to date.
    pub fn board(&self) -> Board {
        Arc::clone(&self.board)
    }

    /// Runs until everybody is gone. Call it on a thread that lives as long as the process.
    pub fn run(mut self) -> Outcome {
        self.publish();
        loop {
            match self.events.recv_timeout(TICK) {
                Ok(Event::DiskFailed(reason)) => {
                    self.kill(|_| true);
                    return Outcome::DiskFailed(reason);
                }
                Ok(event) => self.hear(event),
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
            self.publish();
        }
    }

    fn hear(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Signal => {
                for step in self.drain.signal(now) {
                    self.take(step);
                }
            }
            Event::Reported(id, pid, report) => self.listen(id, pid, report, now),
            Event::Ended(id, pid) => self.bury(id, pid, now),
            // Handled where the loop can end.
            Event::DiskFailed(_) => {}
        }
    }

    fn listen(&mut self, id: SlotId, pid: u32, report: Report, now: Instant) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if seat.pid != pid {
            return;
        }
        match report {
            Report::Hello { orders } => {
                let settings = match id.0 {
                    Kind::Worker => &self.recipe.worker,
                    Kind::Saver => &self.recipe.saver,
                };
                // A child that is gone already shows as ended.
                let _ = orders.send(Order::Settings(Box::new(settings.clone())));
                seat.orders = Some(orders);
            }
            Report::Ready { with } => {
                seat.slot.ready(now);
                seat.was_ready = true;
                tracing::info!(child = name(id), pid, with, "ready");
            }
            Report::Beat(counters) => {
                seat.slot.beat(now);
                seat.counters = counters;
            }
            Report::Nobody => {}
        }
        if self.drain.phase() == Phase::Starting && self.seats.values().all(|seat| seat.was_ready) {
            self.drain.running();
            tracing::info!("all workers and savers are ready");
        }
    }

    /// Reaps an ended child and decides what follows.
    fn bury(&mut self, id: SlotId, pid: u32, now: Instant) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if seat.pid != pid {
            return;
        }
        let Some(mut process) = seat.process.take() else { return };
        let status = process.wait();
        (seat.pid, seat.orders) = (0, None);
        // A child leaves with 0 only after the sentinel or an order to stop, and both come only while draining.
        let is_draining = self.drain.phase() >= Phase::DrainingPosts;
        let finished = is_draining && status.as_ref().is_ok_and(ExitStatus::success);
        seat.slot.ended(now, finished, f64::from(pid % 64) / 64.0);
        if !finished {
            let end = describe(status);
            tracing::warn!(child = name(id), pid, end, degraded = seat.slot.is_degraded(), "child died");
        }
    }

    /// Does what is due for each slot.
    fn tend(&mut self, now: Instant) {
        let ids: Vec<SlotId> = self.seats.keys().copied().collect();
        for id in ids {
            let wanted = self.drain.wants(id.0 == Kind::Worker);
            let Some(seat) = self.seats.get_mut(&id) else { continue };
            match seat.slot.due(now, wanted) {
                Action::Wait => {}
                Action::Spawn => self.spawn(id, now),
                Action::Kill(reason) => {
                    tracing::error!(child = name(id), pid = seat.pid, reason, "killing a child");
                    seat.signal(Signal::SIGKILL);
                }
            }
        }
    }

    fn spawn(&mut self, id: SlotId, now: Instant) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        match start(&self.recipe.program, id, &self.sender) {
            Ok(process) => {
                seat.pid = process.id();
                seat.process = Some(process);
                seat.counters = Counters::default();
                seat.slot.spawned(now);
            }
            Err(error) => {
                tracing::error!(child = name(id), %error, "can't start a child");
                seat.slot.ended(now, false, 0.5);
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
                self.kill(|id| id.0 == kind);
            }
            Step::Report => {
                let stats = self.manager.stats();
                let waiting: u64 = stats.queues.values().map(|queue| queue.ready + queue.leased).sum();
                tracing::info!(left = self.left_names(), waiting, "still draining");
            }
            Step::Finish => {}
        }
    }

    /// Ends a kind of children early: their queue answers everyone with the sentinel, and they are told directly too,
    /// because they may be in the middle of a long lease.
    fn stop(&mut self, kind: Kind) {
        let waiting: u64 = self.manager.stats().queues.values().map(|queue| queue.ready + queue.leased).sum();
        tracing::warn!(child = kind.name(), waiting, "draining cut short; what is unfinished stays on disk");
        self.manager.stop(if kind == Kind::Worker { POSTS } else { RESULTS });
        for (_, seat) in self.seats.iter().filter(|(id, _)| id.0 == kind) {
            if let Some(orders) = &seat.orders {
                let _ = orders.send(Order::Stop);
            }
        }
    }

    /// Kills children; what they hold is delivered again without blame.
    fn kill(&mut self, which: impl Fn(&SlotId) -> bool) {
        self.manager.forgive();
        for (_, seat) in self.seats.iter().filter(|(id, _)| which(id)) {
            seat.signal(Signal::SIGKILL);
        }
    }

    /// How many of a kind are not done.
    fn left(&self, kind: Kind) -> usize {
        self.seats.iter().filter(|(id, seat)| id.0 == kind && seat.slot.state() != State::Done).count()
    }

    fn left_names(&self) -> String {
        let left = self.seats.iter().filter(|(_, seat)| seat.slot.state() != State::Done);
        left.map(|(&id, _)| name(id)).collect::<Vec<_>>().join(", ")
    }

    /// Brings the board and the phase up to date.
    fn publish(&self) {
        self.manager.set_phase(self.drain.phase().name());
        let statuses = self.seats.iter().map(|(&id, seat)| (id, seat.status(id))).collect();
        if let Ok(mut board) = self.board.lock() {
            *board = statuses;
        }
    }
}

impl Seat {
    fn empty(now: Instant) -> Seat {
        Seat {
            slot: Slot::new(now),
            process: None,
            pid: 0,
            orders: None,
            counters: Counters::default(),
            was_ready: false,
        }
    }

    /// Signals the child's process group. The child has not been reaped while `process` is there, so its id still
    /// names it and nobody else.
    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process
            && let Ok(pid) = i32::try_from(process.id())
        {
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }

    fn status(&self, id: SlotId) -> ChildStatus {
        let state = match self.slot.state() {
            _ if self.slot.is_degraded() => "degraded",
            State::Vacant(_) if self.slot.restarts() == 0 => "starting",
            State::Vacant(_) => "restarting",
            State::Starting(_) => "starting",
            State::Running(_) => "running",
            State::Done => "done",
        };
        ChildStatus {
            name: name(id),
            pid: self.pid,
            state,
            items: self.counters.items,
            increments: self.counters.increments,
            flushes: self.counters.flushes,
            buried: self.counters.buried,
            restarts: self.slot.restarts(),
        }
    }
}

fn name((kind, number): SlotId) -> String {
    format!("{} {number}", kind.name())
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

/// Starts a child and the two threads that pass on what happens to it.
fn start(program: &PathBuf, id: SlotId, events: &Sender<Event>) -> Result<Process, String> {
    let (server, server_name) = IpcOneShotServer::<Report>::new().map_err(|error| error.to_string())?;
    let process = Command::new(program)
        .arg(id.0.name())
        .args(["--slot", &id.1.to_string()])
        .args(["--supervisor", &std::process::id().to_string()])
        .args(["--control", &server_name])
        .stdin(std::process::Stdio::null())
        // Its own group: a Ctrl-C in the terminal, or a supervisor that signals our group, reaches only us.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let pid = process.id();

    let reports = events.clone();
    std::thread::spawn(move || {
        let Ok((receiver, first)) = server.accept() else { return };
        let mut next = Ok(first);
        while let Ok(report) = next {
            if reports.send(Event::Reported(id, pid, report)).is_err() {
                return;
            }
            next = receiver.recv();
        }
    });

    let ends = events.clone();
    std::thread::spawn(move || {
        // Waits without reaping: the supervisor reaps, so that the process id stays taken until it knows.
        if let Ok(raw) = i32::try_from(pid) {
            while waitid(Id::Pid(Pid::from_raw(raw)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
                == Err(nix::errno::Errno::EINTR)
            {}
        }
        wake(&server_name);
        let _ = ends.send(Event::Ended(id, pid));
    });
    Ok(process)
}
