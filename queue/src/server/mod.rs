//! The server: accepts connections and ends them. One task reads and one writes for each; no thread waits for anybody.

mod connection;
mod listener;
mod login;
mod outgoing;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::manager::Manager;
use crate::secret::Secret;
use crate::server::connection::Host;
use crate::server::listener::Accepted;
use crate::server::login::Grumbler;

pub use crate::server::listener::Listener;

/// Connections at once.
const CONNECTIONS_MAX: usize = 1024;
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
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept_all(Arc::clone(&host), listener, Arc::clone(&places)));
    }
    shutdown.await;
    accepting.shutdown().await;
    drop(end);
    // When every place is free again, every connection has ended.
    let all = places.acquire_many(CONNECTIONS_MAX as u32);
    if tokio::time::timeout(END_WITHIN, all).await.is_err() {
        tracing::warn!("connections are left that did not end in time");
    }
}

async fn accept_all(host: Arc<Host>, mut listener: Listener, places: Arc<Semaphore>) {
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
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            host.grumbler.grumble("places", |again| {
                tracing::warn!(connections = CONNECTIONS_MAX, again, "a connection is refused: there are too many");
            });
            continue;
        };
        let host = Arc::clone(&host);
        match accepted {
            Accepted::Tcp(stream, peer) => {
                let (reader, writer) = stream.into_split();
                spawn(host, reader, writer, peer, place);
            }
            Accepted::Unix(stream) => {
                let (reader, writer) = stream.into_split();
                spawn(host, reader, writer, "this machine".to_owned(), place);
            }
        }
    }
}

fn spawn<R, W>(host: Arc<Host>, reader: R, writer: W, peer: String, place: tokio::sync::OwnedSemaphorePermit)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        connection::run(host, reader, writer, peer).await;
        drop(place);
    });
}
