//! The queue manager: everything durable between the edge and the stores goes through here.
//!
//! Owns the log, the leases, the wire protocol, the server and the client. Payloads are bytes: nothing here knows what
//! a post or a batch is.
//!
//! Layout, in reading order:
//! - [`api`]: the vocabulary and the [`Queue`] trait that producers and consumers program against.
//! - `log`: the format on disk and its design; scanning, recovery, the duplicate window, reading payloads back.
//! - `core`: the state and its steps, without I/O: checking commands, applying them, leases.
//! - `writer`: the one thread that writes, syncs, applies and answers.
//! - `manager`: what the hosting process opens and holds.
//! - `wire`: frames, requests and replies as `PROTOCOL.md` lays them out.
//! - `server`, `client`: the two ends of a connection.

pub mod api;

mod address;
mod client;
mod codec;
mod core;
#[cfg(fuzzing)]
pub mod fuzzing;
mod log;
mod manager;
mod owner;
mod secret;
mod server;
mod settings;
mod wire;
mod writer;

pub use address::{Address, AddressError};
pub use api::*;
pub use client::{Client, ClientSettings};
pub use log::disk::{Disk, RealDisk, SegmentFile};
pub use log::report::{Damage, Recovery};
pub use manager::{Manager, OpenError, inspect};
pub use owner::owner;
pub use secret::{Secret, SecretError};
pub use server::{Listener, serve};
pub use settings::{ManagerSettings, QueueSettings};
