//! `copydesk backend`: the queue manager, and the supervisor of workers and savers.

use backend::{BackendError, Settings};
use common::{Findings, exit};
use nix::sys::signal::Signal;
use queue::{Address, AddressError};

use super::descriptors;
use super::given::{Given, parsed};
use super::pipeline::{Pipeline, PipelineArgs};
use super::shared::{DataArgs, SecretArgs};
use crate::failure::Failure;

/// Connections to the queue, on each address it listens on, those included that have not said who they are.
const CONNECTIONS_MAX: u64 = 1_280;
/// File descriptors of the runtime, the log and the store.
const OTHER_DESCRIPTORS: u64 = 64;
/// File descriptors for each child: its control channel, and its queue.
const DESCRIPTORS_PER_CHILD: u64 = 8;
/// Bytes of the log for each file of it; half of them may be settled and not removed yet.
const BYTES_PER_DESCRIPTOR: u64 = 32 << 20;

/// Where the queue listens if nobody says where.
const QUEUE_LISTEN: &str = "127.0.0.1:50000";

/// Where the queue listens, as it is given.
#[derive(clap::Args, Debug, Clone)]
pub struct QueueListenArgs {
    /// Where the queue listens beside its Unix socket `DIR/queue.sock`: tcp://HOST:PORT, or `none` [default:
    /// tcp://127.0.0.1:50000]
    #[arg(long, value_name = "ADDR", env = "COPYDESK_QUEUE_LISTEN", value_parser = parsed(Vec::new(), addresses))]
    queue_listen: Option<Given<Vec<Address>>>,
}

/// Arguments of `copydesk backend`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  copydesk backend --data-dir /var/lib/copydesk --workers 14 --savers 15

SIGTERM or Ctrl-C drains: posts are refused, what is queued is finished, then everything ends with exit code 0.
A second one skips the draining; what is unfinished stays on disk and is resumed at the next start.")]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    listen: QueueListenArgs,

    #[command(flatten)]
    secret: SecretArgs,

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
    let mut found = Findings::default();
    let mut settings = settings(&args.data, &args.listen, &args.secret, &args.pipeline, &mut found)?;
    settings.connections_max = connections_max(&settings);
    backend::host::run(settings, found).map_err(|error| match &error {
        BackendError::DiskFailed(_) => Failure::with_code(exit::DISK, error),
        BackendError::Start(_) => Failure::new(error),
        _ => Failure::settings(error),
    })
}

/// What a backend is told by its arguments; what is wrong with them is noted.
pub(super) fn settings(
    data: &DataArgs,
    listen: &QueueListenArgs,
    secret: &SecretArgs,
    pipeline: &PipelineArgs,
    found: &mut Findings,
) -> Result<Settings, Failure> {
    let Pipeline { workers, savers, drain_timeout, max_deliveries, stuck_after, worker, queue } =
        pipeline.resolve(found);
    Ok(Settings {
        queue_listen: listen.resolve(found),
        connections_max: 0,
        secret_file: secret.queue_secret_file.clone(),
        workers,
        savers,
        store: data.store.clone(),
        worker,
        drain_timeout,
        max_deliveries,
        stuck_after,
        queue,
        data_dir: data.data_dir.clone(),
        program: std::env::current_exe().map_err(Failure::new)?,
    })
}

/// Connections on each address, of those that have said who they are: as many as there may be file descriptors for, but
/// always enough for the children and some clients.
fn connections_max(settings: &Settings) -> usize {
    let addresses = 1 + settings.queue_listen.len() as u64;
    let children = settings.workers + settings.savers;
    let segments = settings.queue.posts_bytes_max / BYTES_PER_DESCRIPTOR;
    let others = OTHER_DESCRIPTORS + children as u64 * DESCRIPTORS_PER_CHILD + segments;
    let connections = descriptors::for_connections(CONNECTIONS_MAX * addresses, others) / addresses as usize;
    // One in five is for those at the door.
    (connections / 5 * 4).max(children + 8)
}

impl QueueListenArgs {
    /// Whether somebody said where.
    pub fn is_given(&self) -> bool {
        self.queue_listen.is_some()
    }

    /// What is meant; what is wrong is noted.
    fn resolve(&self, found: &mut Findings) -> Vec<Address> {
        match &self.queue_listen {
            Some(given) => given.take("--queue-listen", found),
            None => vec![Address::Tcp(QUEUE_LISTEN.to_owned())],
        }
    }
}

fn addresses(text: &str) -> Result<Vec<Address>, String> {
    if text == "none" {
        return Ok(Vec::new());
    }
    // The design writes plain HOST:PORT where only TCP makes sense.
    let text =
        if text.contains("://") || text.starts_with("unix:") { text.to_owned() } else { format!("tcp://{text}") };
    text.parse().map(|address| vec![address]).map_err(|error: AddressError| error.to_string())
}
