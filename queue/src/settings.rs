//! What a manager is told: its directory, its queues and their bounds.

use std::path::PathBuf;
use std::time::Duration;

use crate::api::{POSTS, QueueId, RESULTS};

/// One queue of a manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// Its number in every call.
    pub id: QueueId,
    /// Its name in the counts.
    pub name: String,
    /// Items that may wait or be leased before puts are refused.
    pub items_max: u64,
    /// Payload bytes of them before puts are refused.
    pub bytes_max: u64,
    /// Whether an id that was accepted lately is refused as a duplicate.
    pub deduplicate: bool,
    /// Where its consumers put their outputs: no item is leased while that queue is at its bound.
    pub feeds: Option<QueueId>,
}

/// Everything a manager is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerSettings {
    /// Where its log is. One manager a directory.
    pub dir: PathBuf,
    /// Its queues.
    pub queues: Vec<QueueSettings>,
    /// Failed deliveries after which an item becomes a dead letter. With 1, whatever a dying consumer held is given up
    /// without finding out which item it was.
    pub max_deliveries: u32,
    /// Ids remembered to find duplicates.
    pub duplicate_window: usize,
    /// Size of a segment file, about.
    pub segment_bytes: u64,
    /// Bytes of lately written payloads kept in memory, so that consumers that keep up never read the disk.
    pub cache_bytes: usize,
    /// Silence after which a consumer is taken for dead.
    pub lease_timeout: Duration,
    /// Age from which on a consumer is given items on their last try.
    pub proven_after: Duration,
    /// Free bytes of the disk below which puts are refused. The rest is for what finishing needs.
    pub disk_free_min: u64,
    /// Connections at once, on each address that is listened on.
    pub connections_max: usize,
}

impl ManagerSettings {
    /// The two queues of the pipeline, [`POSTS`] and [`RESULTS`], with their defaults.
    pub fn pipeline(dir: impl Into<PathBuf>) -> ManagerSettings {
        let queue = |id, name: &str, items_max, bytes_max| QueueSettings {
            id,
            name: name.to_owned(),
            items_max,
            bytes_max,
            deduplicate: false,
            feeds: None,
        };
        ManagerSettings {
            dir: dir.into(),
            queues: vec![
                QueueSettings { deduplicate: true, feeds: Some(RESULTS), ..queue(POSTS, "posts", 1_000_000, 8 << 30) },
                queue(RESULTS, "results", 10_000, 1 << 30),
            ],
            max_deliveries: 3,
            duplicate_window: 1_000_000,
            segment_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            lease_timeout: Duration::from_secs(30),
            proven_after: Duration::from_secs(1),
            disk_free_min: 256 << 20,
            connections_max: 1_024,
        }
    }
}
