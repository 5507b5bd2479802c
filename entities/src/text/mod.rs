//! Text as the tagger sees it: characters, stretches of bounded length, tokens with offsets, and what the rest of the
//! article says about each of them. Offsets always point into the text as it came, never into a mapped copy.

pub mod analysis;
pub mod chars;
pub mod context;
pub mod form;
pub mod hash;
pub mod normal;
pub mod stretch;

/// The version of everything in this directory that weights depend on. Weights trained with another version score
/// other tokens and other features, so they are refused; raise it with any change that moves a token or a hash.
pub const TEXT_VERSION: u32 = 1;
