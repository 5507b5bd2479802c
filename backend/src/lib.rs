//! The processes behind the queue: a supervisor that hosts the queue manager, workers that extract, savers that save.
//!
//! Owns processes, their control channels, and the order in which a pipeline starts and drains. Knows nothing of HTTP,
//! and of the queue only the [`queue::Queue`] trait, except in [`host`], which runs the manager.
//!
//! Layout, in reading order:
//! - [`host`]: `copydesk backend`: opens the log, serves the queue, supervises. [`preflight`]: what can be wrong before.
//! - [`supervisor`]: starts children, listens to them, restarts them, drains them; a thin shell around two pure state
//!   machines, [`slot`] (the life of one child) and [`drain`] (the order of a stop). [`seat`] is a slot with the process
//!   in it, [`spawn`] puts one there.
//! - [`control`]: what supervisor and child say to each other.
//! - [`child`]: the child's side: its tie to the supervisor, its beat, its stop.
//! - [`worker`], [`feed`], [`holding`]: posts in, batches out.
//! - [`saver`]: batches in, transactions out.

pub mod child;
pub mod control;
pub mod drain;
pub mod feed;
pub mod holding;
pub mod host;
pub mod preflight;
pub mod saver;
pub mod seat;
pub mod slot;
pub mod spawn;
pub mod supervisor;
pub mod worker;

pub use host::{BackendError, QueueBounds, Settings};
