//! `copydesk backend`: the queue manager, and the supervisor of workers and savers.

use std::path::PathBuf;

use backend::BackendError;
use common::exit;
use nix::sys::signal::Signal;
use queue::Address;

use super::descriptors;
use super::shared::{DataArgs, PipelineArgs};
use crate::failure::Failure;

/// Connections to the queue, on each address it listens on, those included that have not said who they are.
const CONNECTIONS_MAX: u64 = 1_280;
/// File descriptors of the runtime, the log and the store.
const OTHER_DESCRIPTORS: u64 = 64;
/// File descriptors for each child: its control channel, and its queue.
const DESCRIPTORS_PER_CHILD: u64 = 8;
/// Bytes of the log for each file of it; half of them may be settled and not removed yet.
const BYTES_PER_DESCRIPTOR: u64 = 32 << 20;

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
    let queue_listen = listen(&args.queue_listen)?;
    let settings = backend::Settings {
        connections_max: connections_max(&args.pipeline, 1 + queue_listen.len() as u64),
        queue_listen,
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

/// Connections on each address, of those that have said who they are: as many as there may be file descriptors for, but
/// always enough for the children and some clients.
fn connections_max(args: &PipelineArgs, addresses: u64) -> usize {
    let children = args.workers() + usize::from(args.savers);
    let segments = args.queue.posts_bytes_max / BYTES_PER_DESCRIPTOR;
    let others = OTHER_DESCRIPTORS + children as u64 * DESCRIPTORS_PER_CHILD + segments;
    let connections = descriptors::for_connections(CONNECTIONS_MAX * addresses, others) / addresses as usize;
    // One in five is for those at the door.
    (connections / 5 * 4).max(children + 8)
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
