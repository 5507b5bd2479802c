//! `copydesk train`: trains the tagger on annotated text.

use crate::failure::Failure;

/// Arguments of `copydesk train`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(Args {}: Args) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
