//! How the pipeline is made up: the arguments of `copydesk backend` that `up` and `check` take as well. As they are given
//! ([`PipelineArgs`]), and as they are meant ([`Pipeline`]).

use std::time::Duration;

use backend::QueueBounds;
use backend::control::WorkerSettings;
use clap::ArgAction;
use common::Findings;

use super::given::{Given, flag, number, parsed, size, time};
use super::shared::EngineArgs;

/// Workers, or savers, at most: far more than the largest machines have cores.
const PROCESSES_MAX: u16 = 512;
/// Posts or batches in a queue at most: far more than any disk has room for.
const ITEMS_MAX: u64 = 1_000_000_000_000;
/// `--stuck-after` at least: a worker says once a second that it works, so less would be the end of some that are well.
const STUCK_AFTER_MIN: Duration = Duration::from_secs(2);
/// `--lease-timeout` at least: consumers need time between two signs of life.
const LEASE_TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// How many processes there are, and how they work, as it is given.
#[derive(clap::Args, Debug, Clone)]
pub struct PipelineArgs {
    /// Worker processes (CPU-bound) [default: one less than there are cores, at least 1]
    #[arg(long, value_name = "N", env = "COPYDESK_WORKERS", value_parser = number(0..=PROCESSES_MAX))]
    workers: Option<Given<u16>>,

    /// Saver processes (IO-bound)
    #[arg(long, value_name = "N", env = "COPYDESK_SAVERS", default_value = "2")]
    #[arg(value_parser = number(0..=PROCESSES_MAX))]
    savers: Given<u16>,

    /// Posts that a worker sums up before it flushes
    #[arg(long, value_name = "N", env = "COPYDESK_FLUSH_POSTS", default_value = "25000")]
    #[arg(value_parser = number(1..=1_000_000u32))]
    flush_posts: Given<u32>,

    /// Time after which a worker flushes what it has
    #[arg(long, value_name = "TIME", env = "COPYDESK_FLUSH_INTERVAL", default_value = "2s")]
    #[arg(value_parser = time(Duration::ZERO))]
    flush_interval: Given<Duration>,

    /// How long a stop may take to finish what is queued; the rest stays on disk. A process that hangs gets 10 s more
    #[arg(long, value_name = "TIME", env = "COPYDESK_DRAIN_TIMEOUT", default_value = "60s")]
    #[arg(value_parser = time(Duration::ZERO))]
    drain_timeout: Given<Duration>,

    /// Deliveries after which a post that kills its worker goes to the dead letters
    #[arg(long, value_name = "N", env = "COPYDESK_MAX_DELIVERIES", default_value = "3")]
    #[arg(value_parser = number(1..=100u32))]
    max_deliveries: Given<u32>,

    /// Time after which a worker that is still at one post is taken for stuck and killed, as if the post had killed it
    #[arg(long, value_name = "TIME", env = "COPYDESK_STUCK_AFTER", default_value = "120s")]
    #[arg(value_parser = time(STUCK_AFTER_MIN))]
    stuck_after: Given<Duration>,

    /// Keep each post's own mentions, with character offsets, beside the counters
    #[arg(long, env = "COPYDESK_MENTIONS", action = ArgAction::SetTrue, value_parser = parsed(false, flag))]
    mentions: Given<bool>,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    queue: QueueArgs,
}

/// How much the queue holds, and for how long, as it is given.
#[derive(clap::Args, Debug, Clone)]
struct QueueArgs {
    /// Posts that may be queued before more are answered 429
    #[arg(long, value_name = "N", env = "COPYDESK_POSTS_MAX", default_value = "1000000")]
    #[arg(value_parser = number(1..=ITEMS_MAX))]
    posts_max: Given<u64>,

    /// Bytes of posts that may be queued before more are answered 429
    #[arg(long, value_name = "SIZE", env = "COPYDESK_POSTS_BYTES_MAX", default_value = "8GiB", value_parser = size)]
    posts_bytes_max: Given<u64>,

    /// Batches of counters that may wait for a saver before workers pause
    #[arg(long, value_name = "N", env = "COPYDESK_RESULTS_MAX", default_value = "10000")]
    #[arg(value_parser = number(1..=ITEMS_MAX))]
    results_max: Given<u64>,

    /// Space that stays free on the data disk: with less, posts are answered 429, and what is queued is finished
    #[arg(long, value_name = "SIZE", env = "COPYDESK_DISK_FREE_MIN", default_value = "256MiB", value_parser = size)]
    disk_free_min: Given<u64>,

    /// Ids that are remembered to recognise a post that is sent again
    #[arg(long, value_name = "N", env = "COPYDESK_DUPLICATE_WINDOW", default_value = "1000000")]
    #[arg(value_parser = number(0..=100_000_000u32))]
    duplicate_window: Given<u32>,

    /// Silence after which a worker or saver has lost what it holds to others
    #[arg(long, value_name = "TIME", env = "COPYDESK_LEASE_TIMEOUT", default_value = "30s")]
    #[arg(value_parser = time(LEASE_TIMEOUT_MIN))]
    lease_timeout: Given<Duration>,
}

/// How many processes there are, and how they work.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Worker processes.
    pub workers: usize,
    /// Saver processes.
    pub savers: usize,
    /// How long a stop may drain.
    pub drain_timeout: Duration,
    /// Deliveries after which a post is given up.
    pub max_deliveries: u32,
    /// How long a worker may be at one post.
    pub stuck_after: Duration,
    /// What each worker is told.
    pub worker: WorkerSettings,
    /// How much the queue holds.
    pub queue: QueueBounds,
}

impl PipelineArgs {
    /// What is meant; what is wrong is noted.
    pub fn resolve(&self, found: &mut Findings) -> Pipeline {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.workers.as_ref().map(|workers| usize::from(workers.take("--workers", found)));
        Pipeline {
            workers: workers.unwrap_or((cores - 1).max(1)),
            savers: usize::from(self.savers.take("--savers", found)),
            drain_timeout: self.drain_timeout.take("--drain-timeout", found),
            max_deliveries: self.max_deliveries.take("--max-deliveries", found),
            stuck_after: self.stuck_after.take("--stuck-after", found),
            worker: WorkerSettings {
                engine: self.engine.engine.clone(),
                model: self.engine.model.clone(),
                flush_posts: self.flush_posts.take("--flush-posts", found) as usize,
                flush_interval: self.flush_interval.take("--flush-interval", found),
                keep_mentions: self.mentions.take("--mentions", found),
            },
            queue: self.queue.resolve(found),
        }
    }
}

impl QueueArgs {
    fn resolve(&self, found: &mut Findings) -> QueueBounds {
        QueueBounds {
            posts_max: self.posts_max.take("--posts-max", found),
            posts_bytes_max: self.posts_bytes_max.take("--posts-bytes-max", found),
            results_max: self.results_max.take("--results-max", found),
            disk_free_min: self.disk_free_min.take("--disk-free-min", found),
            duplicate_window: self.duplicate_window.take("--duplicate-window", found) as usize,
            lease_timeout: self.lease_timeout.take("--lease-timeout", found),
        }
    }
}

impl Pipeline {
    /// The arguments of a `copydesk backend` that is started by `copydesk up`.
    pub fn to_args(&self) -> Vec<String> {
        let millis = |time: Duration| format!("{}ms", time.as_millis());
        let WorkerSettings { engine, model, flush_posts, flush_interval, keep_mentions } = &self.worker;
        let QueueBounds { posts_max, posts_bytes_max, results_max, disk_free_min, duplicate_window, lease_timeout } =
            &self.queue;
        let mut args = vec![
            format!("--workers={}", self.workers),
            format!("--savers={}", self.savers),
            format!("--flush-posts={flush_posts}"),
            format!("--flush-interval={}", millis(*flush_interval)),
            format!("--drain-timeout={}", millis(self.drain_timeout)),
            format!("--max-deliveries={}", self.max_deliveries),
            format!("--stuck-after={}", millis(self.stuck_after)),
            format!("--engine={engine}"),
            format!("--posts-max={posts_max}"),
            format!("--posts-bytes-max={posts_bytes_max}"),
            format!("--results-max={results_max}"),
            format!("--disk-free-min={disk_free_min}"),
            format!("--duplicate-window={duplicate_window}"),
            format!("--lease-timeout={}", millis(*lease_timeout)),
        ];
        if *keep_mentions {
            args.push("--mentions".to_owned());
        }
        if let Some(model) = model {
            args.push(format!("--model={}", model.display()));
        }
        args
    }
}
