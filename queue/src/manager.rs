//! The manager.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::api::{QueueId, Stats};
use crate::settings::ManagerSettings;

/// The durable queues of one directory.
#[derive(Clone)]
pub struct Manager {}

/// What opening found.
#[derive(Debug, Clone, Default)]
pub struct Recovery {}

impl std::fmt::Display for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "")
    }
}

/// Why a directory can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Reading or writing failed.
    #[error("io")]
    Io(#[from] std::io::Error),
}

impl Manager {
    /// Opens.
    pub fn open(_settings: ManagerSettings) -> Result<(Manager, Recovery), OpenError> {
        Ok((Manager {}, Recovery::default()))
    }
    /// Refuses puts.
    pub fn close(&self, _queue: QueueId) {}
    /// Answers Stop.
    pub fn stop(&self, _queue: QueueId) {}
    /// Whether done.
    pub fn is_done(&self, _queue: QueueId) -> bool {
        false
    }
    /// Counts.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
    /// Names the phase.
    pub fn set_phase(&self, _phase: &str) {}
    /// What else.
    pub fn set_annex(&self, _annex: Arc<dyn Fn() -> Map<String, Value> + Send + Sync>) {}
    /// Lost connections do not count from now on.
    pub fn forgive(&self) {}
    /// Resolves when the disk has failed.
    pub async fn failed(&self) -> String {
        std::future::pending().await
    }
}
