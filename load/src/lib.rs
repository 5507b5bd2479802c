//! Files of articles into a running Copydesk, over HTTP.
//!
//! Owns the way from a file to an accepted post: one thread cuts files into posts and packs them into [batches](batch),
//! several [senders](sender) post the batches and repeat what was not taken, and the calling thread shows how far it
//! is. Knows nothing of queues or stores: it is a client like any other, and needs no more than the README says of
//! `POST /v1/posts` and `GET /v1/queue`.
//!
//! Nothing is counted twice, because every post has an id before it leaves: its own, or one made from its place in the
//! file ([`common::id::of_record`]). A request whose answer got lost is sent again as it was, and so is a whole file.
//!
//! Memory is bounded by `2 * concurrency + 1` batches of about 4 MiB, however large the files are.

mod answer;
mod backoff;
mod batch;
mod delivery;
mod desk;
mod error;
mod input;
mod meter;
mod progress;
mod reader;
mod run;
mod sender;
mod settings;
mod wait;

pub use desk::is_ready;
pub use error::LoadError;
pub use meter::Summary;
pub use progress::Show;
pub use run::run;
pub use settings::Settings;
