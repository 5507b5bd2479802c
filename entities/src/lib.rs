//! Text in, mentions out. Owns sentences, tokens, the tagger, its training and its evaluation. Knows nothing of queues
//! or processes.

pub mod engine;

pub use engine::{Engine, EngineError, Found, mentions};
