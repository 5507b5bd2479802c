//! What a load is told.

use std::path::PathBuf;
use std::time::Duration;

/// What to load, where to, and how patiently. Fill in what differs from [`Settings::new`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// Files with one JSON post a line, or one JSON array of posts; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Where Copydesk listens: `http://HOST:PORT`.
    pub url: String,
    /// Posts in one request, at most.
    pub batch: usize,
    /// Requests under way at the same time.
    pub concurrency: usize,
    /// Whether to wait, after the last answer, until everything queued has been counted.
    pub wait: bool,
    /// How long to go on trying while nothing at all is taken.
    pub give_up_after: Duration,
    /// How long to go on trying if no server has ever answered: an address is more often wrong than late.
    pub first_answer_within: Duration,
}

impl Settings {
    /// The usual settings for these files and that address.
    pub fn new(files: Vec<PathBuf>, url: impl Into<String>) -> Settings {
        Settings {
            files,
            url: url.into(),
            batch: 500,
            concurrency: 4,
            wait: false,
            give_up_after: Duration::from_secs(600),
            first_answer_within: Duration::from_secs(10),
        }
    }
}
