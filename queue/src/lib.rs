//! The queue manager: everything durable between the edge and the stores goes through here.
//!
//! Owns the log, the leases, the wire protocol, the server and the client. Payloads are bytes: nothing here knows what
//! a post or a batch is.
//!
//! Layout, in reading order:
//! - [`api`]: the vocabulary and the [`Queue`] trait that producers and consumers program against.

pub mod api;

pub use api::*;
