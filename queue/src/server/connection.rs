//! The reading half of a connection: takes requests in their order, and sees when the other side is gone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::api::{QueueError, QueueId};
use crate::core::Connection;
use crate::core::answer::{Answer, Held, Outgoing, Reply};
use crate::core::commands::ITEM_BYTES_MAX;
use crate::core::leases::{End, LEASE_BYTES_MAX};
use crate::manager::{Manager, Shared};
use crate::secret::Secret;
use crate::server::login::{Grumbler, Known, login, refuse, welcome};
use crate::server::outgoing;
use crate::wire::FRAME_BYTES_MAX;
use crate::wire::frames::{Frame, FrameError, FrameReader};
use crate::wire::handshake::{HANDSHAKE_BYTES_MAX, Welcome};
use crate::wire::requests::{Request, decode};

/// How long the handshake may take.
const LOGIN_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of requests of one connection that are not answered yet: a few large ones, or many small ones.
const HELD_BYTES_MAX: usize = FRAME_BYTES_MAX + (16 << 20);
/// What the smallest request counts for.
const REQUEST_BYTES_MIN: usize = 1024;
/// A lease is answered by then, whatever it asked for: what is noted of it is kept until its time is over.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long answers to an ended connection may take to be written.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// What all connections share.
pub(crate) struct Host {
    pub(crate) shared: Arc<Shared>,
    /// Keeps the manager open while connections are.
    pub(crate) manager: Manager,
    pub(crate) secret: Option<Secret>,
    pub(crate) memory: Arc<Semaphore>,
    pub(crate) grumbler: Grumbler,
    /// Closed when the server ends.
    pub(crate) ended: watch::Receiver<()>,
}

/// Leases that wait, by when they end.
type Waits = BinaryHeap<Reverse<(Instant, u8, u64)>>;

struct Incoming<R> {
    host: Arc<Host>,
    connection: Connection,
    reader: FrameReader<R>,
    answers: UnboundedSender<Outgoing>,
    memory: Arc<Semaphore>,
    waits: Waits,
}

/// Where a connection waits until it is known who is there.
pub(crate) struct Door {
    /// Resolves when others need the room.
    pub(crate) sent_away: oneshot::Receiver<()>,
    /// Inside.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) places_max: usize,
}

/// Serves one connection until it ends.
pub(crate) async fn run<R, W>(host: Arc<Host>, reader: R, mut writer: W, peer: String, door: Door)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let mut reader = FrameReader::new(reader, HANDSHAKE_BYTES_MAX);
    let Door { mut sent_away, places, places_max } = door;
    let mut ended = host.ended.clone();
    let admitted = tokio::select! {
        admitted = admit(&host, &mut reader, &mut writer, &peer) => admitted,
        _ = ended.changed() => return,
        _ = &mut sent_away => return,
    };
    let Some(known) = admitted else { return };
    // Known from here on: the room at the door is somebody else's.
    drop(sent_away);
    let Ok(_place) = places.try_acquire_owned() else {
        host.grumbler.grumble("places", |again| {
            tracing::warn!(peer, connections = places_max, again, "a connection is refused: there are too many");
        });
        return;
    };
    serve(host, reader, writer, known, peer).await;
}

/// Finds out who is there, within the time for that; nobody if the connection is to end.
async fn admit<R, W>(host: &Host, reader: &mut FrameReader<R>, writer: &mut W, peer: &str) -> Option<Known>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    match timeout(LOGIN_WITHIN, login(reader, writer, host.secret.as_ref())).await {
        Ok(Ok(known)) => known,
        // A look whether somebody listens here, such as a health check: it went away while it was greeted.
        Ok(Err(QueueError::Disconnected(_))) => None,
        Ok(Err(error)) => {
            host.grumbler.grumble(peer, |again| tracing::warn!(peer, %error, again, "a connection is refused"));
            let _ = timeout(LOGIN_WITHIN, refuse(writer, &error)).await;
            None
        }
        Err(_) => {
            host.grumbler.grumble(peer, |again| tracing::warn!(peer, again, "a connection said nothing in time"));
            None
        }
    }
}

async fn serve<R, W>(host: Arc<Host>, reader: FrameReader<R>, mut writer: W, known: Known, peer: String)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (connection, session, sent) = host.shared.core().begin_session();
    let Known { name, proof } = known;
    let lease_timeout_ms = u32::try_from(host.shared.settings.lease_timeout.as_millis()).unwrap_or(u32::MAX);
    let (frame_bytes_max, item_bytes_max) = (FRAME_BYTES_MAX as u32, ITEM_BYTES_MAX);
    let own = Welcome { proof, session, lease_timeout_ms, frame_bytes_max, item_bytes_max };
    if !matches!(timeout(LOGIN_WITHIN, welcome(&mut writer, &own)).await, Ok(Ok(()))) {
        host.shared.step(|core| core.end_session(connection, End::Released));
        return;
    }
    tracing::debug!(name, peer, connection, "connected");
    let (answers, outgoing) = unbounded_channel();
    let mut writing = tokio::spawn(outgoing::run(Arc::clone(&host.shared), connection, outgoing, sent, writer));
    let memory = Arc::new(Semaphore::new(HELD_BYTES_MAX));
    let mut ended = host.ended.clone();
    let mut incoming = Incoming { host: Arc::clone(&host), connection, reader, answers, memory, waits: Waits::new() };
    let (end, is_written) = tokio::select! {
        end = incoming.run() => (end, false),
        _ = &mut writing => (End::Lost, true),
        _ = ended.changed() => (End::Released, false),
    };
    let pauses = host.shared.step(|core| core.end_session(connection, end));
    tracing::debug!(name, peer, connection, ?end, "disconnected");
    let began = Instant::now();
    drop(incoming);
    if !is_written && timeout(FLUSH_WITHIN, &mut writing).await.is_err() {
        writing.abort();
    }
    for pause in pauses {
        if timeout_at(began + pause.time, ended.changed()).await.is_ok() {
            // The server ends, and nobody is left to be given anything.
            return;
        }
        host.shared.step(|core| core.end_pause(pause));
    }
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    async fn run(&mut self) -> End {
        let silence_max = self.host.shared.settings.lease_timeout;
        let mut silent_at = Instant::now() + silence_max;
        let mut received = self.reader.received;
        let mut proven_at = Some(Instant::now() + self.host.shared.settings.proven_after);
        loop {
            if proven_at.take_if(|at| *at <= Instant::now()).is_some() {
                self.host.shared.step(|core| core.prove(self.connection));
            }
            let wait_ends = self.waits.peek().map_or(silent_at, |Reverse((at, ..))| (*at).min(silent_at));
            let wait_ends = proven_at.map_or(wait_ends, |at| at.min(wait_ends));
            let next = timeout_at(wait_ends, self.reader.next()).await;
            let now = Instant::now();
            if self.reader.received != received {
                received = self.reader.received;
                silent_at = now + silence_max;
            }
            self.end_waits(now);
            match next {
                Ok(Ok(Some(frame))) => match self.take(frame, silence_max).await {
                    Ok(()) => {}
                    Err(end) => return end,
                },
                Ok(Ok(None)) => return End::Lost,
                Ok(Err(error)) => {
                    if let FrameError::Length(bytes, max) = error {
                        self.reply(0, None).send(Answer::Failed(QueueError::TooLarge { bytes, max }));
                    }
                    return End::Lost;
                }
                Err(_) if now >= silent_at => {
                    tracing::warn!(connection = self.connection, "a connection fell silent; its leases are lost");
                    return End::Lost;
                }
                Err(_) => {}
            }
        }
    }

    fn end_waits(&mut self, now: Instant) {
        while let Some(Reverse((at, queue, request))) = self.waits.peek().copied()
            && at <= now
        {
            self.waits.pop();
            self.host.shared.core().expire(self.connection, QueueId(queue), request);
        }
    }

    fn reply(&self, request: u64, held: Option<Held>) -> Reply {
        Reply { request, to: self.answers.clone(), held }
    }

    /// Carries out one request, or begins to. The error is how the connection ends.
    async fn take(&mut self, frame: Frame, patience: Duration) -> Result<(), End> {
        let holding = hold(Arc::clone(&self.memory), Arc::clone(&self.host.memory), frame.body.len());
        // The manager was too slow, not the other side: nobody is blamed.
        let Ok(held) = timeout(patience, holding).await else { return Err(End::Released) };
        let reply = self.reply(frame.request, held);
        let shared = &self.host.shared;
        let deduplicates =
            |queue: QueueId| shared.settings.queues.iter().any(|settings| settings.id == queue && settings.deduplicate);
        let request = match decode(&frame, &deduplicates) {
            Ok(request) => request,
            Err(error) => {
                reply.send(Answer::Failed(QueueError::Protocol(error.to_owned())));
                return Err(End::Lost);
            }
        };
        let connection = self.connection;
        match request {
            Request::Put { queue, new } => shared.step(|core| {
                shared.check_space_sometimes(core);
                core.put(queue, new, reply);
            }),
            Request::Lease { queue, want } => {
                if shared.step(|core| core.lease(connection, queue, want, reply)) {
                    let wait = want.wait.min(WAIT_MAX);
                    self.waits.push(Reverse((Instant::now() + wait, queue.0, frame.request)));
                }
            }
            Request::Settle { queue, session, seqs, outputs } => {
                shared.step(|core| core.settle(connection, (queue, session), seqs, outputs, reply));
            }
            Request::Release { queue, session, seqs } => {
                shared.step(|core| core.release(connection, queue, session, seqs, reply));
            }
            Request::Bury { queue, session, seq, reason } => {
                shared.step(|core| core.bury(connection, (queue, session), seq, &reason, reply));
            }
            Request::Stats => reply.send(Answer::Stats(Box::new(self.host.manager.stats()))),
            Request::DeadLetters { after, items_max } => {
                shared.core().dead_letters(after, items_max, u64::from(LEASE_BYTES_MAX), reply);
            }
            Request::RetryDead { queue, seq } => shared.step(|core| core.raise_dead(queue, seq, true, reply)),
            Request::DropDead { queue, seq } => shared.step(|core| core.raise_dead(queue, seq, false, reply)),
            Request::Ping => reply.send(Answer::Done),
            Request::Bye => {
                // Its leases are given back before it hears that they are.
                shared.step(|core| core.end_session(connection, End::Released));
                reply.send(Answer::Done);
                return Err(End::Released);
            }
        }
        Ok(())
    }
}

/// Waits until there is memory for a request: a client that sends faster than it is served is not read.
async fn hold(own: Arc<Semaphore>, all: Arc<Semaphore>, bytes: usize) -> Option<Held> {
    let bytes = bytes.max(REQUEST_BYTES_MIN) as u32;
    let own = own.acquire_many_owned(bytes).await.ok()?;
    let all = all.acquire_many_owned(bytes).await.ok()?;
    Some(Arc::new((own, all)) as Arc<(OwnedSemaphorePermit, OwnedSemaphorePermit)>)
}
