//! `copydesk entities`: what the store holds: entities and how often they were mentioned.

use crate::failure::Failure;

/// Arguments of `copydesk entities`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(Args {}: Args) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
