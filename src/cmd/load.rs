//! `copydesk load`: sends files of articles to a running Copydesk.

use std::path::PathBuf;
use std::time::Duration;

use load::{LoadError, Settings, Show, Summary};
use signal_hook::consts::SIGINT;

use super::units::duration;
use crate::failure::Failure;

/// What shells give a command that Ctrl-C ended.
const INTERRUPTED: i32 = 128 + SIGINT;

/// Arguments of `copydesk load`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  copydesk load articles.ndjson                                  to the Copydesk of this machine
  copydesk load day-*.ndjson --to http://desk:8080 --wait        and wait until everything is counted
  gzip -dc articles.ndjson.gz | copydesk load - --json           from a pipe, with one line of figures

A file has one post a line, {\"publication\": …, \"content\": …}, or is one JSON array of posts. Loading it again, or going
on after an interruption, counts nothing twice: a post without an id gets one made from its place in the file.")]
pub struct Args {
    /// Files of articles; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Where Copydesk serves HTTP
    #[arg(long = "to", value_name = "URL", env = "COPYDESK_URL", default_value = "http://127.0.0.1:8080")]
    url: String,

    /// Posts in one request
    #[arg(long, value_name = "N", env = "COPYDESK_BATCH", default_value_t = 500)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,

    /// Requests under way at the same time
    #[arg(long, value_name = "N", env = "COPYDESK_CONCURRENCY", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=256))]
    concurrency: u32,

    /// Wait until everything queued has been counted
    #[arg(long)]
    wait: bool,

    /// How long to go on trying while nothing is taken
    #[arg(long, value_name = "TIME", env = "COPYDESK_GIVE_UP_AFTER", default_value = "10m", value_parser = duration)]
    give_up_after: Duration,

    /// Show no progress, and end with one line of JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    let Args { files, url, batch, concurrency, wait, give_up_after, json } = args;
    let (batch, concurrency) = (batch as usize, concurrency as usize);
    let settings = Settings { files, url, batch, concurrency, wait, give_up_after, ..Settings::default() };
    // The second Ctrl-C does not wait for answers. In this order, so that the first does not count as the second.
    signal_hook::flag::register_conditional_shutdown(SIGINT, INTERRUPTED, settings.stop.clone())
        .and_then(|_| signal_hook::flag::register(SIGINT, settings.stop.clone()))
        .map_err(Failure::new)?;
    let outcome = load::run(&settings, if json { Show::Quiet } else { Show::for_terminal() });
    if let Some(summary) = outcome.as_ref().map_or_else(LoadError::summary, Some) {
        println!("{}", if json { serde_json::to_string(summary).map_err(Failure::new)? } else { summary.to_string() });
    }
    match outcome {
        Ok(Summary { rejected: 0, .. }) => Ok(()),
        Ok(Summary { rejected, .. }) => {
            let hint = "correct them, which the lines above name, and run the same command again";
            Err(Failure::new(format!("{rejected} articles were rejected; {hint}")))
        }
        Err(error @ (LoadError::Url(_) | LoadError::Files(_))) => Err(Failure::usage(error)),
        Err(error @ LoadError::Interrupted(_)) => Err(Failure::with_code(INTERRUPTED, error)),
        Err(error) => Err(Failure::new(error)),
    }
}
