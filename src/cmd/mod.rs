//! The table of subcommands, and the arguments that several of them share.

mod backend;
mod check;
mod child;
mod dead_letters;
mod descriptors;
mod entities;
mod evaluate;
mod extract;
mod frontend;
mod given;
mod http;
mod load;
mod output;
mod pipeline;
mod publications;
mod shared;
mod train;
mod units;
mod up;

use clap::Subcommand;

use crate::failure::Failure;

/// Every subcommand.
#[derive(Subcommand)]
pub enum Command {
    /// Everything on one machine: starts all processes, loads the files, shows what they talk about
    Up(up::Args),
    /// The HTTP edge: takes posts, puts them on the queue, answers queries
    Frontend(frontend::Args),
    /// The queue manager, and the supervisor of workers and savers
    Backend(backend::Args),
    /// Sends files of articles to a running Copydesk
    Load(load::Args),
    /// Finds the mentions in posts, without a pipeline
    Extract(extract::Args),
    /// Measures an engine against annotated text
    Evaluate(evaluate::Args),
    /// Trains the tagger on annotated text
    Train(train::Args),
    /// What the store holds: entities and how often they were mentioned
    Entities(entities::Args),
    /// What the store holds: publications and their articles
    Publications(publications::Args),
    /// Looks at settings and data, and says everything that is wrong with them
    Check(check::Args),
    /// What nobody could process: look at it, let it try again, or forget it
    DeadLetters(dead_letters::Args),
    /// A worker process; started by `backend`
    #[command(hide = true)]
    Worker(child::Args),
    /// A saver process; started by `backend`
    #[command(hide = true)]
    Saver(child::Args),
}

/// Runs one.
pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(args) => up::run(args),
        Command::Frontend(args) => frontend::run(args),
        Command::Backend(args) => backend::run(args),
        Command::Load(args) => load::run(args),
        Command::Extract(args) => extract::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Train(args) => train::run(args),
        Command::Entities(args) => entities::run(args),
        Command::Publications(args) => publications::run(args),
        Command::Check(args) => check::run(args),
        Command::DeadLetters(args) => dead_letters::run(args),
        Command::Worker(args) | Command::Saver(args) => child::run(args),
    }
}
