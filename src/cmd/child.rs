//! `copydesk worker` and `copydesk saver`: what the supervisor re-executes. Not for people.

use backend::child::Child;
use backend::control::Role;
use backend::{saver, worker};
use queue::{Client, ClientSettings, Secret};

use crate::failure::Failure;

/// Arguments of `copydesk worker` and `copydesk saver`.
#[derive(clap::Args)]
pub struct Args {
    /// Number of the slot, for logs and `ps`
    #[arg(long)]
    slot: usize,

    /// Process id of the supervisor
    #[arg(long)]
    supervisor: u32,

    /// Name of the supervisor's control channel
    #[arg(long)]
    control: String,
}

/// Runs the command: what kind of child this is comes with its settings.
pub fn run(args: Args) -> Result<(), Failure> {
    let child = Child::begin(args.control, args.supervisor).map_err(Failure::new)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("queue-client")
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let role = child.settings.role.clone();
    let kind = match role {
        Role::Worker(_) => "worker",
        Role::Saver(_) => "saver",
    };
    let secret = child.settings.secret_file.as_deref().map(Secret::from_file).transpose().map_err(Failure::settings)?;
    let settings = ClientSettings {
        address: child.settings.queue.parse().map_err(Failure::settings)?,
        secret,
        name: format!("{kind} {}", args.slot),
        ..ClientSettings::default()
    };
    let client = runtime.block_on(Client::connect(settings)).map_err(Failure::new)?;
    match role {
        Role::Worker(settings) => worker::run(child, settings, client, runtime).map_err(Failure::new),
        Role::Saver(settings) => saver::run(child, &settings, client, runtime).map_err(Failure::new),
    }
}
