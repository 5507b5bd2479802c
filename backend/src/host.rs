//! `copydesk backend`: opens the log, serves the queue, supervises workers and savers, and ends when they have.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use common::{Findings, Level};
use queue::{Address, Listener, Manager, ManagerSettings, OpenError, POSTS};
use serde_json::{Map, Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use store::StoreError;

use crate::control::{ChildSettings, Role, SaverSettings, WorkerSettings};
use crate::preflight::preflight;
use crate::seat::Kind;
use crate::supervisor::{Board, Event, Outcome, Recipe, Supervisor};

/// Threads that serve the queue: one per 8 cores is plenty, and two let one wait for a lock.
const QUEUE_THREADS: usize = 2;

/// How long clients of the queue may take to read their last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Everything `copydesk backend` is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the log and the default store are.
    pub data_dir: PathBuf,
    /// Where the queue listens, beside the Unix socket in the data directory.
    pub queue_listen: Vec<Address>,
    /// Connections at once on each of them.
    pub connections_max: usize,
    /// The file of the shared secret.
    pub secret_file: Option<PathBuf>,
    /// Worker processes.
    pub workers: usize,
    /// Saver processes.
    pub savers: usize,
    /// The store, as in `--store`.
    pub store: String,
    /// How workers work.
    pub worker: WorkerSettings,
    /// How long a stop may drain.
    pub drain_timeout: Duration,
    /// Deliveries after which a post that kills its worker is given up.
    pub max_deliveries: u32,
    /// Silence after which a worker is taken for stuck, and killed.
    pub stuck_after: Duration,
    /// How much the queue holds, and for how long.
    pub queue: QueueBounds,
    /// The program that children run: normally this one.
    pub program: PathBuf,
}

/// How much the queue holds, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueBounds {
    /// Posts that may be queued before puts are refused.
    pub posts_max: u64,
    /// Bytes of them before puts are refused.
    pub posts_bytes_max: u64,
    /// Batches that may wait for a saver before workers get nothing more.
    pub results_max: u64,
    /// Free bytes of the disk below which puts are refused.
    pub disk_free_min: u64,
    /// Ids of posts that are remembered.
    pub duplicate_window: usize,
    /// Silence after which a child has lost its leases.
    pub lease_timeout: Duration,
}

/// Why the backend did not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The data directory can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the settings say, or where they point to, can't be used.
    #[error("{0}")]
    Settings(Findings),
    /// The data directory can't be made.
    #[error("can't make the data directory {0}: {1}; give another with --data-dir")]
    DataDir(PathBuf, std::io::Error),
    /// An address can't be listened on.
    #[error("{0}")]
    Listen(String),
    /// A thread, a runtime or a signal handler could not be made.
    #[error("can't start: {0}")]
    Start(#[from] std::io::Error),
    /// The disk failed while running.
    #[error("the disk failed, so nothing more can be promised: {0}; check the disk, then start again")]
    DiskFailed(String),
}

/// The socket that local processes use.
pub fn socket(data_dir: &std::path::Path) -> Address {
    Address::Unix(data_dir.join("queue.sock"))
}

/// The directory of the queue's log.
pub fn log_dir(data_dir: &std::path::Path) -> PathBuf {
    data_dir.join("queue")
}

/// Makes the data directory if it is not there.
pub fn make_data_dir(dir: &std::path::Path) -> Result<(), BackendError> {
    std::fs::create_dir_all(dir).map_err(|error| BackendError::DataDir(dir.to_owned(), error))
}

/// Runs the backend until it has drained after SIGTERM or SIGINT. Call it on the main thread. What was found wrong with
/// the settings before is refused together with what is found here.
pub fn run(settings: Settings, mut found: Findings) -> Result<(), BackendError> {
    // First of all: a stop that comes while the log is read is a stop.
    let (sender, events) = mpsc::channel();
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let told = sender.clone();
    std::thread::spawn(move || signals.forever().try_for_each(|_| told.send(Event::Signal)));

    // Then whatever can be wrong with the settings, before anything is made or listened on.
    let (secret, target) = preflight(&settings, &mut found);
    let Some(target) = target.filter(|_| found.is_sound()) else { return Err(BackendError::Settings(found)) };
    for warning in found.0.iter().filter(|finding| finding.level == Level::Warning) {
        tracing::warn!(code = warning.code, "{}", warning.message);
    }
    make_data_dir(&settings.data_dir)?;
    let manager_settings = manager_settings(&settings);
    let (manager, recovery) = Manager::open(manager_settings)?;
    tracing::info!(%recovery, "log opened");
    // Found out here and not by every saver: a store that can't be used.
    drop(target.open()?);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(QUEUE_THREADS)
        .thread_name("queue")
        .enable_all()
        .build()?;
    let local = socket(&settings.data_dir);
    let listeners = runtime.block_on(async {
        let mut listeners = Vec::new();
        for address in std::iter::once(&local).chain(settings.queue_listen.iter().filter(|address| **address != local))
        {
            let listener = Listener::bind(address).await.map_err(|error| BackendError::Listen(error.to_string()))?;
            tracing::info!(address = %listener.address(), "queue listens");
            listeners.push(listener);
        }
        Ok::<_, BackendError>(listeners)
    })?;
    let (stop_serving, serving_stopped) = tokio::sync::oneshot::channel::<()>();
    let served = runtime.spawn(queue::serve(manager.clone(), listeners, secret, async {
        let _ = serving_stopped.await;
    }));
    let (watched, told) = (manager.clone(), sender.clone());
    runtime.spawn(async move { told.send(Event::DiskFailed(watched.failed().await)) });

    let recipe = recipe(&settings, &local);
    let counts = (settings.workers, settings.savers);
    let supervisor = Supervisor::new(manager.clone(), recipe, counts, settings.drain_timeout, (sender, events));
    let board = supervisor.board();
    manager.set_annex(std::sync::Arc::new(move || annex(&board)));
    let outcome = supervisor.run();

    let _ = stop_serving.send(());
    // A peer that does not read its last answer must not hold the exit.
    let _ = runtime.block_on(async { tokio::time::timeout(LAST_ANSWERS, served).await });
    match outcome {
        Outcome::Stopped => {
            let left: u64 = manager.stats().queues.values().map(|queue| queue.ready + queue.leased).sum();
            tracing::info!(left_on_disk = left, "stopped");
            Ok(())
        }
        Outcome::DiskFailed(reason) => Err(BackendError::DiskFailed(reason)),
    }
}

/// What the manager is told.
pub fn manager_settings(settings: &Settings) -> ManagerSettings {
    let QueueBounds { posts_max, posts_bytes_max, results_max, disk_free_min, duplicate_window, lease_timeout } =
        settings.queue;
    let mut manager = ManagerSettings::pipeline(log_dir(&settings.data_dir));
    for queue in &mut manager.queues {
        match queue.id {
            POSTS => (queue.items_max, queue.bytes_max) = (posts_max, posts_bytes_max),
            _ => queue.items_max = results_max,
        }
    }
    let (max_deliveries, connections_max) = (settings.max_deliveries, settings.connections_max);
    ManagerSettings { max_deliveries, connections_max, disk_free_min, duplicate_window, lease_timeout, ..manager }
}

fn recipe(settings: &Settings, local: &Address) -> Recipe {
    let child = |role| ChildSettings { queue: local.to_string(), secret_file: settings.secret_file.clone(), role };
    Recipe {
        program: settings.program.clone(),
        worker: child(Role::Worker(settings.worker.clone())),
        saver: child(Role::Saver(SaverSettings { store: settings.store.clone(), data_dir: settings.data_dir.clone() })),
        stuck_after: settings.stuck_after,
    }
}

/// What `GET /v1/queue` shows of the children.
fn annex(board: &Board) -> Map<String, Value> {
    // Copied, so that the supervisor never waits for whoever reads this.
    let board = board.lock().map(|board| board.clone()).unwrap_or_default();
    let list = |kind: Kind| -> Vec<Value> {
        let of_kind = board.iter().filter(|(id, _)| id.kind == kind);
        of_kind
            .map(|(_, status)| {
                let mut value = json!(status);
                value["rss_bytes"] = json!(rss_bytes(status.pid));
                value
            })
            .collect()
    };
    let degraded: Vec<_> =
        board.values().filter(|status| status.state == "degraded").map(|status| &status.name).collect();
    let annex = json!({"workers": list(Kind::Worker), "savers": list(Kind::Saver), "degraded": degraded});
    match annex {
        Value::Object(annex) => annex,
        _ => Map::new(),
    }
}

/// Resident memory of a process; 0 if it is gone.
fn rss_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
