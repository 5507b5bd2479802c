//! `copydesk publications`: what the store holds: publications and their articles.

use super::output::{print, table};
use super::shared::DataArgs;
use crate::failure::Failure;

/// Arguments of `copydesk publications`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  copydesk publications --data-dir /var/lib/copydesk")]
pub struct Args {
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    data: DataArgs,
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    let target = args.data.target()?;
    let publications = target.reader().and_then(|mut reader| reader.publications()).map_err(Failure::new)?;
    if args.json {
        return print(&(serde_json::to_string(&publications).map_err(Failure::new)? + "\n"));
    }
    let rows = publications.into_iter().map(|row| [row.articles.to_string(), row.publication]);
    print(&table(["articles", "publication"], rows))
}
