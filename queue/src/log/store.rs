//! The files of the log as the writer sees them: one segment that grows, older ones that only shrink away.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;

use crate::log::cache::Place;
use crate::log::disk::{Disk, SegmentFile};
use crate::log::frame::{HEADER, Header, Record, Side, crc};
use crate::log::repair::write_ids;
use crate::log::segment::{PREAMBLE, Preamble, ids_name, segment_name};

/// A command to write: its fields, and its area in parts.
pub(crate) struct Piece<'a> {
    pub(crate) record: &'a Record,
    pub(crate) area: &'a [Bytes],
}

/// The segment that grows.
pub(crate) struct Active {
    pub(crate) number: u32,
    pub(crate) seed: u32,
    pub(crate) file: Arc<dyn SegmentFile>,
    pub(crate) bytes: u64,
    /// Ids that were put in it.
    pub(crate) ids: usize,
}

/// The log, for its one writer.
pub(crate) struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) active: Active,
    /// Of the next frame.
    pub(crate) frame_number: u64,
    /// How many ids each ids file has.
    pub(crate) ids_files: BTreeMap<u32, usize>,
    scratch: Vec<u8>,
}

/// Memory the encoder may keep between two groups.
const SCRATCH_KEPT: usize = 1 << 20;

impl Log {
    pub(crate) fn new(disk: Arc<dyn Disk>, active: Active, frame_number: u64, ids_files: BTreeMap<u32, usize>) -> Log {
        Log { disk, active, frame_number, ids_files, scratch: Vec::new() }
    }

    /// Writes a group and syncs it. Returns where each command's area is. After an error nothing is known of the file,
    /// and nothing may be written any more.
    pub(crate) fn commit(&mut self, group: &[Piece<'_>]) -> io::Result<Vec<Place>> {
        let seed = self.active.seed;
        let scratch = &mut self.scratch;
        scratch.clear();
        let too_long = |_| io::Error::other("a frame is too long");
        let mut heads = Vec::with_capacity(group.len());
        let mut places = Vec::with_capacity(group.len());
        let mut at = self.active.bytes;
        for (index, piece) in group.iter().enumerate() {
            let begin = scratch.len();
            scratch.resize(begin + HEADER, 0);
            let kind = piece.record.encode(scratch);
            let front_end = scratch.len();
            let area_len: usize = piece.area.iter().map(Bytes::len).sum();
            let header = Header {
                kind,
                index: u32::try_from(index).map_err(too_long)?,
                meta_len: u32::try_from(front_end - begin - HEADER).map_err(too_long)?,
                area_len: u32::try_from(area_len).map_err(too_long)?,
                number: self.frame_number,
                meta_crc: crc(seed, &scratch[begin + HEADER..]),
            };
            scratch[begin..begin + HEADER].copy_from_slice(&header.encode(seed, Side::Front));
            scratch.extend_from_slice(&header.encode(seed, Side::Back));
            scratch.extend_from_within(begin + HEADER..front_end);
            heads.push(front_end);
            let area_at = u32::try_from(at + header.head_len()).map_err(too_long)?;
            places.push(Place { segment: self.active.number, offset: area_at });
            at += header.front_len() + header.head_len();
            self.frame_number += 1;
        }
        // The end of a frame and the beginning of the next are neighbours in `scratch`.
        let mut parts = Vec::with_capacity(group.iter().map(|piece| piece.area.len() + 1).sum::<usize>() + 1);
        let mut begin = 0;
        for (piece, front_end) in group.iter().zip(heads) {
            parts.push(IoSlice::new(&scratch[begin..front_end]));
            parts.extend(piece.area.iter().map(|part| IoSlice::new(part)));
            begin = front_end;
        }
        parts.push(IoSlice::new(&scratch[begin..]));
        self.active.file.append(&mut parts)?;
        self.active.file.sync()?;
        self.active.bytes = at;
        self.scratch.shrink_to(SCRATCH_KEPT);
        Ok(places)
    }

    /// Seals the segment, leaving the ids that were put in it beside it, and begins the next one with `head`.
    pub(crate) fn roll(&mut self, ids: &[u128], head: &Record) -> io::Result<()> {
        write_ids(self.disk.as_ref(), self.active.number, ids)?;
        self.ids_files.insert(self.active.number, ids.len());
        self.active = Log::begin(self.disk.as_ref(), self.active.number + 1)?;
        self.commit(&[Piece { record: head, area: &[] }])?;
        Ok(())
    }

    /// Makes a segment that has nothing but its preamble.
    pub(crate) fn begin(disk: &dyn Disk, number: u32) -> io::Result<Active> {
        let nonce = crate::secret::nonce()?;
        let seed = u32::from_le_bytes([nonce[0], nonce[1], nonce[2], nonce[3]]);
        let file = disk.create(&segment_name(number))?;
        file.append(&mut [IoSlice::new(&Preamble::encode(number, seed))])?;
        file.sync()?;
        disk.sync_names()?;
        Ok(Active { number, seed, file, bytes: PREAMBLE as u64, ids: 0 })
    }

    /// Removes the oldest segment. One removal is durable before the next: if a younger one went first, the settlements
    /// in it would be forgotten, and what they settled would come back.
    pub(crate) fn remove_segment(&mut self, number: u32) -> io::Result<()> {
        self.disk.remove(&segment_name(number))?;
        self.disk.sync_names()
    }

    /// Removes the ids files of removed segments whose ids are out of a window of `ids_max`.
    pub(crate) fn remove_ids(&mut self, oldest_segment: u32, ids_max: usize) -> io::Result<()> {
        let mut newer: usize = self.active.ids + self.ids_files.values().sum::<usize>();
        while let Some((&number, &count)) = self.ids_files.first_key_value() {
            newer -= count;
            if number >= oldest_segment || newer < ids_max {
                break;
            }
            self.disk.remove(&ids_name(number))?;
            self.ids_files.remove(&number);
        }
        Ok(())
    }
}
