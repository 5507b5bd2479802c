//! `copydesk extract`: finds the mentions in posts, without a pipeline.

use crate::failure::Failure;

/// Arguments of `copydesk extract`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(Args {}: Args) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
