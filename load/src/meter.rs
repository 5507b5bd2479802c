//! The counts of a load: shared by its threads while it runs, a [`Summary`] when it ends.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde::Serialize;

/// What became of the articles. Serialises as the last line of `copydesk load --json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Articles that were sent, each counted once however often it was repeated.
    pub sent: u64,
    /// Articles that are on the server's disk because of this load.
    pub accepted: u64,
    /// Articles that the server had taken before.
    pub duplicates: u64,
    /// Articles that were refused for good, by the server or before they were sent.
    pub rejected: u64,
    /// Requests that were repeated.
    pub retries: u64,
    /// From the start to the last answer or, if the load waited, to the empty queue.
    pub seconds: f64,
    /// Bytes of the files that are dealt with.
    #[serde(skip)]
    pub bytes: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds.max(1e-3);
        let (articles_per_s, megabytes_per_s) = (self.sent as f64 / seconds, self.bytes as f64 / 1e6 / seconds);
        write!(f, "sent {} articles in {:.1} s", grouped(self.sent), self.seconds)?;
        write!(f, " ({} articles/s, {megabytes_per_s:.1} MB/s): ", grouped(articles_per_s as u64))?;
        write!(f, "{} accepted, {} duplicates, ", grouped(self.accepted), grouped(self.duplicates))?;
        write!(f, "{} rejected, {} retries", grouped(self.rejected), grouped(self.retries))
    }
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The counts while they move. They are for people and summaries, so none has to be in step with another.
#[derive(Debug)]
pub struct Meter {
    start: Instant,
    pub sent: AtomicU64,
    pub accepted: AtomicU64,
    pub duplicates: AtomicU64,
    pub rejected: AtomicU64,
    pub retries: AtomicU64,
    pub bytes: AtomicU64,
    /// Set by the first answer of any kind.
    pub answered: AtomicBool,
    progress_ms: AtomicU64,
}

impl Meter {
    /// All zero, starting now.
    pub fn start() -> Meter {
        Meter {
            start: Instant::now(),
            sent: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            progress_ms: AtomicU64::new(0),
        }
    }

    /// Notes that something was dealt with just now.
    pub fn progressed(&self) {
        self.progress_ms.store(self.elapsed_ms(), Relaxed);
    }

    /// How long ago something was last dealt with.
    pub fn since_progress(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms().saturating_sub(self.progress_ms.load(Relaxed)))
    }

    /// The counts as of now.
    pub fn summary(&self) -> Summary {
        Summary {
            sent: self.sent.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            retries: self.retries.load(Relaxed),
            seconds: self.elapsed_ms() as f64 / 1e3,
            bytes: self.bytes.load(Relaxed),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_json_has_the_six_fields_of_the_contract() {
        let json = serde_json::to_value(Summary::default()).expect("serialises");
        let mut names: Vec<_> = json.as_object().expect("an object").keys().cloned().collect();
        names.sort();
        assert_eq!(names, ["accepted", "duplicates", "rejected", "retries", "seconds", "sent"]);
    }
}
