//! The edge over real sockets, in front of a queue and a store that live in memory and fail on demand.

mod dead_letters;
mod ending;
mod hostile;
mod posts;
mod reads;
mod refusals;
mod support;
