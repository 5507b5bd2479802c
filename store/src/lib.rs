//! Where counters end. Owns the sinks; knows nothing of queues or processes.
//!
//! [`Target`] says which store is meant. [`Target::open`] gives a saver its [`Store`], [`Target::reader`] gives everybody
//! else a [`Reader`].

mod api;
mod none;
mod sqlite;
mod target;

pub use api::{Applied, EntityCount, Filter, Health, Leader, Overview, PublicationCount, Reader, Store, StoreError};
pub use target::Target;
