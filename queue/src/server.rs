//! The server.

use std::future::Future;

use crate::address::Address;
use crate::manager::Manager;
use crate::secret::Secret;

/// A bound address.
pub struct Listener {
    address: Address,
}

impl Listener {
    /// Binds.
    pub async fn bind(address: &Address) -> std::io::Result<Listener> {
        Ok(Listener { address: address.clone() })
    }
    /// The bound address.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

/// Serves until shutdown.
pub async fn serve(
    _manager: Manager,
    _listeners: Vec<Listener>,
    _secret: Option<Secret>,
    shutdown: impl Future<Output = ()>,
) {
    shutdown.await;
}
