//! `copydesk load`: sends files of articles to a running Copydesk.

use crate::failure::Failure;

/// Arguments of `copydesk load`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(Args {}: Args) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
