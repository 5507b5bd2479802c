//! Where counters end. Owns the sinks; knows nothing of queues or processes.

pub mod api;

pub use api::*;
