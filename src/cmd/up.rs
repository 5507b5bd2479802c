//! `copydesk up`: everything on one machine: starts all processes, loads the files, shows what they talk about.

use crate::failure::Failure;

/// Arguments of `copydesk up`.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(Args {}: Args) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
