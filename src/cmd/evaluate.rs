//! `copydesk evaluate`: measures an engine against annotated text.

use crate::failure::Failure;

/// Arguments of `copydesk evaluate`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(Args {}: Args) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
