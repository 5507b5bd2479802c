//! Arguments that several subcommands share, so that they read and resolve the same everywhere.

use std::path::PathBuf;
use std::time::Duration;

use backend::QueueBounds;
use backend::control::WorkerSettings;
use serde::Serialize;
use store::{Reader, StoreError, Target};

use super::output::print;
use super::units::{bytes, duration};
use crate::failure::Failure;

/// Where the data is.
#[derive(clap::Args, Debug, Clone)]
pub struct DataArgs {
    /// Directory of the queue's log and of the default store
    #[arg(long, value_name = "DIR", env = "COPYDESK_DATA_DIR", default_value = "copydesk-data")]
    pub data_dir: PathBuf,

    /// Where counters go: `sqlite` (a file in the data directory), `sqlite:PATH`, or `none`
    #[arg(long, value_name = "STORE", env = "COPYDESK_STORE", default_value = "sqlite")]
    pub store: String,
}

/// Which engine finds the mentions.
#[derive(clap::Args, Debug, Clone)]
pub struct EngineArgs {
    /// `desk` is the tagger that ships with Copydesk; `none` finds nothing (for measuring the rest)
    #[arg(long, value_name = "ENGINE", env = "COPYDESK_ENGINE", default_value = "desk")]
    pub engine: String,

    /// Weights made by `copydesk train`, instead of those that ship
    #[arg(long, value_name = "FILE", env = "COPYDESK_MODEL")]
    pub model: Option<PathBuf>,
}

impl DataArgs {
    /// The store, which is not opened yet.
    pub fn target(&self) -> Result<Target, Failure> {
        Target::parse(&self.store, &self.data_dir).map_err(Failure::settings)
    }
}

/// What every command has that lists what the store holds.
#[derive(clap::Args, Debug, Clone)]
pub struct ListArgs {
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    data: DataArgs,
}

impl ListArgs {
    /// Asks the store for rows, and prints them as JSON or as `show` does.
    pub fn list<T: Serialize>(
        &self,
        ask: impl FnOnce(&mut dyn Reader) -> Result<Vec<T>, StoreError>,
        show: impl FnOnce(Vec<T>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let rows = self.data.target()?.reader().and_then(|mut reader| ask(&mut *reader)).map_err(Failure::new)?;
        if self.json {
            return print(&(serde_json::to_string(&rows).map_err(Failure::new)? + "\n"));
        }
        show(rows)
    }
}

/// Workers, or savers, at most: far more than the largest machines have cores.
const PROCESSES_MAX: i64 = 512;
/// `--stuck-after` at least: less would be the end of workers that are well.
const STUCK_AFTER_MIN: Duration = Duration::from_secs(2);

/// How many processes there are, and how they work.
#[derive(clap::Args, Debug, Clone)]
pub struct PipelineArgs {
    /// Worker processes (CPU-bound) [default: one less than there are cores, at least 1]
    #[arg(long, value_name = "N", env = "COPYDESK_WORKERS")]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=PROCESSES_MAX))]
    pub workers: Option<u16>,

    /// Saver processes (IO-bound)
    #[arg(long, value_name = "N", env = "COPYDESK_SAVERS", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=PROCESSES_MAX))]
    pub savers: u16,

    /// Posts that a worker sums up before it flushes
    #[arg(long, value_name = "N", env = "COPYDESK_FLUSH_POSTS", default_value_t = 25_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub flush_posts: u32,

    /// Time after which a worker flushes what it has
    #[arg(long, value_name = "TIME", env = "COPYDESK_FLUSH_INTERVAL", default_value = "2s", value_parser = duration)]
    pub flush_interval: Duration,

    /// How long a stop may take to finish what is queued; the rest stays on disk. A process that hangs gets 10 s more
    #[arg(long, value_name = "TIME", env = "COPYDESK_DRAIN_TIMEOUT", default_value = "60s", value_parser = duration)]
    pub drain_timeout: Duration,

    /// Deliveries after which a post that kills its worker goes to the dead letters
    #[arg(long, value_name = "N", env = "COPYDESK_MAX_DELIVERIES", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    pub max_deliveries: u32,

    /// Time after which a worker that is still at one post is taken for stuck and killed, as if the post had killed it
    #[arg(long, value_name = "TIME", env = "COPYDESK_STUCK_AFTER", default_value = "120s", value_parser = stuck_after)]
    pub stuck_after: Duration,

    /// Keep each post's own mentions, with character offsets, beside the counters
    #[arg(long, env = "COPYDESK_MENTIONS")]
    pub mentions: bool,

    #[command(flatten)]
    pub engine: EngineArgs,

    #[command(flatten)]
    pub queue: QueueArgs,
}

/// Reads `--stuck-after`.
fn stuck_after(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    // It says once a second that it works.
    if time < STUCK_AFTER_MIN { Err("give a worker at least 2s for a post".to_owned()) } else { Ok(time) }
}

/// How much the queue holds, and for how long.
#[derive(clap::Args, Debug, Clone)]
pub struct QueueArgs {
    /// Posts that may be queued before more are answered 429
    #[arg(long, value_name = "N", env = "COPYDESK_POSTS_MAX", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub posts_max: u64,

    /// Bytes of posts that may be queued before more are answered 429
    #[arg(long, value_name = "SIZE", env = "COPYDESK_POSTS_BYTES_MAX", default_value = "8GiB", value_parser = bytes)]
    pub posts_bytes_max: u64,

    /// Batches of counters that may wait for a saver before workers pause
    #[arg(long, value_name = "N", env = "COPYDESK_RESULTS_MAX", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub results_max: u64,

    /// Space that stays free on the data disk: with less, posts are answered 429, and what is queued is finished
    #[arg(long, value_name = "SIZE", env = "COPYDESK_DISK_FREE_MIN", default_value = "256MiB", value_parser = bytes)]
    pub disk_free_min: u64,

    /// Ids that are remembered to recognise a post that is sent again
    #[arg(long, value_name = "N", env = "COPYDESK_DUPLICATE_WINDOW", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=100_000_000))]
    pub duplicate_window: u32,

    /// Silence after which a worker or saver has lost what it holds to others
    #[arg(long, value_name = "TIME", env = "COPYDESK_LEASE_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub lease_timeout: Duration,
}

impl QueueArgs {
    /// As the backend takes them.
    pub fn bounds(&self) -> QueueBounds {
        QueueBounds {
            posts_max: self.posts_max,
            posts_bytes_max: self.posts_bytes_max,
            results_max: self.results_max,
            disk_free_min: self.disk_free_min,
            duplicate_window: self.duplicate_window as usize,
            lease_timeout: self.lease_timeout,
        }
    }

    fn to_args(&self) -> [String; 6] {
        [
            format!("--posts-max={}", self.posts_max),
            format!("--posts-bytes-max={}", self.posts_bytes_max),
            format!("--results-max={}", self.results_max),
            format!("--disk-free-min={}", self.disk_free_min),
            format!("--duplicate-window={}", self.duplicate_window),
            format!("--lease-timeout={}ms", self.lease_timeout.as_millis()),
        ]
    }
}

impl PipelineArgs {
    /// Workers asked for, or what the machine suggests.
    pub fn workers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.workers.map_or((cores - 1).max(1), usize::from)
    }

    /// What each worker is told.
    pub fn worker_settings(&self) -> WorkerSettings {
        WorkerSettings {
            engine: self.engine.engine.clone(),
            model: self.engine.model.clone(),
            flush_posts: self.flush_posts as usize,
            flush_interval: self.flush_interval,
            keep_mentions: self.mentions,
        }
    }

    /// The same arguments again, for a `copydesk backend` that is started by `copydesk up`.
    pub fn to_args(&self) -> Vec<String> {
        let millis = |time: Duration| format!("{}ms", time.as_millis());
        let mut args = vec![
            format!("--workers={}", self.workers()),
            format!("--savers={}", self.savers),
            format!("--flush-posts={}", self.flush_posts),
            format!("--flush-interval={}", millis(self.flush_interval)),
            format!("--drain-timeout={}", millis(self.drain_timeout)),
            format!("--max-deliveries={}", self.max_deliveries),
            format!("--stuck-after={}", millis(self.stuck_after)),
            format!("--engine={}", self.engine.engine),
        ];
        args.extend(self.queue.to_args());
        if self.mentions {
            args.push("--mentions".to_owned());
        }
        if let Some(model) = &self.engine.model {
            args.push(format!("--model={}", model.display()));
        }
        args
    }
}
