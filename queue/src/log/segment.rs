//! Names and beginnings of the log's files, and the scan that reads a segment back, whatever happened to it.

use std::io;

use crate::codec::{Input, Output};
use crate::log::disk::SegmentFile;
use crate::log::frame::{HEADER, Header, MAGIC, Record, VOID, crc};

/// Version of what is written. Older ones are read, a newer one is refused.
///
/// 2 says of every frame which others were written together with it, and knows frames that were taken back.
pub(crate) const VERSION: u32 = 2;
const SEGMENT_MAGIC: [u8; 8] = *b"CDSKLOG\n";
const PREAMBLE_HALF: usize = 24;
/// Bytes before the first frame: the preamble is there twice, because nothing can be read without its seed.
pub(crate) const PREAMBLE: usize = 2 * PREAMBLE_HALF;
/// Bytes looked through at a time for the next frame.
const SEARCH: usize = 1 << 20;

/// Name of a segment's file.
pub(crate) fn segment_name(number: u32) -> String {
    format!("{number:010}.log")
}

/// Name that a segment gets whose beginning can't be read: kept for whoever wants to look into it, and out of the way.
pub(crate) fn damaged_name(number: u32) -> String {
    format!("{number:010}.log.damaged")
}

/// Name of the file with the ids that were put in a segment.
pub(crate) fn ids_name(number: u32) -> String {
    format!("{number:010}.ids")
}

/// The number in a name made by [`segment_name`] or [`ids_name`].
pub(crate) fn number_of(name: &str, extension: &str) -> Option<u32> {
    let stem = name.strip_suffix(extension)?.strip_suffix('.')?;
    (stem.len() == 10).then(|| stem.parse().ok())?
}

/// What a segment begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preamble {
    /// The seed of its checksums, and whether it has the format that is written now.
    Seed { seed: u32, is_current: bool },
    /// Written by a newer Copydesk.
    Newer(u32),
    /// Neither copy is readable.
    Damaged,
}

impl Preamble {
    pub(crate) fn encode(number: u32, seed: u32) -> Vec<u8> {
        let mut half = Vec::with_capacity(PREAMBLE);
        half.bytes(&SEGMENT_MAGIC);
        half.u32(VERSION);
        half.u32(number);
        half.u32(seed);
        half.u32(crc(0, &half));
        half.extend_from_within(..);
        half
    }

    pub(crate) fn read(file: &dyn SegmentFile, number: u32) -> io::Result<Preamble> {
        if file.size()? < PREAMBLE as u64 {
            return Ok(Preamble::Damaged);
        }
        let mut bytes = [0; PREAMBLE];
        file.read_at(&mut bytes, 0)?;
        let halves = bytes.chunks(PREAMBLE_HALF);
        Ok(halves.filter_map(|half| Preamble::decode(half, number)).next().unwrap_or(Preamble::Damaged))
    }

    fn decode(half: &[u8], number: u32) -> Option<Preamble> {
        let mut input = Input::new(half);
        let magic = input.bytes(SEGMENT_MAGIC.len())?;
        let (version, own_number, seed, sum) = (input.u32()?, input.u32()?, input.u32()?, input.u32()?);
        let is_sound = magic == SEGMENT_MAGIC && own_number == number && sum == crc(0, &half[..PREAMBLE_HALF - 4]);
        let known = Preamble::Seed { seed, is_current: version == VERSION };
        is_sound.then_some(if version > VERSION { Preamble::Newer(version) } else { known })
    }
}

/// One finding of a scan.
pub(crate) enum Found<'a> {
    /// A command.
    Frame {
        header: Header,
        record: Record,
        /// Where its records begin in the file.
        area_at: u32,
        area: &'a [u8],
        /// Whether each record of the area is damaged.
        damaged: Vec<bool>,
        /// Where the frame begins.
        at: u64,
    },
    /// A command that was taken back.
    Void { number: u64, at: u64 },
    /// Bytes that are nothing.
    Damage { at: u64, bytes: u64, what: &'static str },
}

/// Reads the frames of a segment of so many bytes in order, and returns where the last sound one ends. Frames with
/// numbers below `next`, or below one before them, are none: they are copies, put by somebody as a payload.
pub(crate) fn scan(
    file: &dyn SegmentFile,
    seed: u32,
    size: u64,
    mut next: u64,
    visit: &mut dyn FnMut(Found<'_>),
) -> io::Result<u64> {
    let mut at = PREAMBLE as u64;
    let mut sound_end = at;
    let mut body = Vec::new();
    while at < size {
        let header = read_header(file, seed, at, size)?
            .filter(|header| header.number >= next && at + header.frame_len() <= size);
        let Some(header) = header else {
            let found = find_header(file, seed, next, at + 1, size)?.unwrap_or(size);
            visit(Found::Damage { at, bytes: found - at, what: "no frame can be read here" });
            at = found;
            continue;
        };
        let frame_end = at + header.frame_len();
        next = header.number + 1;
        if header.kind == VOID {
            sound_end = frame_end;
            visit(Found::Void { number: header.number, at });
            at = frame_end;
            continue;
        }
        let meta_len = header.meta_len as usize;
        body.resize(meta_len + header.area_len as usize, 0);
        file.read_at(&mut body, at + HEADER as u64)?;
        let (meta, area) = body.split_at(meta_len);
        let record = (crc(seed, meta) == header.meta_crc).then(|| Record::decode(header.kind, meta)).flatten();
        match record.filter(|record| record.area_len() == area.len() as u64) {
            Some(record) => {
                let damaged = damaged_records(&record, area);
                // A put that is whole but for some of its items stays, without those. It may have been answered, and if
                // not, nobody minds an item more. A settlement counts only as a whole, and what follows it unsoundly
                // must not keep it.
                let is_kept_put = at == sound_end && matches!(record, Record::Put(_));
                if !damaged.contains(&true) || is_kept_put {
                    sound_end = frame_end;
                }
                let area_at = (at + HEADER as u64) as u32 + header.meta_len;
                visit(Found::Frame { header, record, area_at, area, damaged, at });
            }
            None => visit(Found::Damage { at, bytes: header.frame_len(), what: "a frame's fields are damaged" }),
        }
        at = frame_end;
    }
    Ok(sound_end)
}

/// How a segment ends.
pub(crate) struct Tail {
    /// Where: bytes from here on are a write that was broken off.
    pub(crate) end: u64,
    /// Settlements of the last write, and where they are, whose outputs are not whole. A disk that loses power may keep any
    /// part of a write that was not synced, so that sound frames of the same write may follow them.
    pub(crate) half_done: Vec<(u64, Header)>,
}

/// Finds out how the last segment ends.
pub(crate) fn read_tail(file: &dyn SegmentFile, seed: u32, size: u64, next: u64) -> io::Result<Tail> {
    let (mut group, mut half_done) = (0, Vec::new());
    let end = scan(file, seed, size, next, &mut |found| {
        let Found::Frame { header, record, damaged, at, .. } = found else { return };
        if header.group() > group {
            group = header.group();
            half_done.clear();
        }
        if matches!(record, Record::Settle { .. }) && damaged.contains(&true) {
            half_done.push((at, header));
        }
    })?;
    half_done.retain(|(at, _)| *at < end);
    Ok(Tail { end, half_done })
}

fn damaged_records(record: &Record, area: &[u8]) -> Vec<bool> {
    let mut rest = area;
    let shapes = record.shapes();
    let is_damaged = |shape: &crate::log::frame::Shape| {
        let (bytes, after) = rest.split_at(shape.record_len() as usize);
        rest = after;
        crc32fast::hash(bytes) != shape.crc
    };
    shapes.iter().map(is_damaged).collect()
}

fn read_header(file: &dyn SegmentFile, seed: u32, at: u64, size: u64) -> io::Result<Option<Header>> {
    if at + HEADER as u64 > size {
        return Ok(None);
    }
    let mut bytes = [0; HEADER];
    file.read_at(&mut bytes, at)?;
    Ok(Header::decode(seed, &bytes))
}

/// Where the next readable header is, at `from` or after.
fn find_header(file: &dyn SegmentFile, seed: u32, next: u64, from: u64, size: u64) -> io::Result<Option<u64>> {
    let mut at = from;
    let mut buffer = Vec::new();
    while at + HEADER as u64 <= size {
        buffer.resize(SEARCH.min((size - at) as usize), 0);
        file.read_at(&mut buffer, at)?;
        for (offset, window) in buffer.windows(HEADER).enumerate() {
            let found = window.first_chunk::<HEADER>().filter(|bytes| bytes.starts_with(&MAGIC));
            let header = found.and_then(|bytes| Header::decode(seed, bytes));
            if header.is_some_and(|header| header.number >= next) {
                return Ok(Some(at + offset as u64));
            }
        }
        at += (buffer.len() - HEADER + 1) as u64;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_not_ours() {
        assert_eq!(number_of(&segment_name(12), "log"), Some(12));
        assert_eq!(number_of(&ids_name(12), "ids"), Some(12));
        for name in ["lock", "12.log", "0000000012.ids", "000000001x.log", ".log"] {
            assert_eq!(number_of(name, "log"), None, "{name}");
        }
    }
}
