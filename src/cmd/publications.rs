//! `copydesk publications`: what the store holds: publications and their articles.

use crate::failure::Failure;

/// Arguments of `copydesk publications`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(Args {}: Args) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
