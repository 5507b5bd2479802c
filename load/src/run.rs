//! One load, from its settings to its summary: starts the threads, hears what they have to tell, and ends them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::batch::Origin;
use crate::desk::Desk;
use crate::error::LoadError;
use crate::input::Input;
use crate::meter::{Meter, Summary};
use crate::progress::{Progress, Show};
use crate::settings::Settings;
use crate::{reader, sender, wait};

/// Refused posts that are reported one by one. More would bury the reason of the first.
const REPORTS_MAX: u64 = 20;
/// Between two looks at the counts and at the wish to stop.
const TICK: Duration = Duration::from_millis(100);
/// How long requests under way may take when the load is over, to have their posts in the counts.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// A post that was refused for good.
#[derive(Debug)]
pub struct Refusal {
    pub origin: Origin,
    pub id: Option<String>,
    pub code: String,
    pub message: String,
}

/// Makes the error once the counts are final.
type Failing = Box<dyn FnOnce(Summary) -> LoadError + Send>;

/// What threads tell the one that called [`run`].
enum Event {
    Refused(Refusal),
    Trouble(String),
    /// The load is over.
    Failed(Failing),
    /// The load is over when what has been read is sent.
    FailedAtEnd(Failing),
}

/// A thread's connection to the rest of the load.
#[derive(Clone)]
pub struct Link {
    shared: Arc<Shared>,
    events: SyncSender<Event>,
}

struct Shared {
    meter: Meter,
    reports: AtomicU64,
    /// The load has failed.
    failed: AtomicBool,
    /// The caller wants to stop.
    stop: Arc<AtomicBool>,
}

impl Shared {
    fn is_over(&self) -> bool {
        self.failed.load(Relaxed) || self.stop.load(Relaxed)
    }
}

impl Link {
    pub fn meter(&self) -> &Meter {
        &self.shared.meter
    }

    /// Whether there is nothing to do any more.
    pub fn is_over(&self) -> bool {
        self.shared.is_over()
    }

    /// Counts a refused post, and reports it if it is one of the first.
    pub fn refuse(&self, refusal: Refusal) {
        self.meter().rejected.fetch_add(1, Relaxed);
        if self.shared.reports.fetch_add(1, Relaxed) < REPORTS_MAX {
            self.tell(Event::Refused(refusal));
        }
    }

    /// Something went wrong that a repeat may mend.
    pub fn trouble(&self, text: String) {
        self.tell(Event::Trouble(text));
    }

    /// Ends the load; the first to say so gives the error.
    pub fn fail(&self, error: impl FnOnce(Summary) -> LoadError + Send + 'static) {
        self.tell(Event::Failed(Box::new(error)));
        self.shared.failed.store(true, Relaxed);
    }

    /// Ends the load when everything that was read is sent.
    pub fn fail_at_end(&self, error: impl FnOnce(Summary) -> LoadError + Send + 'static) {
        self.tell(Event::FailedAtEnd(Box::new(error)));
    }

    /// Sleeps; false if the load was over before.
    pub fn sleep(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            if self.is_over() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(TICK));
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more when the load is over, and then there is nothing to tell.
        let _ = self.events.send(event);
    }
}

/// Loads the files and returns when everything was answered and, if that is wanted, counted; or when the settings' `stop`
/// is set.
/// Refused posts are reported on standard error.
///
/// After an error, requests under way may still end in the background; their posts are the server's as if their answers
/// had been lost.
pub fn run(settings: &Settings, show: Show) -> Result<Summary, LoadError> {
    let desk = Desk::new(&settings.url, settings.concurrency)?;
    let inputs: Arc<[Input]> = Input::check_all(&settings.files)?.into();
    let mut progress = Progress::new(show, inputs.iter().map(Input::bytes).sum());
    let meter = Meter::start();
    let (failed, reports) = (AtomicBool::new(false), AtomicU64::new(0));
    let shared = Arc::new(Shared { meter, reports, failed, stop: settings.stop.clone() });
    let (events, heard) = sync_channel(64);
    let threads = start(settings, &desk, &inputs, &Link { shared: shared.clone(), events })?;

    let mut end = listen(&heard, &inputs, &shared, &mut progress);
    if end.is_none() {
        // Nobody has anything to tell any more, so all threads have ended.
        let panicked = threads.into_iter().filter_map(|thread| thread.join().err()).count();
        if panicked > 0 {
            end = Some(Box::new(move |summary| LoadError::Bug(format!("{panicked} threads panicked"), summary)));
        } else if settings.wait {
            let waited = wait::until_counted(&desk, settings, &shared.meter, &mut progress, || shared.is_over());
            end = waited.err().map(|error| Box::new(move |_| error) as Failing);
        }
    }
    progress.clear();
    let more = shared.reports.load(Relaxed).saturating_sub(REPORTS_MAX);
    if more > 0 {
        progress.report(&format!("and {more} more articles were refused"));
    }
    match end {
        None => Ok(shared.meter.summary()),
        Some(error) => Err(error(shared.meter.summary())),
    }
}

fn start(
    settings: &Settings,
    desk: &Desk,
    inputs: &Arc<[Input]>,
    link: &Link,
) -> Result<Vec<JoinHandle<()>>, LoadError> {
    let senders = settings.concurrency.max(1);
    let (batches, ready) = sync_channel(senders);
    let ready = Arc::new(Mutex::new(ready));
    let mut threads = Vec::with_capacity(senders + 1);
    let refused = |error: std::io::Error| LoadError::Bug(format!("can't start a thread: {error}"), Summary::default());
    for _ in 0..senders {
        let (ready, desk, settings, link) = (ready.clone(), desk.clone(), settings.clone(), link.clone());
        let send = move || sender::send(&ready, &desk, &settings, &link);
        threads.push(thread::Builder::new().name("load-send".into()).spawn(send).map_err(refused)?);
    }
    let (inputs, posts_max, link) = (inputs.clone(), settings.batch.max(1), link.clone());
    let read = move || reader::read(&inputs, posts_max, &batches, &link);
    threads.push(thread::Builder::new().name("load-read".into()).spawn(read).map_err(refused)?);
    Ok(threads)
}

/// Hears events until all threads have ended or the load is over; returns the error, if there is one.
fn listen(events: &Receiver<Event>, inputs: &[Input], shared: &Shared, progress: &mut Progress) -> Option<Failing> {
    let mut end: Option<Failing> = None;
    let mut at_end: Option<Failing> = None;
    let mut over_at: Option<Instant> = None;
    loop {
        match events.recv_timeout(TICK) {
            Ok(Event::Refused(refusal)) => progress.report(&report(&refusal, inputs)),
            Ok(Event::Trouble(text)) => progress.trouble(text),
            Ok(Event::Failed(error)) => end = end.or(Some(error)),
            Ok(Event::FailedAtEnd(error)) => at_end = Some(error),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        progress.sending(&shared.meter.summary());
        if end.is_some() || shared.is_over() {
            let over_at = over_at.get_or_insert_with(Instant::now);
            if over_at.elapsed() >= LAST_ANSWERS_WITHIN {
                break;
            }
        }
    }
    if end.is_none() && shared.stop.load(Relaxed) {
        return Some(Box::new(LoadError::Interrupted));
    }
    end.or(at_end)
}

fn report(refusal: &Refusal, inputs: &[Input]) -> String {
    let place = inputs[refusal.origin.file].place(refusal.origin.offset);
    let id = refusal.id.as_ref().map_or_else(String::new, |id| format!(" (id {id})"));
    format!("{place}{id}: {}: {}", refusal.code, refusal.message)
}
