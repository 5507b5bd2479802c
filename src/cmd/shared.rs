//! Arguments that several subcommands share, so that they read and resolve the same everywhere.

use std::path::PathBuf;

use serde::Serialize;
use store::{Reader, StoreError, Target};

use super::output::print;
use crate::failure::Failure;

/// Where the data is.
#[derive(clap::Args, Debug, Clone)]
pub struct DataArgs {
    /// Directory of the queue's log and of the default store
    #[arg(long, value_name = "DIR", env = "COPYDESK_DATA_DIR", default_value = "copydesk-data")]
    pub data_dir: PathBuf,

    /// Where counters go: `sqlite` (a file in the data directory), `sqlite:PATH`, or `none`
    #[arg(long, value_name = "STORE", env = "COPYDESK_STORE", default_value = "sqlite")]
    pub store: String,
}

/// Which engine finds the mentions.
#[derive(clap::Args, Debug, Clone)]
pub struct EngineArgs {
    /// `desk` is the tagger that ships with Copydesk; `none` finds nothing (for measuring the rest)
    #[arg(long, value_name = "ENGINE", env = "COPYDESK_ENGINE", default_value = "desk")]
    pub engine: String,

    /// Weights made by `copydesk train`, instead of those that ship
    #[arg(long, value_name = "FILE", env = "COPYDESK_MODEL")]
    pub model: Option<PathBuf>,
}

/// What both sides of the queue know.
#[derive(clap::Args, Debug, Clone)]
pub struct SecretArgs {
    /// File with the secret that both sides of the queue share; needed where others can reach the queue
    #[arg(long, value_name = "FILE", env = "COPYDESK_QUEUE_SECRET_FILE")]
    pub queue_secret_file: Option<PathBuf>,
}

impl DataArgs {
    /// The store, which is not opened yet.
    pub fn target(&self) -> Result<Target, Failure> {
        Target::parse(&self.store, &self.data_dir).map_err(Failure::settings)
    }
}

/// What every command has that lists what the store holds.
#[derive(clap::Args, Debug, Clone)]
pub struct ListArgs {
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    data: DataArgs,
}

impl ListArgs {
    /// Asks the store for rows, and prints them as JSON or as `show` does.
    pub fn list<T: Serialize>(
        &self,
        ask: impl FnOnce(&mut dyn Reader) -> Result<Vec<T>, StoreError>,
        show: impl FnOnce(Vec<T>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let rows = self.data.target()?.reader().and_then(|mut reader| ask(&mut *reader)).map_err(Failure::new)?;
        if self.json {
            return print(&(serde_json::to_string(&rows).map_err(Failure::new)? + "\n"));
        }
        show(rows)
    }
}
