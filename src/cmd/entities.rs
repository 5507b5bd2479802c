//! `copydesk entities`: what the store holds: entities and how often they were mentioned.

use store::Filter;

use super::output::{print, table};
use super::shared::DataArgs;
use crate::failure::Failure;

/// Arguments of `copydesk entities`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  copydesk entities                                        the most frequent of all publications
  copydesk entities --publication \"The Coast Ledger\" --label PER
  copydesk entities --top 0 --json > counters.json         all of them, for other programs")]
pub struct Args {
    /// Only of this publication; capitals make no difference
    #[arg(long, value_name = "NAME")]
    publication: Option<String>,

    /// Only with this label, as the engine writes it: PER, ORG, LOC or MISC for the one that ships
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,

    /// The most frequent so many; 0 is all
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    data: DataArgs,
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    let target = args.data.target()?;
    let filter = Filter { publication: args.publication, label: args.label, top: args.top };
    let counters = target.reader().and_then(|mut reader| reader.entities(&filter)).map_err(Failure::new)?;
    if args.json {
        return print(&(serde_json::to_string(&counters).map_err(Failure::new)? + "\n"));
    }
    if counters.is_empty() {
        eprintln!("copydesk: no counter fits; `copydesk publications` lists what there is");
        return Ok(());
    }
    let rows = counters.into_iter().map(|row| [row.count.to_string(), row.label, row.entity, row.publication]);
    print(&table(["count", "label", "entity", "publication"], rows))
}
