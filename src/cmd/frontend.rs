//! `copydesk frontend`: the HTTP edge: takes posts, puts them on the queue, answers queries.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend::drain::SAME_WITHIN;
use backend::preflight;
use common::Findings;
use frontend::{Limits, Settings};
use nix::sys::signal::Signal;
use queue::{Client, ClientSettings, Secret};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use store::Target;
use tokio::sync::watch;

use super::descriptors;
use super::http::{Http, HttpArgs, bind};
use super::shared::{DataArgs, SecretArgs};
use crate::failure::Failure;

/// How long a put waits for a backend that is away, which is what a restart of it takes; after that it is a 503.
const RECONNECT_FOR: Duration = Duration::from_secs(5);

/// File descriptors beside those of clients: the queue, what reads the store, the runtime.
const OTHER_DESCRIPTORS: u64 = 64;

/// Threads for what blocks: reads of the store, and posts that are so large that checking them does.
const BLOCKING_THREADS: usize = 16;

/// Arguments of `copydesk frontend`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  copydesk frontend
  copydesk frontend --listen 127.0.0.1:8080 --queue tcp://10.0.0.5:50000 --queue-secret-file /etc/copydesk/secret

SIGTERM or Ctrl-C: no new connections; requests that have begun are answered; exit code 0. A second one does not wait.")]
pub struct Args {
    #[command(flatten)]
    http: HttpArgs,

    #[command(flatten)]
    secret: SecretArgs,

    #[command(flatten)]
    data: DataArgs,

    /// Stop when this process, which started this one, dies
    #[arg(long, value_name = "PID", hide = true)]
    parent: Option<u32>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    if let Some(parent) = args.parent {
        backend::child::die_with_parent(parent, Signal::SIGTERM).map_err(Failure::new)?;
    }
    let limits = limits();
    let stops = stops().map_err(Failure::new)?;
    let mut found = Findings::default();
    let Http { listen, queue: address, threads, address_file, .. } = args.http.resolve(&args.data.data_dir, &mut found);
    let (secret, target) = check(&args.secret, &args.data, &mut found);
    let listener = bind(&listen, &mut found);
    let (Some(target), Some(listener), true) = (target, listener, found.is_sound()) else {
        return Err(Failure::settings(found));
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(threads))
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("frontend")
        .enable_all()
        .build()
        .map_err(Failure::new)?;

    let bound = listener.local_addr().map_err(Failure::new)?;
    tracing::info!(%bound, queue = %address, store = %target, "the frontend listens");
    if let Some(path) = &address_file {
        write_whole(path, &format!("{bound}\n"))
            .map_err(|error| Failure::settings(format!("can't write --address-file {}: {error}", path.display())))?;
    }

    let served = runtime.block_on(async {
        let name = format!("frontend {}", std::process::id());
        let client = Client::new_lazy(ClientSettings { address, secret, name, reconnect_for: RECONNECT_FOR });
        let store = Arc::new(move || target.reader());
        let settings = Settings { queue: Arc::new(client), store, limits };
        let graceful = frontend::run(listener, settings, reached(stops.clone(), 1));
        tokio::select! {
            served = graceful => served,
            () = reached(stops, 2) => Ok(()),
        }
    });
    // A read of the store that still runs has nobody left to answer.
    runtime.shutdown_background();
    tracing::info!("the frontend ends");
    served.map_err(Failure::new)
}

/// What a frontend needs beside its addresses. It only reads the store, which may come later.
fn check(secret: &SecretArgs, data: &DataArgs, found: &mut Findings) -> (Option<Secret>, Option<Target>) {
    let secret = preflight::secret(secret.queue_secret_file.as_deref(), found);
    let target = Target::parse(&data.store, &data.data_dir);
    (secret, target.map_err(|error| found.problem("unknown_store", error)).ok())
}

/// As many connections as there may be file descriptors for.
fn limits() -> Limits {
    let limits = Limits::default();
    let connections_max = descriptors::for_connections(limits.connections_max as u64, OTHER_DESCRIPTORS).max(1);
    Limits { connections_max, ..limits }
}

/// Whoever waits for the file finds all of it.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", std::process::id()));
    std::fs::write(&unfinished, text)?;
    std::fs::rename(&unfinished, path)
}

/// Counts the signals that ask this process to stop.
fn stops() -> io::Result<watch::Receiver<u32>> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (count, stops) = watch::channel(0);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut first = None;
        for _ in signals.forever() {
            if first.get_or_insert_with(Instant::now).elapsed() >= SAME_WITHIN || *count.borrow() == 0 {
                count.send_modify(|count| *count += 1);
            }
        }
    })?;
    Ok(stops)
}

async fn reached(mut stops: watch::Receiver<u32>, count: u32) {
    // The sender lives in a thread that never ends.
    let _ = stops.wait_for(|stops| *stops >= count).await;
}
