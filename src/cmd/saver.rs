//! `copydesk saver`: a saver process; started by `backend`.

use crate::failure::Failure;

/// Arguments of `copydesk saver`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(Args {}: Args) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
