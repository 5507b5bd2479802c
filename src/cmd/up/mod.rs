//! `copydesk up`: everything on one machine, by one command.
//!
//! Starts `copydesk backend` and `copydesk frontend` as a service manager would, loads the files over HTTP as any client
//! would, and reads the summary from the store as `copydesk entities` would. There is no shorter way through the house
//! for it, so what it shows is what production does.

mod processes;
mod summary;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use backend::preflight;
use common::Findings;
use load::LoadError;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::processes::Processes;
use self::summary::Summary;
use super::http::bind;
use super::output::print;
use super::pipeline::{Pipeline, PipelineArgs};
use super::shared::DataArgs;
use crate::failure::Failure;

/// How often the processes are looked after.
const TICK: Duration = Duration::from_millis(20);
/// How long the log may take to open and the engines to load.
const START_MAX: Duration = Duration::from_secs(300);
/// What shells give a command that Ctrl-C ended.
const INTERRUPTED: i32 = 128 + SIGINT;

/// Arguments of `copydesk up`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  copydesk up examples/articles.ndjson          load, show what they talk about, keep serving
  copydesk up --exit-when-done --json a.ndjson  load, print one line of figures, stop
  copydesk up --data-dir /tmp/try --workers 2   an empty pipeline that waits for posts")]
pub struct Args {
    /// Files of articles (NDJSON, one post a line) to load
    files: Vec<PathBuf>,

    #[command(flatten)]
    data: DataArgs,

    /// Where HTTP is served; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "COPYDESK_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    #[command(flatten)]
    pipeline: PipelineArgs,

    /// Stop cleanly as soon as the files are counted
    #[arg(long)]
    exit_when_done: bool,

    /// Print the summary as one line of JSON
    #[arg(long)]
    json: bool,
}

/// What `up` waits for.
enum Event {
    /// SIGTERM or SIGINT.
    Signal,
    /// The files are loaded and counted, or could not be.
    Loaded(Result<load::Summary, LoadError>),
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    if let Some(wrong) = args.files.iter().find(|file| !file.exists() || file.is_dir()) {
        return Err(Failure::usage(format!("{} is no file; give the path of an NDJSON file", wrong.display())));
    }
    let pipeline = check(&args)?;
    let (sender, events) = mpsc::channel();
    watch_signals(sender.clone())?;
    let mut processes = Processes::start(&args, &pipeline)?;
    let outcome = serve(&args, &mut processes, sender, &events);
    // Whatever happened, what was started is stopped, and drains.
    let stopped = processes.stop(pipeline.drain_timeout, || has_signal(&events));
    let summary = outcome?;
    let cpu = stopped?;
    let Some(summary) = summary else { return Ok(()) };
    if args.json {
        print(&(summary.to_json(&cpu) + "\n"))?;
    }
    match summary.rejected() {
        0 => Ok(()),
        rejected => Err(Failure::new(format!("{rejected} articles were rejected; the messages above say why"))),
    }
}

/// Finds what the processes would refuse, each in its own log, before anything is started or made.
fn check(args: &Args) -> Result<Pipeline, Failure> {
    let mut found = Findings::default();
    let pipeline = args.pipeline.resolve(&mut found);
    if pipeline.workers == 0 || pipeline.savers == 0 {
        return Err(Failure::usage("up counts what it loads, so it needs --workers and --savers of at least 1"));
    }
    preflight::target(&args.data.store, &args.data.data_dir, &mut found);
    preflight::engine(&pipeline.worker, &mut found);
    // Bound for a moment only; the frontend does it again.
    drop(bind(&args.listen.to_string(), &mut found));
    if found.is_sound() { Ok(pipeline) } else { Err(Failure::settings(found)) }
}

/// Loads the files, shows the summary, and serves until it is told to stop. Returns the summary if there is one.
fn serve(
    args: &Args,
    processes: &mut Processes,
    sender: Sender<Event>,
    events: &Receiver<Event>,
) -> Result<Option<Summary>, Failure> {
    let Some(url) = processes.wait_ready(START_MAX, || has_signal(events))? else { return interrupted(args) };
    let mut summary = None;
    if !args.files.is_empty() {
        let started = Instant::now();
        let stop = spawn_load(args, &url, sender);
        let loaded = wait_loaded(processes, events);
        stop.store(true, Ordering::Relaxed);
        let Some(loaded) = loaded? else { return interrupted(args) };
        let seconds = started.elapsed().as_secs_f64();
        let counted = Summary::read(args, loaded.map_err(Failure::new)?, seconds)?;
        if !args.json {
            print(&counted.to_table())?;
        }
        summary = Some(counted);
    }
    if args.exit_when_done {
        return Ok(summary);
    }
    if let (Some(summary), true) = (&summary, args.json) {
        print(&(summary.to_json(&[]) + "\n"))?;
    }
    eprintln!("Serving on {url}  (Ctrl-C stops; try: curl {url}/v1/publications)");
    while !has_signal(events) {
        processes.check()?;
        std::thread::sleep(TICK);
    }
    Ok(None)
}

/// A signal came before the files were counted: a good end of a service, but not of a job.
fn interrupted(args: &Args) -> Result<Option<Summary>, Failure> {
    if args.exit_when_done && !args.files.is_empty() {
        let message = "interrupted before everything was counted; run the same command again to go on";
        return Err(Failure::with_code(INTERRUPTED, message));
    }
    Ok(None)
}

fn watch_signals(sender: Sender<Event>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(Failure::new)?;
    std::thread::spawn(move || signals.forever().try_for_each(|_| sender.send(Event::Signal)));
    Ok(())
}

/// Whether a signal has come since this was asked last.
fn has_signal(events: &Receiver<Event>) -> bool {
    events.try_iter().any(|event| matches!(event, Event::Signal))
}

/// Loads on a thread of its own; setting what this returns ends it early.
fn spawn_load(args: &Args, url: &str, sender: Sender<Event>) -> Arc<AtomicBool> {
    let settings = load::Settings { files: args.files.clone(), url: url.to_owned(), wait: true, ..Default::default() };
    let stop = Arc::clone(&settings.stop);
    let show = if args.json { load::Show::Quiet } else { load::Show::for_terminal() };
    std::thread::spawn(move || sender.send(Event::Loaded(load::run(&settings, show))));
    stop
}

/// Waits for the load; none if a signal came first.
fn wait_loaded(
    processes: &mut Processes,
    events: &Receiver<Event>,
) -> Result<Option<Result<load::Summary, LoadError>>, Failure> {
    loop {
        match events.recv_timeout(TICK) {
            Ok(Event::Loaded(loaded)) => return Ok(Some(loaded)),
            Ok(Event::Signal) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => processes.check()?,
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::new("the load ended without a result")),
        }
    }
}
