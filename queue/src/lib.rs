//! The queue manager: everything durable between the edge and the stores goes through here.
//!
//! Owns the log, the leases, the wire protocol, the server and the client. Payloads are bytes: nothing here knows what
//! a post or a batch is.
//!
//! Layout, in reading order:
//! - [`api`]: the vocabulary and the [`Queue`] trait that producers and consumers program against.

pub mod api;

mod address;
mod client;
mod manager;
mod secret;
mod server;
mod settings;

pub use address::{Address, AddressError};
pub use api::*;
pub use client::{Client, ClientSettings};
pub use manager::{Manager, OpenError, Recovery};
pub use secret::{Secret, SecretError};
pub use server::{Listener, serve};
pub use settings::{ManagerSettings, QueueSettings};
