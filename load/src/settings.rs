//! What a load is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What to load, where to, and how patiently. The defaults name no file, and the address where `copydesk up` serves.
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
    /// Set by the caller to end the load before its time.
    pub stop: Arc<AtomicBool>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            files: Vec::new(),
            url: "http://127.0.0.1:8080".to_owned(),
            batch: 500,
            concurrency: 4,
            wait: false,
            give_up_after: Duration::from_secs(600),
            first_answer_within: Duration::from_secs(10),
            stop: Arc::default(),
        }
    }
}
