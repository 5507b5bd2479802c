//! A sender: takes batches, posts them, and repeats what was not taken, until there are no more. Several of them share
//! the work.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::answer::Reply;
use crate::batch::Batch;
use crate::delivery::{Delivery, Next};
use crate::desk::Desk;
use crate::error::LoadError;
use crate::run::{Link, Refusal};
use crate::settings::Settings;

/// Delivers batches until there are none or the load is over.
pub fn send(batches: &Mutex<Receiver<Batch>>, desk: &Desk, settings: &Settings, link: &Link) {
    loop {
        // The lock is held while waiting, which is as good as waiting for the lock.
        let batch = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { return };
        if link.is_over() || !deliver(&batch, desk, settings, link) {
            return;
        }
    }
}

/// Whether everything in it was dealt with; if not, the load is over.
fn deliver(batch: &Batch, desk: &Desk, settings: &Settings, link: &Link) -> bool {
    let meter = link.meter();
    let mut delivery = Delivery::new(batch.len());
    let mut counted_as_sent = false;
    let mut failing_since: Option<Instant> = None;
    loop {
        let reply = match delivery.pending() {
            all if all.len() == batch.len() => desk.post(batch.body()),
            some => desk.post(&batch.body_of(some)),
        };
        if !matches!(reply, Reply::Unreachable(_)) {
            meter.answered.store(true, Relaxed);
            if !std::mem::replace(&mut counted_as_sent, true) {
                meter.sent.fetch_add(batch.len() as u64, Relaxed);
            }
        }
        let left = delivery.pending().len();
        let heard = delivery.hear(reply);
        meter.accepted.fetch_add(heard.accepted, Relaxed);
        meter.duplicates.fetch_add(heard.duplicates, Relaxed);
        for (index, item) in heard.refused {
            link.refuse(Refusal { origin: batch.origin(index), id: item.id, code: item.code, message: item.message });
        }
        let progressed = delivery.pending().len() < left || heard.next == Next::Done;
        if progressed {
            meter.progressed();
            failing_since = None;
        }
        match heard.next {
            Next::Done => {
                meter.bytes.fetch_add(batch.source_bytes, Relaxed);
                return true;
            }
            Next::Never(reason) => {
                let url = desk.url().to_owned();
                link.fail(|summary| LoadError::Refused { url, reason, summary });
                return false;
            }
            Next::Again { pause, reason } => {
                let since = *failing_since.get_or_insert_with(Instant::now);
                let stuck = since.elapsed().min(meter.since_progress());
                if !meter.answered.load(Relaxed) && stuck >= settings.first_answer_within {
                    let url = desk.url().to_owned();
                    link.fail(|_| LoadError::Unreachable { url, reason });
                    return false;
                }
                if stuck >= settings.give_up_after {
                    let after = settings.give_up_after;
                    link.fail(move |summary| LoadError::GaveUp { after, reason, summary });
                    return false;
                }
                link.trouble(format!("{reason}; trying again in {:.1} s", pause.as_secs_f64()));
                if !link.sleep(pause) {
                    return false;
                }
                meter.retries.fetch_add(1, Relaxed);
            }
        }
    }
}
