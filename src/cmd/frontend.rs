//! `copydesk frontend`: the HTTP edge: takes posts, puts them on the queue, answers queries.

use crate::failure::Failure;

/// Arguments of `copydesk frontend`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(Args {}: Args) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
