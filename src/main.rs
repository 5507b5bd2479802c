//! The `copydesk` command: one file a subcommand under `cmd/`, no logic of its own.

mod cmd;
mod failure;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::Failure;

/// Turns a flood of articles into a durable, queryable record of who and what they talk about.
#[derive(Parser)]
#[command(name = "copydesk", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Start here: copydesk up examples/articles.ndjson")]
struct Cli {
    #[command(subcommand)]
    command: cmd::Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = common::telemetry::init().map_err(Failure::settings).and_then(|()| cmd::run(cli.command));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
