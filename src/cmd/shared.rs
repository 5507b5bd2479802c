//! Arguments that several subcommands share, so that they read and resolve the same everywhere.

use std::path::PathBuf;

/// Where the data is.
#[derive(clap::Args, Debug, Clone)]
pub struct DataDir {
    /// Directory of the queue's log and of the default store
    #[arg(long, value_name = "DIR", env = "COPYDESK_DATA_DIR", default_value = "copydesk-data")]
    pub data_dir: PathBuf,
}

/// Which store.
#[derive(clap::Args, Debug, Clone)]
pub struct StoreArg {
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
