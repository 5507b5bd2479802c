//! What was found in a log, for people.

use std::fmt;
use std::time::Duration;

use crate::log::segment::segment_name;

/// Something in the log that can't be read. What it held is lost, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Number of the segment, as in its file's name.
    pub segment: u32,
    /// Where it begins in that file.
    pub offset: u64,
    /// How much it is.
    pub bytes: u64,
    /// What was there.
    pub what: String,
}

/// What was found when the log was opened, or looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segment files.
    pub segments: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Commands in them.
    pub frames: u64,
    /// Items that are ready.
    pub ready: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Bytes of the last write that are not whole: cut away or taken back when the log is opened. A crash broke that write
    /// off, as a rule, and nobody was told that it succeeded.
    pub torn_bytes: u64,
    /// Everything else that can't be read.
    pub damage: Vec<Damage>,
    /// What was damaged and is there twice: nothing is lost, and opening the log mends it.
    pub mended: Vec<Damage>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { segment, offset, bytes, what } = self;
        write!(f, "{what}: {bytes} bytes at {offset} in {}", segment_name(*segment))
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recovery { segments, bytes, frames, ready, dead_letters, torn_bytes, damage, mended, took } = self;
        write!(f, "{ready} items ready, {dead_letters} dead letters, {frames} commands in {segments} segments of ")?;
        write!(f, "{bytes} bytes, read in {took:.1?}")?;
        if *torn_bytes > 0 {
            write!(f, ", {torn_bytes} bytes of an unfinished write at the end cut away")?;
        }
        if !mended.is_empty() {
            write!(f, ", {} damaged places that a copy makes good", mended.len())?;
        }
        if !damage.is_empty() {
            write!(f, ", {} damaged places", damage.len())?;
        }
        Ok(())
    }
}
