//! The phases of a pipeline's life. Others watch them; only the supervisor moves them, and only forward.

use serde::{Deserialize, Serialize};

/// Where the pipeline is between its start and its stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The log is being read, or there is no worker or no saver that has been ready yet.
    Starting,
    /// Posts are taken, extracted and saved.
    Running,
    /// No post is taken any more; workers finish what is queued.
    DrainingPosts,
    /// Workers are gone; savers finish what is queued.
    DrainingResults,
    /// Nothing is queued, or the deadline has passed: processes are ending.
    Stopping,
}

impl Phase {
    /// The name as it appears in `GET /v1/queue` and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::DrainingPosts => "draining_posts",
            Phase::DrainingResults => "draining_results",
            Phase::Stopping => "stopping",
        }
    }
}
