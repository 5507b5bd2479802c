//! Text in, mentions out. Owns sentences, tokens, the tagger, its training and its evaluation. Knows nothing of queues
//! or processes.

pub mod corpus;
pub mod desk;
pub mod engine;
pub mod evaluate;
pub mod given;
pub mod mapped;
pub mod none;
#[cfg(feature = "test-engine")]
pub mod poison;
pub mod raw;
pub mod rules;
pub mod scheme;
pub mod tagger;
pub mod text;
pub mod train;

use std::path::Path;

pub use engine::{Engine, EngineError, Found, mentions};
pub use scheme::Scheme;

/// The engines, for messages.
pub const ENGINES: &[&str] = &[
    "desk",
    "none",
    #[cfg(feature = "test-engine")]
    "test",
];

/// Makes the engine of this name; `model` is a file of weights to use instead of those that ship.
pub fn open(name: &str, model: Option<&Path>) -> Result<Box<dyn Engine>, EngineError> {
    match name {
        "desk" => Ok(Box::new(desk::Desk::open(model)?)),
        "none" => Ok(Box::new(none::Nothing)),
        #[cfg(feature = "test-engine")]
        "test" => Ok(Box::new(poison::Poisonable::open(model)?)),
        _ => Err(EngineError::Unknown(name.to_owned(), ENGINES.join(", "))),
    }
}

/// Whether [`open`] would make it: for a process that starts others and should refuse wrong settings itself.
pub fn check(name: &str, model: Option<&Path>) -> Result<(), EngineError> {
    open(name, model).map(drop)
}
