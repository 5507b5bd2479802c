//! The tagger: features of a token in its context, a linear chain over BIOES tags, and the weights, read in place.

pub mod decode;
pub mod features;
pub mod file;
pub mod model;
pub mod tags;
