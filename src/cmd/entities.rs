//! `copydesk entities`: what the store holds: entities and how often they were mentioned.

use store::{EntityCount, Filter};

use super::output::{print, table};
use super::shared::ListArgs;
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

    #[command(flatten)]
    list: ListArgs,
}

/// Runs the command.
pub fn run(Args { publication, label, top, list }: Args) -> Result<(), Failure> {
    let filter = Filter { publication, label, top };
    let show = |counters: Vec<EntityCount>| {
        if counters.is_empty() {
            eprintln!("copydesk: no counter fits; `copydesk publications` lists what there is");
            return Ok(());
        }
        let rows = counters.into_iter().map(|row| [row.count.to_string(), row.label, row.entity, row.publication]);
        print(&table(["count", "label", "entity", "publication"], rows))
    };
    list.list(|reader| reader.entities(&filter), show)
}
