//! `copydesk backend`: the queue manager, and the supervisor of workers and savers.

use std::path::PathBuf;

use backend::BackendError;
use common::exit;
use nix::sys::signal::Signal;
use queue::Address;

use super::shared::{DataArgs, PipelineArgs};
use crate::failure::Failure;

/// Arguments of `copydesk backend`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  copydesk backend --data-dir /var/lib/copydesk --workers 14 --savers 15

SIGTERM or Ctrl-C drains: posts are refused, what is queued is finished, then everything ends with exit code 0.
A second one skips the draining; what is unfinished stays on disk and is resumed at the next start.")]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,

    /// Where the queue listens beside its Unix socket `DIR/queue.sock`: tcp://HOST:PORT, or `none`
    #[arg(long, value_name = "ADDR", env = "COPYDESK_QUEUE_LISTEN", default_value = "tcp://127.0.0.1:50000")]
    queue_listen: String,

    /// File with the secret that both sides of the queue share; needed where others can reach the queue
    #[arg(long, value_name = "FILE", env = "COPYDESK_QUEUE_SECRET_FILE")]
    queue_secret_file: Option<PathBuf>,

    #[command(flatten)]
    pipeline: PipelineArgs,

    /// Drain when this process, which started this one, dies
    #[arg(long, value_name = "PID", hide = true)]
    parent: Option<u32>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    if let Some(parent) = args.parent {
        backend::child::die_with_parent(parent, Signal::SIGTERM).map_err(Failure::new)?;
    }
    let settings = backend::Settings {
        queue_listen: listen(&args.queue_listen)?,
        secret_file: args.queue_secret_file,
        workers: args.pipeline.workers(),
        savers: usize::from(args.pipeline.savers),
        store: args.data.store,
        worker: args.pipeline.worker_settings(),
        drain_timeout: args.pipeline.drain_timeout,
        max_deliveries: args.pipeline.max_deliveries,
        stuck_after: args.pipeline.stuck_after,
        queue: args.pipeline.queue.bounds(),
        data_dir: args.data.data_dir,
        program: std::env::current_exe().map_err(Failure::new)?,
    };
    backend::host::run(settings).map_err(|error| match &error {
        BackendError::DiskFailed(_) => Failure::with_code(exit::DISK, error),
        BackendError::Start(_) => Failure::new(error),
        _ => Failure::settings(error),
    })
}

fn listen(text: &str) -> Result<Vec<Address>, Failure> {
    if text == "none" {
        return Ok(Vec::new());
    }
    // The design writes plain HOST:PORT where only TCP makes sense.
    let text =
        if text.contains("://") || text.starts_with("unix:") { text.to_owned() } else { format!("tcp://{text}") };
    text.parse().map(|address| vec![address]).map_err(|error| Failure::usage(format!("--queue-listen: {error}")))
}
