//! Connections: how many, how long, and how they end.
//!
//! Every connection is a task. Beyond the limit, connections wait in the operating system's queue until others end. A
//! client has limited time for the head of a request and between requests; bodies are timed in [`crate::body`], and
//! answers that nobody reads in [`crate::stream`]. When the edge stops, idle connections are closed at once and others
//! after the answer they wait for.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower_service::Service;

use crate::edge::Edge;
use crate::routes::router;
use crate::settings::Settings;
use crate::stream::Patient;

/// What one connection reads at a time. It keeps twice that while it is idle, once a large body has come, so more would be
/// much for thousands; with four times that a body costs a tenth less.
const BUFFER_BYTES: usize = 32 << 10;

/// How long, and for how many bytes, a connection that is closed before its request was read is still listened to.
/// Closing it at once would make the operating system reset it, and the client might never see the answer.
const LINGER: Duration = Duration::from_secs(2);
/// See [`LINGER`].
const LINGER_BYTES: usize = 16 << 20;

/// Serves until `shutdown` completes and what was begun then has ended, or its time is over.
pub async fn run(
    listener: std::net::TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let limits = settings.limits.clone();
    let router = router(Arc::new(Edge::new(settings)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(BUFFER_BYTES);

    let places = Arc::new(Semaphore::new(limits.connections_max));
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut full = false;
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let now_full = places.available_permits() == 0;
        if now_full && !full {
            tracing::warn!(connections = limits.connections_max, "no more connections are taken until some end");
        }
        full = now_full;
        let accepted = async {
            let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((listener.accept().await?.0, place))
        };
        let (stream, place) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: it gets better only when connections end.
                    tracing::warn!(%error, "can't take a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        // Answers are written in one piece; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let (http, router, stopping) = (http.clone(), router.clone(), stopping.clone());
        let write_timeout = limits.answer_timeout;
        connections.spawn(async move {
            serve(Patient::new(stream, write_timeout), &http, router, stopping).await;
            drop(place);
        });
    }

    drop(listener);
    let _ = stop.send(true);
    let ended = timeout(limits.drain_timeout, async { while connections.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!(connections = connections.len(), "connections are cut off: their requests did not end in time");
    }
    Ok(())
}

async fn serve(stream: Patient, http: &http1::Builder, router: Router, mut stopping: watch::Receiver<bool>) {
    let may_be_unread = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request: Request<Incoming>| {
        let has_body = !request.body().is_end_stream();
        let answer = router.clone().call(request);
        let may_be_unread = may_be_unread.clone();
        Box::pin(async move {
            let answer = answer.await.unwrap_or_else(|never| match never {});
            may_be_unread.store(has_body && !answer.status().is_success(), Ordering::Relaxed);
            Ok::<_, Infallible>(answer)
        })
    });
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let stopped = async { stopping.wait_for(|stopping| *stopping).await.is_ok() };
    let served = tokio::select! {
        served = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(served),
        _ = stopped => None,
    };
    let served = match served {
        Some(served) => served,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    if let Err(error) = served {
        // Clients go away in many ways, all of them their own affair.
        tracing::debug!(%error, "a connection broke off");
    }
    let stream = connection.into_parts().io.into_inner().into_inner();
    if may_be_unread.load(Ordering::Relaxed) {
        linger(stream).await;
    }
}

async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut scrap = vec![0; 16 << 10];
    let mut bytes_left = LINGER_BYTES;
    let drained = timeout(LINGER, async {
        while let Ok(count @ 1..) = stream.read(&mut scrap).await {
            bytes_left = bytes_left.saturating_sub(count);
            if bytes_left == 0 {
                return;
            }
        }
    });
    // Whether the client was done in time makes no difference.
    let _ = drained.await;
}
