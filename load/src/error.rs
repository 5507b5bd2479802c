//! Why a load ended early. Every message ends with the next thing to try.

use std::io;
use std::time::Duration;

use crate::meter::Summary;

/// How to go on after a load that did not end.
const RESUME: &str = "run the same command again to go on: what was taken is not counted twice";

/// Why a load ended before everything was sent.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The address can't be used. Nothing was sent.
    #[error("{0}")]
    Url(String),
    /// Files can't be used; all of them are named. Nothing was sent.
    #[error("{}", .0.join("\n"))]
    Files(Vec<String>),
    /// A file could not be read to its end.
    #[error("can't read {file}: {error}; {RESUME}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        error: io::Error,
        /// What had been sent.
        summary: Summary,
    },
    /// Nobody ever answered.
    #[error("no Copydesk answers at {url} ({reason}); is it running? start it with: copydesk up")]
    Unreachable {
        /// Where.
        url: String,
        /// What the last try ended with.
        reason: String,
    },
    /// The server will never take this, however often it is asked.
    #[error("{url} answered {reason}")]
    Refused {
        /// Where.
        url: String,
        /// The status, the server's message, and what to try.
        reason: String,
        /// What had been sent.
        summary: Summary,
    },
    /// Nothing at all was taken for too long.
    #[error("gave up after {} s without progress ({reason}); {RESUME}", .after.as_secs_f64())]
    GaveUp {
        /// How long.
        after: Duration,
        /// What the last try ended with.
        reason: String,
        /// What had been sent.
        summary: Summary,
    },
    /// The caller wanted to stop.
    #[error("interrupted; {RESUME}")]
    Interrupted(Summary),
    /// A thread of the loader ended by a bug.
    #[error("the loader failed ({0}), please report it; {RESUME}")]
    Bug(String, Summary),
}

impl LoadError {
    /// What had been sent and answered by then, if anything was.
    pub fn summary(&self) -> Option<&Summary> {
        match self {
            LoadError::Url(_) | LoadError::Files(_) | LoadError::Unreachable { .. } => None,
            LoadError::Read { summary, .. }
            | LoadError::Refused { summary, .. }
            | LoadError::GaveUp { summary, .. }
            | LoadError::Interrupted(summary)
            | LoadError::Bug(_, summary) => Some(summary),
        }
    }
}
