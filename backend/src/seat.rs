//! One seat of the supervisor: a slot, the process in it, and what that process last said.

use std::process::Child as Process;
use std::time::{Duration, Instant};

use ipc_channel::ipc::IpcSender;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::control::{Counters, Order};
use crate::slot::{Slot, State};

/// A child that is silent for so long is shown as degraded: nothing that it does as a rule takes so long.
const SILENCE_NOTICED: Duration = Duration::from_secs(15);

/// Which kind of child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Extracts.
    Worker,
    /// Saves.
    Saver,
}

/// Names one slot: `worker 3`. Numbers start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotId {
    /// Its kind.
    pub kind: Kind,
    /// Its number among its kind.
    pub number: usize,
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
    /// Seconds since it was last heard of; about one as long as all is well.
    pub silent_seconds: u64,
}

/// A slot, and the process in it.
pub struct Seat {
    /// The life of whoever sits here.
    pub slot: Slot,
    /// The process, until it is reaped.
    pub process: Option<Process>,
    /// Counts the processes that sat here: tells reports of this one from late ones of its predecessor.
    pub incarnation: u64,
    /// Where its orders go, once it has said so.
    pub orders: Option<IpcSender<Order>>,
    /// What it has done, as of its last beat.
    pub counters: Counters,
    /// Whether anybody here was ever ready.
    pub was_ready: bool,
}

impl Kind {
    /// As in `ps` and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Worker => "worker",
            Kind::Saver => "saver",
        }
    }
}

impl std::fmt::Display for SlotId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.number)
    }
}

impl Seat {
    /// A seat that nobody has sat in. Whoever sits there is killed when nothing was heard of him for `silence_max`.
    pub fn empty(now: Instant, silence_max: Duration) -> Seat {
        Seat {
            slot: Slot::new(now, silence_max),
            process: None,
            incarnation: 0,
            orders: None,
            counters: Counters::default(),
            was_ready: false,
        }
    }

    /// Somebody sits down.
    pub fn take(&mut self, process: Process, now: Instant) {
        self.process = Some(process);
        self.counters = Counters::default();
        self.slot.spawned(now);
    }

    /// Signals the child's process group. The child has not been reaped while `process` is there, so its id still
    /// names it and nobody else.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process
            && let Ok(pid) = i32::try_from(process.id())
        {
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }

    /// Sends an order. A child that is gone already shows as ended.
    pub fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }

    /// The process id, or 0.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::id)
    }

    /// What is known of the child now.
    pub fn status(&self, id: SlotId, now: Instant) -> ChildStatus {
        let silence = self.slot.silence(now);
        let state = match self.slot.state() {
            _ if self.slot.is_degraded() || silence > SILENCE_NOTICED => "degraded",
            State::Vacant(_) if self.slot.restarts() == 0 => "starting",
            State::Vacant(_) => "restarting",
            State::Starting(_) => "starting",
            State::Running(_) => "running",
            State::Done => "done",
        };
        ChildStatus {
            name: id.to_string(),
            pid: self.pid(),
            state,
            items: self.counters.items,
            increments: self.counters.increments,
            flushes: self.counters.flushes,
            buried: self.counters.buried,
            restarts: self.slot.restarts(),
            silent_seconds: silence.as_secs(),
        }
    }
}
