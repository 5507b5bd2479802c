//! The server: accepts connections and ends them. One task reads and one writes for each; no thread waits for anybody.
//!
//! Every address has places of its own, so that whoever fills one leaves the others free. Those who have not said who
//! they are take none of them: they wait at the door, and when too many stand there the first to have come is sent
//! away. A client that knows the secret needs one round trip there, so a crowd that says nothing does not keep it out.

mod connection;
mod listener;
mod login;
mod outgoing;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::manager::Manager;
use crate::secret::Secret;
use crate::server::connection::{Door, Host};
use crate::server::listener::Accepted;
use crate::server::login::Grumbler;

pub use crate::server::listener::Listener;

/// For so many places there is room for one at the door.
const PLACES_PER_STRANGER: usize = 4;
/// Bytes of requests that are not answered yet, of all connections.
const HELD_BYTES_MAX: usize = 256 << 20;
/// Pause when the system has no more file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How often an idle listener is looked after.
const HEAL_EVERY: Duration = Duration::from_secs(1);
/// How long connections may take to end when the server ends.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Serves a manager on these listeners until `shutdown` resolves. Leases that are held then are given back, and count
/// for nothing.
pub async fn serve(
    manager: Manager,
    listeners: Vec<Listener>,
    secret: Option<Secret>,
    shutdown: impl Future<Output = ()>,
) {
    let (end, ended) = watch::channel(());
    let host = Arc::new(Host {
        shared: Arc::clone(&manager.shared),
        manager,
        secret,
        memory: Arc::new(Semaphore::new(HELD_BYTES_MAX)),
        grumbler: Grumbler::default(),
        ended,
    });
    let (is_open, mut all_ended) = mpsc::channel(1);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept_all(Arc::clone(&host), listener, is_open.clone()));
    }
    shutdown.await;
    accepting.shutdown().await;
    drop((end, is_open, host));
    // Every connection holds a sender.
    if tokio::time::timeout(END_WITHIN, all_ended.recv()).await.is_err() {
        tracing::warn!("connections are left that did not end in time");
    }
}

async fn accept_all(host: Arc<Host>, mut listener: Listener, is_open: mpsc::Sender<()>) {
    let places_max = host.shared.settings.connections_max.max(1);
    let strangers_max = (places_max / PLACES_PER_STRANGER).max(1);
    let places = Arc::new(Semaphore::new(places_max));
    let sockets = Arc::new(Semaphore::new(places_max + strangers_max));
    let mut strangers: VecDeque<oneshot::Sender<()>> = VecDeque::new();
    loop {
        let accepted = match tokio::time::timeout(HEAL_EVERY, listener.accept()).await {
            Ok(Ok(accepted)) => accepted,
            Err(_) => {
                if let Err(error) = listener.heal().await {
                    host.grumbler.grumble("heal", |again| tracing::error!(%error, again, "nobody can connect"));
                }
                continue;
            }
            Ok(Err(error)) => {
                host.grumbler.grumble("accept", |again| {
                    tracing::warn!(address = %listener.address(), %error, again, "a connection can't be accepted");
                });
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        if strangers.len() >= strangers_max {
            strangers.retain(|stranger| !stranger.is_closed());
        }
        if strangers.len() >= strangers_max {
            host.grumbler.grumble("strangers", |again| {
                let address = listener.address();
                tracing::warn!(%address, again, "too many connections say nothing; the oldest is closed");
            });
            strangers.pop_front();
        }
        // Those who were sent away have theirs until they are gone, so there are never more sockets than were counted on.
        let Ok(socket) = Arc::clone(&sockets).acquire_owned().await else { return };
        let (stranger, sent_away) = oneshot::channel();
        strangers.push_back(stranger);
        let door = Door { sent_away, places: Arc::clone(&places), places_max };
        let (host, open) = (Arc::clone(&host), (is_open.clone(), socket));
        match accepted {
            Accepted::Tcp(stream, peer) => {
                let (reader, writer) = stream.into_split();
                spawn(host, reader, writer, peer, door, open);
            }
            Accepted::Unix(stream) => {
                let (reader, writer) = stream.into_split();
                spawn(host, reader, writer, "this machine".to_owned(), door, open);
            }
        }
    }
}

/// What a connection holds until it is closed.
type Open = (mpsc::Sender<()>, OwnedSemaphorePermit);

fn spawn<R, W>(host: Arc<Host>, reader: R, writer: W, peer: String, door: Door, open: Open)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        connection::run(host, reader, writer, peer, door).await;
        drop(open);
    });
}
