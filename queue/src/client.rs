//! The client.

use std::time::Duration;

use async_trait::async_trait;

use crate::address::Address;
use crate::api::*;
use crate::secret::Secret;

/// What a client is told.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Where the manager listens.
    pub address: Address,
    /// The shared secret.
    pub secret: Option<Secret>,
    /// Its name in logs.
    pub name: String,
    /// How long a put or stats call keeps trying.
    pub reconnect_for: Duration,
}

impl Default for ClientSettings {
    fn default() -> ClientSettings {
        ClientSettings {
            address: Address::Tcp("127.0.0.1:50000".to_owned()),
            secret: None,
            name: String::new(),
            reconnect_for: Duration::from_secs(10),
        }
    }
}

/// One connection.
#[derive(Clone)]
pub struct Client {}

impl Client {
    /// Connects.
    pub async fn connect(_settings: ClientSettings) -> Result<Client, QueueError> {
        Ok(Client {})
    }
    /// Connects on the first call.
    pub fn new_lazy(_settings: ClientSettings) -> Client {
        Client {}
    }
}

fn none<T>() -> Result<T, QueueError> {
    Err(QueueError::Disconnected("not yet".into()))
}

#[async_trait]
impl Queue for Client {
    async fn put(&self, _: QueueId, _: Vec<Item>) -> Result<Vec<PutOutcome>, QueueError> {
        none()
    }
    async fn lease(&self, _: QueueId, _: Want) -> Result<Leased, QueueError> {
        none()
    }
    async fn settle(&self, _: QueueId, _: Vec<LeaseId>, _: Option<Outputs>) -> Result<(), QueueError> {
        none()
    }
    async fn release(&self, _: QueueId, _: Vec<LeaseId>) -> Result<(), QueueError> {
        none()
    }
    async fn bury(&self, _: QueueId, _: LeaseId, _: String) -> Result<(), QueueError> {
        none()
    }
    async fn stats(&self) -> Result<Stats, QueueError> {
        none()
    }
    async fn dead_letters(&self, _: Option<(QueueId, u64)>, _: u32) -> Result<Vec<DeadLetter>, QueueError> {
        none()
    }
    async fn retry_dead(&self, _: QueueId, _: u64) -> Result<(), QueueError> {
        none()
    }
    async fn drop_dead(&self, _: QueueId, _: u64) -> Result<(), QueueError> {
        none()
    }
}
