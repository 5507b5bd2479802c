//! `copydesk frontend`: the HTTP edge: takes posts, puts them on the queue, answers queries.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use frontend::{Limits, Settings};
use nix::sys::signal::Signal;
use queue::{Address, Client, ClientSettings, Secret};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::watch;

use super::descriptors;
use super::shared::DataArgs;
use crate::failure::Failure;

/// How long a put waits for a backend that is away, which is what a restart of it takes; after that it is a 503.
const RECONNECT_FOR: Duration = Duration::from_secs(5);

/// File descriptors beside those of clients: the queue, what reads the store, the runtime.
const OTHER_DESCRIPTORS: u64 = 64;

/// Arguments of `copydesk frontend`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  copydesk frontend
  copydesk frontend --listen 127.0.0.1:8080 --queue tcp://10.0.0.5:50000 --queue-secret-file /etc/copydesk/secret

SIGTERM or Ctrl-C: no new connections; requests that have begun are answered; exit code 0. A second one does not wait.")]
pub struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "COPYDESK_LISTEN", default_value = "127.0.0.1:8080")]
    listen: String,

    /// The backend's queue: unix:PATH or tcp://HOST:PORT [default: unix:DIR/queue.sock in the data directory]
    #[arg(long, value_name = "ADDR", env = "COPYDESK_QUEUE")]
    queue: Option<Address>,

    /// File with the secret that both sides of the queue share
    #[arg(long, value_name = "FILE", env = "COPYDESK_QUEUE_SECRET_FILE")]
    queue_secret_file: Option<PathBuf>,

    #[command(flatten)]
    data: DataArgs,

    /// Threads that serve
    #[arg(long, value_name = "N", env = "COPYDESK_FRONTEND_THREADS", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,

    /// Write the address that was bound to this file, once it is
    #[arg(long, value_name = "PATH")]
    address_file: Option<PathBuf>,

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
    let data_dir = &args.data.data_dir;
    let target = args.data.target()?;
    let secret = args.queue_secret_file.as_ref().map(Secret::from_file).transpose().map_err(Failure::settings)?;
    let address = args.queue.unwrap_or_else(|| backend::host::socket(data_dir));
    let stops = stops().map_err(Failure::new)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(args.threads))
        .thread_name("frontend")
        .enable_all()
        .build()
        .map_err(Failure::new)?;

    let listener = bind(&args.listen)?;
    let bound = listener.local_addr().map_err(Failure::new)?;
    tracing::info!(%bound, queue = %address, store = %target, "the frontend listens");
    if let Some(path) = &args.address_file {
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

/// As many connections as there may be file descriptors for.
fn limits() -> Limits {
    let limits = Limits::default();
    let connections_max = descriptors::for_connections(limits.connections_max as u64, OTHER_DESCRIPTORS).max(1);
    Limits { connections_max, ..limits }
}

/// Binds an address that only this machine can reach.
pub(super) fn bind(listen: &str) -> Result<TcpListener, Failure> {
    let unusable = |error: io::Error| {
        Failure::settings(format!("--listen {listen:?} can't be used: {error}; give HOST:PORT, such as 127.0.0.1:8080"))
    };
    let addresses: Vec<SocketAddr> = listen.to_socket_addrs().map_err(unusable)?.collect();
    if addresses.iter().any(|address| !address.ip().is_loopback()) {
        return Err(Failure::settings(format!(
            "--listen {listen} can be reached by other machines, and there are no access tokens yet; listen on \
             127.0.0.1:PORT, and put a proxy that checks who is asking in front of it"
        )));
    }
    TcpListener::bind(&addresses[..]).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => Failure::settings(format!(
            "--listen {listen}: another program listens there, perhaps another copydesk; stop it, or choose another \
             port (0 takes a free one)"
        )),
        _ => unusable(error),
    })
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
        for _ in signals.forever() {
            count.send_modify(|count| *count += 1);
        }
    })?;
    Ok(stops)
}

async fn reached(mut stops: watch::Receiver<u32>, count: u32) {
    // The sender lives in a thread that never ends.
    let _ = stops.wait_for(|stops| *stops >= count).await;
}
