//! `copydesk publications`: what the store holds: publications and their articles.

use store::PublicationCount;

use super::output::{print, table};
use super::shared::ListArgs;
use crate::failure::Failure;

/// Arguments of `copydesk publications`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  copydesk publications --data-dir /var/lib/copydesk")]
pub struct Args {
    #[command(flatten)]
    list: ListArgs,
}

/// Runs the command.
pub fn run(Args { list }: Args) -> Result<(), Failure> {
    let show = |publications: Vec<PublicationCount>| {
        let rows = publications.into_iter().map(|row| [row.articles.to_string(), row.publication]);
        print(&table(["articles", "publication"], rows))
    };
    list.list(|reader| reader.publications(), show)
}
