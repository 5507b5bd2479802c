//! `copydesk backend`: the queue manager, and the supervisor of workers and savers.

use crate::failure::Failure;

/// Arguments of `copydesk backend`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(Args {}: Args) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
