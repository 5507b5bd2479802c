//! Arguments that several subcommands share, so that they read and resolve the same everywhere.

use std::path::PathBuf;
use std::time::Duration;

use backend::control::WorkerSettings;
use serde::Serialize;
use store::{Reader, StoreError, Target};

use super::output::print;
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

    /// Keep each post's own mentions, with character offsets, beside the counters
    #[arg(long, env = "COPYDESK_MENTIONS")]
    pub mentions: bool,

    #[command(flatten)]
    pub engine: EngineArgs,
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
            format!("--engine={}", self.engine.engine),
        ];
        if self.mentions {
            args.push("--mentions".to_owned());
        }
        if let Some(model) = &self.engine.model {
            args.push(format!("--model={}", model.display()));
        }
        args
    }
}

/// Reads `250ms`, `2s`, `1.5s`, `5m`, `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time is a number with a unit: 250ms, 2s, 5m or 1h".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| format!("{number:?} is not a number"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("5").is_err() && duration("s").is_err() && duration("-1s").is_err());
    }
}
