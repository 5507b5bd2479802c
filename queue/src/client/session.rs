//! One connection of a client, from the handshake to its end: sends calls, and brings every answer to its caller.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::api::{Leased, QueueError, QueueId};
use crate::client::ClientSettings;
use crate::secret::{Role, nonce, proof, verify};
use crate::wire::frames::{Frame, FrameError, FrameReader, frame, write_all};
use crate::wire::handshake::{Hello, Login, VERSION, Welcome};
use crate::wire::replies::{check, decode_leased};
use crate::wire::requests::encode_release;
use crate::wire::{FRAME_BYTES_MAX, op};

type Reader = FrameReader<Box<dyn AsyncRead + Send + Unpin>>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Calls written at once.
const CALLS_MAX: usize = 64;
/// Bytes of calls that were handed over and not written yet. Those whose caller has gone are among them: while a manager
/// does not read, callers that give up and come again must not fill the memory.
const UNWRITTEN_BYTES_MAX: usize = 32 << 20;
/// How long a good-bye may take.
const BYE_WITHIN: Duration = Duration::from_secs(1);
/// Pings in the time that the manager bears silence.
const PINGS: u32 = 3;

/// A call on its way out.
struct Call {
    op: u8,
    request: u64,
    body: Vec<Bytes>,
    /// Given back when it is written.
    room: Option<OwnedSemaphorePermit>,
}

/// A caller that waits.
struct Waiting {
    reply: oneshot::Sender<Frame>,
    /// The queue, if it is a lease.
    leases_from: Option<QueueId>,
}

#[derive(Default)]
struct Callers {
    waiting: FxHashMap<u64, Waiting>,
    last_request: u64,
    is_over: bool,
}

/// What callers see of a connection.
pub(crate) struct Session {
    pub(crate) id: u64,
    calls: UnboundedSender<Call>,
    /// A permit for each byte that may be unwritten.
    room: Arc<Semaphore>,
    callers: Mutex<Callers>,
}

/// What keeps a connection going.
pub(crate) struct Driver {
    reader: Reader,
    writer: Writer,
    calls: UnboundedReceiver<Call>,
    silence_max: Duration,
}

/// How a connection ended.
pub(crate) enum End {
    /// By this side, which said good-bye.
    Closed,
    Lost(String),
}

fn lost(error: impl std::fmt::Display) -> QueueError {
    QueueError::Disconnected(error.to_string())
}

/// The client's side of the handshake.
pub(crate) async fn login(
    settings: &ClientSettings,
    reader: Box<dyn AsyncRead + Send + Unpin>,
    mut writer: Writer,
) -> Result<(Arc<Session>, Driver), QueueError> {
    let foreign = || QueueError::Protocol("what answers there is no Copydesk queue; check the address".to_owned());
    let mut reader = FrameReader::new(reader, FRAME_BYTES_MAX);
    let first = reader.next().await.map_err(|error| match error {
        FrameError::Io(error) => lost(error),
        _ => foreign(),
    });
    let first = first?.ok_or_else(|| lost("it hung up"))?;
    let hello = Hello::decode(&first.body).filter(|_| first.op == op::HELLO).ok_or_else(foreign)?;
    if !(hello.version_min..=hello.version_max).contains(&VERSION) {
        let Hello { version_min, version_max, .. } = hello;
        let error = format!("the manager speaks versions {version_min} to {version_max}, this client {VERSION}");
        return Err(QueueError::Protocol(error));
    }
    let secret = settings.secret.as_ref();
    let own = nonce().map_err(lost)?;
    let login = Login {
        version: VERSION,
        nonce: own,
        proof: proof(secret, Role::Client, &hello.nonce, &own),
        name: settings.name.clone(),
    };
    let mut out = Vec::new();
    frame(op::LOGIN, 0, vec![login.encode().into()], &mut out);
    write_all(&mut writer, &mut out).await.map_err(lost)?;
    let answer = reader.next().await.map_err(lost)?.ok_or_else(|| lost("it hung up"))?;
    let welcome = Welcome::decode(&check(answer, &[op::WELCOME])?.body).ok_or_else(foreign)?;
    // A manager that does not know the secret could be anybody.
    if !verify(secret, Role::Server, &hello.nonce, &own, &welcome.proof) {
        return Err(QueueError::Unauthorized);
    }
    let (sender, calls) = unbounded_channel();
    let room = Arc::new(Semaphore::new(UNWRITTEN_BYTES_MAX));
    let session = Session { id: welcome.session, calls: sender, room, callers: Mutex::default() };
    let silence_max = Duration::from_millis(u64::from(welcome.lease_timeout_ms).max(1));
    Ok((Arc::new(session), Driver { reader, writer, calls, silence_max }))
}

impl Session {
    fn callers(&self) -> MutexGuard<'_, Callers> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call and waits for its answer, which may be an error frame.
    pub(crate) async fn call(&self, op: u8, body: Vec<Bytes>) -> Result<Frame, QueueError> {
        let (reply, answer) = oneshot::channel();
        let is_lease = op == op::LEASE;
        let queue = body.first().and_then(|part| part.first()).map(|queue| QueueId(*queue));
        // A call with more bytes than that is the only one.
        let bytes = body.iter().map(Bytes::len).sum::<usize>().min(UNWRITTEN_BYTES_MAX) as u32;
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.ok();
        self.send(op, body, room, Some(Waiting { reply, leases_from: queue.filter(|_| is_lease) }))?;
        answer.await.map_err(|_| lost("the connection ended before the answer came"))
    }

    fn send(
        &self,
        op: u8,
        body: Vec<Bytes>,
        room: Option<OwnedSemaphorePermit>,
        waiting: Option<Waiting>,
    ) -> Result<(), QueueError> {
        let mut callers = self.callers();
        if callers.is_over {
            return Err(lost("the connection has ended"));
        }
        callers.last_request += 1;
        let request = callers.last_request;
        if let Some(waiting) = waiting {
            callers.waiting.insert(request, waiting);
        }
        self.calls.send(Call { op, request, body, room }).map_err(|_| lost("the connection has ended"))
    }

    /// Brings an answer to its caller. Items that were leased for one who has gone are given back.
    fn answer(&self, frame: Frame) {
        let Some(Waiting { reply, leases_from }) = self.callers().waiting.remove(&frame.request) else { return };
        if let (Err(frame), Some(queue)) = (reply.send(frame), leases_from)
            && frame.op == op::LEASED
            && let Ok(Leased::Items { deliveries, .. }) = decode_leased(&frame)
        {
            let seqs: Vec<u64> = deliveries.iter().map(|delivery| delivery.lease.seq).collect();
            // If it can't be sent, the end of the connection gives them back.
            let _ = self.send(op::RELEASE, encode_release(queue, self.id, &seqs).finish(), None, None);
        }
    }

    /// Everybody who waits hears that no answer will come.
    fn end(&self) {
        let mut callers = self.callers();
        callers.is_over = true;
        callers.waiting.clear();
    }
}

impl Driver {
    /// Serves a session until it is lost, or until `gone` says that nobody wants it any more.
    pub(crate) async fn run(self, session: &Arc<Session>, gone: &mut oneshot::Receiver<()>) -> End {
        let Driver { mut reader, writer, calls, silence_max } = self;
        let mut writing = tokio::spawn(write(writer, calls));
        let end = tokio::select! {
            reason = read(&mut reader, session, silence_max) => End::Lost(reason),
            written = &mut writing => End::Lost(match written {
                Ok(Err(error)) => error.to_string(),
                _ => "the connection ended".to_owned(),
            }),
            _ = &mut *gone => {
                let bye = async {
                    let answer = session.call(op::BYE, Vec::new());
                    tokio::select! {
                        _ = answer => {}
                        _ = read(&mut reader, session, silence_max) => {}
                    }
                };
                let _ = timeout(BYE_WITHIN, bye).await;
                End::Closed
            }
        };
        session.end();
        writing.abort();
        end
    }
}

async fn write(mut writer: Writer, mut calls: UnboundedReceiver<Call>) -> io::Result<()> {
    let (mut taken, mut out) = (Vec::new(), Vec::new());
    while calls.recv_many(&mut taken, CALLS_MAX).await > 0 {
        let mut rooms = Vec::with_capacity(taken.len());
        for Call { op, request, body, room } in taken.drain(..) {
            frame(op, request, body, &mut out);
            rooms.push(room);
        }
        write_all(&mut writer, &mut out).await?;
    }
    Ok(())
}

/// Reads answers, and pings so that both sides know that the other one lives. Returns why that ended.
async fn read(reader: &mut Reader, session: &Session, silence_max: Duration) -> String {
    let mut next_ping = Instant::now() + silence_max / PINGS;
    let mut silent_at = Instant::now() + silence_max;
    let mut received = reader.received;
    loop {
        let next = timeout_at(next_ping, reader.next()).await;
        let now = Instant::now();
        if reader.received != received {
            received = reader.received;
            silent_at = now + silence_max;
        }
        match next {
            Ok(Ok(Some(frame))) => session.answer(frame),
            Ok(Ok(None)) => return "the manager hung up".to_owned(),
            Ok(Err(error)) => return error.to_string(),
            Err(_) if now >= silent_at => return format!("the manager said nothing for {silence_max:?}"),
            Err(_) => {}
        }
        if now >= next_ping {
            next_ping = now + silence_max / PINGS;
            if session.send(op::PING, Vec::new(), None, None).is_err() {
                return "the connection ended".to_owned();
            }
        }
    }
}
