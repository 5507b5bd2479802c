//! What has to be done to a log before it can be continued. Found out while it is read, which changes nothing, and done
//! afterwards; so that a log can also be looked at without touching it.

use std::io;
use std::sync::Arc;

use crate::log::disk::{Disk, SegmentFile};
use crate::log::frame::{Header, Side};
use crate::log::segment::{damaged_name, ids_name, segment_name};
use crate::log::window::encode_ids;

/// One step. Each is durable before the next; whatever a crash leaves of them, the next start finds the rest to do.
pub(crate) enum Repair {
    /// The last segment ends here: what follows is a write that was broken off.
    Cut { segment: u32, file: Arc<dyn SegmentFile>, len: u64 },
    /// A settlement that was not written whole must not count by halves: its frame is made to mean nothing.
    TakeBack { segment: u32, file: Arc<dyn SegmentFile>, at: u64, header: Header, seed: u32 },
    /// One copy of a command's fields is written again as the other one has it.
    Mend { segment: u32, file: Arc<dyn SegmentFile>, at: u64, sound: Vec<u8> },
    /// What a killed manager wrote last, and perhaps did not sync, is on the disk for sure before anything comes after it:
    /// the rules for the last write are good for the last one only. It is written again, because after a sync that failed
    /// the kernel takes its pages for clean, and another sync would do nothing.
    Rewrite { segment: u32, file: Arc<dyn SegmentFile>, from: u64, to: u64 },
    /// A segment whose beginning can't be read is kept under another name.
    SetAside(u32),
    /// What is remembered of a segment that is gone, and can't be read.
    RemoveIds(u32),
    /// Ids that were put in a segment which has no file for them.
    WriteIds(u32, Vec<u128>),
}

impl Repair {
    /// The file it is about.
    pub(crate) fn file_name(&self) -> String {
        match self {
            Repair::Cut { segment, .. }
            | Repair::TakeBack { segment, .. }
            | Repair::Mend { segment, .. }
            | Repair::Rewrite { segment, .. }
            | Repair::SetAside(segment) => segment_name(*segment),
            Repair::RemoveIds(segment) | Repair::WriteIds(segment, _) => ids_name(*segment),
        }
    }

    pub(crate) fn carry_out(&self, disk: &dyn Disk) -> io::Result<()> {
        match self {
            Repair::Cut { file, len, .. } => file.truncate(*len),
            Repair::TakeBack { file, at, header, seed, .. } => {
                // The front last: as long as it is as it was, the next start begins here again.
                let voided = header.voided();
                file.overwrite(&voided.encode(*seed, Side::Back), at + header.front_len())?;
                file.overwrite(&voided.encode(*seed, Side::Front), *at)
            }
            Repair::Mend { file, at, sound, .. } => file.overwrite(sound, *at),
            Repair::Rewrite { file, from, to, .. } => rewrite(file.as_ref(), *from, *to),
            Repair::SetAside(segment) => {
                disk.rename(&segment_name(*segment), &damaged_name(*segment))?;
                disk.sync_names()
            }
            Repair::RemoveIds(segment) => disk.remove(&ids_name(*segment)),
            Repair::WriteIds(segment, ids) => write_ids(disk, *segment, ids),
        }
    }
}

/// Bytes written again in one piece.
const PIECE: u64 = 1 << 20;

fn rewrite(file: &dyn SegmentFile, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let mut bytes = vec![0; (to - at).min(PIECE) as usize];
        file.read_at(&mut bytes, at)?;
        file.overwrite(&bytes, at)?;
        at += bytes.len() as u64;
    }
    file.sync()
}

/// Writes a segment's ids file. Its name is made durable before the segment can be removed: by the next segment's.
pub(crate) fn write_ids(disk: &dyn Disk, segment: u32, ids: &[u128]) -> io::Result<()> {
    let file = disk.create(&ids_name(segment))?;
    file.append(&mut [io::IoSlice::new(&encode_ids(segment, ids))])?;
    file.sync()
}
