//! Waiting until everything that is queued has been counted.

use std::time::{Duration, Instant};

use crate::desk::{Backlog, Desk};
use crate::error::LoadError;
use crate::meter::Meter;
use crate::progress::Progress;
use crate::settings::Settings;

const POLL_EVERY: Duration = Duration::from_millis(200);
/// The two queues of an answer need not be of the same instant, so one empty answer may have missed what went from the
/// first to the second in between.
const EMPTY_POLLS: u32 = 2;

/// Polls `GET /v1/queue` until both queues are empty. A server that is away for a while is waited for.
pub fn until_counted(
    desk: &Desk,
    settings: &Settings,
    meter: &Meter,
    progress: &mut Progress,
    is_stopped: impl Fn() -> bool,
) -> Result<(), LoadError> {
    let mut last: Option<Backlog> = None;
    let mut changed_at = Instant::now();
    let mut empty_polls = 0;
    loop {
        let backlog = desk.backlog();
        empty_polls = match backlog {
            Ok(Backlog { posts: 0, results: 0 }) => empty_polls + 1,
            _ => 0,
        };
        if empty_polls == EMPTY_POLLS {
            return Ok(());
        }
        if let Ok(backlog) = backlog
            && last.replace(backlog) != Some(backlog)
        {
            changed_at = Instant::now();
        }
        progress.waiting(&backlog);
        if is_stopped() {
            return Err(LoadError::Interrupted(meter.summary()));
        }
        if changed_at.elapsed() >= settings.give_up_after {
            let reason = match backlog {
                Ok(backlog) => format!("still queued: {} posts, {} batches", backlog.posts, backlog.results),
                Err(reason) => reason,
            };
            return Err(LoadError::GaveUp { after: settings.give_up_after, reason, summary: meter.summary() });
        }
        std::thread::sleep(POLL_EVERY);
    }
}
