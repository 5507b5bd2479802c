//! The client: the [`Queue`] of the embedded manager, over its protocol. One connection, as many calls at once as there
//! are, reconnected by itself.

mod link;
mod session;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::address::Address;
use crate::api::{DeadLetter, Item, LeaseId, Leased, Outputs, PutOutcome, Queue, QueueError, QueueId, Stats, Want};
use crate::client::link::Link;
use crate::client::session::Session;
use crate::secret::Secret;
use crate::wire::frames::{Frame, Parts};
use crate::wire::{FRAME_BYTES_MAX, op, replies, requests};

/// What a client is told.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Where the manager listens.
    pub address: Address,
    /// The shared secret.
    pub secret: Option<Secret>,
    /// Who this is, for the manager's log.
    pub name: String,
    /// How long a call that needs no lease keeps trying while there is no connection.
    pub reconnect_for: Duration,
}

impl Default for ClientSettings {
    /// A manager on this machine, on the default port, without a secret.
    fn default() -> ClientSettings {
        ClientSettings {
            address: Address::Tcp("127.0.0.1:50000".to_owned()),
            secret: None,
            name: "client".to_owned(),
            reconnect_for: Duration::from_secs(10),
        }
    }
}

/// A connection to a manager. Clones share it, and with it its leases; when the last one is dropped the manager is told,
/// and leases that are still held are given back. The connection lives on the runtime of the first call, and while that
/// runs, leases are kept however long their consumer works.
///
/// A put whose answer got lost is repeated with the same ids: only a queue that deduplicates takes it once.
#[derive(Clone)]
pub struct Client {
    link: Arc<Link>,
}

impl Client {
    /// Connects, trying for `reconnect_for`.
    pub async fn connect(settings: ClientSettings) -> Result<Client, QueueError> {
        let client = Client::new_lazy(settings);
        client.link.session(client.patience()).await?;
        Ok(client)
    }

    /// Connects when the first call is made.
    pub fn new_lazy(settings: ClientSettings) -> Client {
        Client { link: Arc::new(Link::new(settings)) }
    }

    /// Says good-bye and waits until the manager has heard it: what is still leased is given back. For the
    /// end of a client's life: calls made afterwards fail or connect anew.
    pub async fn close(&self) {
        self.link.close().await;
    }

    fn patience(&self) -> Instant {
        Instant::now() + self.link.reconnect_for()
    }

    /// A call that may be repeated: tries again on the next connection until patience ends.
    async fn repeat(&self, op: u8, parts: Parts, expected: &[u8]) -> Result<Frame, QueueError> {
        let deadline = self.patience();
        let body = checked(parts)?;
        loop {
            let session = self.link.session(deadline).await?;
            match session.call(op, body.clone()).await {
                Err(QueueError::Disconnected(_)) if Instant::now() < deadline => {}
                answer => return replies::check(answer?, expected),
            }
        }
    }

    /// A call that is made once, when there is a connection.
    async fn once(&self, op: u8, parts: Parts, expected: &[u8]) -> Result<Frame, QueueError> {
        let body = checked(parts)?;
        let session = self.link.session(self.patience()).await?;
        replies::check(session.call(op, body).await?, expected)
    }

    /// A call about leases: they end with their session.
    async fn about_leases(&self, session: u64, op: u8, parts: Parts) -> Result<(), QueueError> {
        let body = checked(parts)?;
        let current: Option<Arc<Session>> = self.link.current().filter(|current| current.id == session);
        let answer = match current {
            Some(current) => current.call(op, body).await,
            None => return Err(QueueError::LeaseLost),
        };
        match answer {
            Err(QueueError::Disconnected(_)) => Err(QueueError::LeaseLost),
            answer => replies::check(answer?, &[op::DONE]).map(drop),
        }
    }
}

fn checked(parts: Parts) -> Result<Vec<bytes::Bytes>, QueueError> {
    // Room for operation and request number.
    let (bytes, max) = (parts.count(), FRAME_BYTES_MAX - 16);
    if bytes > max { Err(QueueError::TooLarge { bytes, max }) } else { Ok(parts.finish()) }
}

/// The session of all these leases; none if they are of several, of which all but one are lost.
fn session_of(leases: &[LeaseId]) -> Option<u64> {
    let session = leases.first()?.session;
    leases.iter().all(|lease| lease.session == session).then_some(session)
}

fn seqs(leases: &[LeaseId]) -> Vec<u64> {
    leases.iter().map(|lease| lease.seq).collect()
}

#[async_trait]
impl Queue for Client {
    async fn put(&self, queue: QueueId, items: Vec<Item>) -> Result<Vec<PutOutcome>, QueueError> {
        requests::check_ids(&items).map_err(QueueError::Protocol)?;
        let frame = self.repeat(op::PUT, requests::encode_put(queue, items), &[op::PUT_DONE]).await?;
        replies::decode_outcomes(&frame)
    }

    async fn lease(&self, queue: QueueId, want: Want) -> Result<Leased, QueueError> {
        let expected = [op::LEASED, op::EMPTY, op::FLUSH, op::STOP];
        let frame = self.once(op::LEASE, requests::encode_lease(queue, &want), &expected).await?;
        replies::decode_leased(&frame)
    }

    async fn settle(&self, queue: QueueId, leases: Vec<LeaseId>, outputs: Option<Outputs>) -> Result<(), QueueError> {
        if leases.is_empty() && outputs.is_none() {
            return Ok(());
        }
        if let Some(outputs) = &outputs {
            requests::check_ids(&outputs.items).map_err(QueueError::Protocol)?;
        }
        let session = session_of(&leases).ok_or(QueueError::LeaseLost)?;
        self.about_leases(session, op::SETTLE, requests::encode_settle(queue, session, &seqs(&leases), outputs)).await
    }

    async fn release(&self, queue: QueueId, leases: Vec<LeaseId>) -> Result<(), QueueError> {
        if leases.is_empty() {
            return Ok(());
        }
        let session = session_of(&leases).ok_or(QueueError::LeaseLost)?;
        self.about_leases(session, op::RELEASE, requests::encode_release(queue, session, &seqs(&leases))).await
    }

    async fn bury(&self, queue: QueueId, lease: LeaseId, reason: String) -> Result<(), QueueError> {
        let parts = requests::encode_bury(queue, lease.session, lease.seq, &reason);
        self.about_leases(lease.session, op::BURY, parts).await
    }

    async fn stats(&self) -> Result<Stats, QueueError> {
        replies::decode_stats(&self.repeat(op::STATS, Parts::default(), &[op::STATS_ARE]).await?)
    }

    async fn dead_letters(&self, after: Option<(QueueId, u64)>, items_max: u32) -> Result<Vec<DeadLetter>, QueueError> {
        let parts = requests::encode_dead_letters(after, items_max);
        replies::decode_dead(&self.repeat(op::DEAD_LETTERS, parts, &[op::DEAD_ARE]).await?)
    }

    async fn retry_dead(&self, queue: QueueId, seq: u64) -> Result<(), QueueError> {
        self.once(op::RETRY_DEAD, requests::encode_dead(queue, seq), &[op::DONE]).await.map(drop)
    }

    async fn drop_dead(&self, queue: QueueId, seq: u64) -> Result<(), QueueError> {
        self.once(op::DROP_DEAD, requests::encode_dead(queue, seq), &[op::DONE]).await.map(drop)
    }
}
