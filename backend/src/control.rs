//! What the supervisor and a child say to each other, over `ipc-channel`. Control only: never posts, never batches,
//! because these channels have no back-pressure.
//!
//! The supervisor opens a one-shot server and passes its name to the child, which connects and sends [`Report::Hello`]
//! with the sending end of a channel for orders. Then reports flow up and orders flow down. Either side sees the other
//! die as a disconnection.

use std::path::PathBuf;
use std::time::Duration;

use ipc_channel::ipc::{IpcReceiver, IpcSender};
use serde::{Deserialize, Serialize};

/// From the child to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// The child runs, and this is how to reach it.
    Hello {
        /// Where its orders go.
        orders: IpcSender<Order>,
    },
    /// It has loaded what it needs and begins to work.
    Ready {
        /// The engine of a worker, the store of a saver.
        with: String,
    },
    /// It is alive and working; sent between two pieces of work, at most once a second.
    Beat(Counters),
    /// Nobody connected: the child died first, and the supervisor is talking to itself to wake its own listener. See
    /// [`wake`].
    Nobody,
}

/// From the supervisor to the child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Order {
    /// What to do; the first order.
    Settings(Box<ChildSettings>),
    /// Skip the draining: finish the piece in hand, settle what is finished, give the rest back, exit 0.
    Stop,
}

/// What every child needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildSettings {
    /// The queue manager's address, as text.
    pub queue: String,
    /// The file of the shared secret, if there is one. The secret itself is read by each process.
    pub secret_file: Option<PathBuf>,
    /// What kind of child this is, and its own settings.
    pub role: Role,
}

/// The two kinds of children.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Extracts.
    Worker(WorkerSettings),
    /// Saves.
    Saver(SaverSettings),
}

/// How a worker works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerSettings {
    /// Name of the engine.
    pub engine: String,
    /// Weights other than the shipped ones.
    pub model: Option<PathBuf>,
    /// Posts after which the tally is flushed.
    pub flush_posts: usize,
    /// Time after which the tally is flushed.
    pub flush_interval: Duration,
    /// Whether each post's own mentions are kept.
    pub keep_mentions: bool,
}

/// How a saver saves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaverSettings {
    /// The store, as in `--store`.
    pub store: String,
    /// The directory that a relative store lies in.
    pub data_dir: PathBuf,
}

/// What a child has done since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Posts extracted (worker), or batches applied (saver).
    pub items: u64,
    /// Mentions found (worker), or increments applied (saver).
    pub increments: u64,
    /// Flushes settled (worker), or transactions (saver).
    pub flushes: u64,
    /// Items buried.
    pub buried: u64,
}

/// The child's ends of its channels.
pub struct Line {
    /// To the supervisor.
    pub reports: IpcSender<Report>,
    /// From the supervisor.
    pub orders: IpcReceiver<Order>,
}

impl Line {
    /// Connects to the supervisor's one-shot server and introduces this process.
    pub fn connect(server: String) -> Result<Line, String> {
        let reports = IpcSender::connect(server).map_err(|error| error.to_string())?;
        let (order_sender, orders) = ipc_channel::ipc::channel().map_err(|error| error.to_string())?;
        reports.send(Report::Hello { orders: order_sender }).map_err(|error| error.to_string())?;
        Ok(Line { reports, orders })
    }
}

/// Wakes a listener whose child died before it connected: the accept of a one-shot server has no time limit and sees
/// no death (ipc-channel issue 201). Fails if the child did connect, which is as good.
pub fn wake(server: &str) {
    if let Ok(sender) = IpcSender::connect(server.to_owned()) {
        let _ = sender.send(Report::Nobody);
    }
}
