//! The HTTP edge: posts in, counters out.
//!
//! Owns what a client on the network can do: sending posts, and reading what became of them. A post is acknowledged
//! when the queue says that it is on disk, and not before. Knows nothing of how entities are found, and never touches
//! a signal or opens a port by itself.
//!
//! Layout, in the order a post goes through it:
//! - [`settings`]: what the edge is given, and its limits;
//! - [`server`]: connections, their number, their time, and their end; [`stream`]: their sockets;
//! - [`routes`]: the table of addresses;
//! - [`posts`]: `POST /v1/posts`: what kind of body it is, and the answer;
//! - [`body`]: the bytes of a body, decompressed, timed and counted;
//! - [`ingest`]: bytes to records, records to batches, batches to the queue;
//! - [`merge`]: the few posts of many requests become one put;
//! - [`answer`]: what became of every record;
//! - [`error`]: the table of error codes;
//! - [`edge`]: what the handlers share: the queue as seen from here, the reading side of the store, memory;
//! - [`reads`], [`health`]: counters, and how things are;
//! - [`dead_letters`], [`letter`]: what nobody could process, and its shape for clients; [`outgoing`]: a large answer.

pub mod answer;
pub mod body;
pub mod dead_letters;
pub mod edge;
pub mod error;
pub mod health;
pub mod ingest;
pub mod letter;
pub mod merge;
pub mod outgoing;
pub mod posts;
pub mod reads;
pub mod routes;
pub mod server;
pub mod settings;
pub mod stream;

pub use server::run;
pub use settings::{Limits, OpenReader, Settings};
