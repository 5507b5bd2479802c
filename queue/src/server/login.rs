//! The server's side of the handshake, and complaints about those who fail it: not more than a few a minute.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::api::QueueError;
use crate::secret::{Role, Secret, nonce, proof, verify};
use crate::wire::frames::{FrameReader, frame, write_all};
use crate::wire::handshake::{HANDSHAKE_BYTES_MAX, Hello, Login, VERSION, Welcome};
use crate::wire::replies::encode_error;
use crate::wire::{FRAME_BYTES_MAX, op};

/// One complaint about the same thing in so long.
const GRUMBLE_EVERY: Duration = Duration::from_secs(60);
/// Different things complained about in that time.
const GRUMBLES_MAX: usize = 256;

/// Who is there, and the proof to give in return.
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) proof: [u8; crate::secret::PROOF],
}

/// Greets, and checks the answer. Nothing if the other side went away.
pub(crate) async fn login<R, W>(
    reader: &mut FrameReader<R>,
    writer: &mut W,
    secret: Option<&Secret>,
) -> Result<Option<Known>, QueueError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let failed = |error: &dyn std::fmt::Display| QueueError::Protocol(error.to_string());
    let own = nonce().map_err(|error| failed(&error))?;
    reader.frame_max = HANDSHAKE_BYTES_MAX;
    let hello = Hello { version_min: VERSION, version_max: VERSION, nonce: own };
    let gone = |error: std::io::Error| QueueError::Disconnected(error.to_string());
    send(writer, op::HELLO, hello.encode()).await.map_err(gone)?;
    let Some(first) = reader.next().await.map_err(|error| failed(&error))? else { return Ok(None) };
    let login = Some(first).filter(|first| first.op == op::LOGIN).and_then(|first| Login::decode(&first.body));
    let login = login.ok_or_else(|| QueueError::Protocol("this is a Copydesk queue; that was no login".to_owned()))?;
    if login.version != VERSION {
        let error = format!("version {} of the protocol is not spoken here, only {VERSION}", login.version);
        return Err(QueueError::Protocol(error));
    }
    if !verify(secret, Role::Client, &own, &login.nonce, &login.proof) {
        return Err(QueueError::Unauthorized);
    }
    reader.frame_max = FRAME_BYTES_MAX;
    Ok(Some(Known { name: login.name, proof: proof(secret, Role::Server, &own, &login.nonce) }))
}

pub(crate) async fn welcome<W: AsyncWrite + Unpin>(writer: &mut W, welcome: &Welcome) -> std::io::Result<()> {
    send(writer, op::WELCOME, welcome.encode()).await
}

/// Says why the connection ends.
pub(crate) async fn refuse<W: AsyncWrite + Unpin>(writer: &mut W, error: &QueueError) -> std::io::Result<()> {
    let mut out = Vec::new();
    frame(op::ERROR, 0, encode_error(error).finish(), &mut out);
    write_all(writer, &mut out).await
}

async fn send<W: AsyncWrite + Unpin>(writer: &mut W, op: u8, body: Vec<u8>) -> std::io::Result<()> {
    let mut out = Vec::new();
    frame(op, 0, vec![body.into()], &mut out);
    write_all(writer, &mut out).await
}

/// Complains about each thing once in a while.
#[derive(Default)]
pub(crate) struct Grumbler(Mutex<FxHashMap<String, (Instant, u64)>>);

impl Grumbler {
    /// Calls `log` with how often this was swallowed since the last time, unless that was a moment ago.
    pub(crate) fn grumble(&self, about: &str, log: impl FnOnce(u64)) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= GRUMBLES_MAX {
            known.retain(|_, (last, _)| last.elapsed() < GRUMBLE_EVERY);
        }
        let is_crowded = known.len() >= GRUMBLES_MAX;
        let swallowed = match known.get_mut(about) {
            Some((last, swallowed)) if last.elapsed() < GRUMBLE_EVERY => {
                *swallowed += 1;
                return;
            }
            Some((_, swallowed)) => *swallowed,
            None if is_crowded => return,
            None => 0,
        };
        known.insert(about.to_owned(), (Instant::now(), 0));
        drop(known);
        log(swallowed);
    }
}
