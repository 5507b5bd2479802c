//! The scan that reads a segment back, whatever happened to it.

use std::io;

use crate::log::disk::SegmentFile;
use crate::log::frame::{Format, HEADER, Header, Record, Side, VOID, crc};
use crate::log::segment::PREAMBLE;

/// Bytes looked through at a time for the next frame.
const SEARCH: usize = 1 << 20;

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
        /// A copy of header and fields that is damaged: where it is in the file, and what the other copy says it should be.
        mend: Option<(u64, Vec<u8>)>,
    },
    /// A command that was taken back.
    Void { number: u64, at: u64 },
    /// Bytes that are nothing.
    Damage { at: u64, bytes: u64, what: &'static str },
}

/// How a segment ends.
pub(crate) struct Tail {
    /// Where: bytes from here on are a write that was broken off.
    pub(crate) end: u64,
    /// Settlements of the last write, and where they are, whose outputs are not whole. A disk that loses power may keep any
    /// part of a write that was not synced, so that sound frames of the same write may follow them.
    pub(crate) half_done: Vec<(u64, Header)>,
    /// Where the last write begins, of which nobody knows whether it was synced.
    pub(crate) last_write: u64,
}

/// Finds out how the last segment ends.
pub(crate) fn read_tail(file: &dyn SegmentFile, format: Format, size: u64, next: u64) -> io::Result<Tail> {
    let (mut group, mut half_done, mut last_write) = (0, Vec::new(), PREAMBLE as u64);
    let end = scan(file, format, size, next, &mut |found| {
        let Found::Frame { header, record, damaged, at, .. } = found else { return };
        if header.group() > group {
            (group, last_write) = (header.group(), at);
            half_done.clear();
        }
        if matches!(record, Record::Settle { .. }) && damaged.contains(&true) {
            half_done.push((at, header));
        }
    })?;
    half_done.retain(|(at, _)| *at < end);
    Ok(Tail { end, half_done, last_write: last_write.min(end) })
}

/// Reads the frames of a segment of so many bytes in order, and returns where the last sound one ends. Frames with
/// numbers below `next`, or below one before them, are none: they are copies, put by somebody as a payload.
pub(crate) fn scan(
    file: &dyn SegmentFile,
    format: Format,
    size: u64,
    mut next: u64,
    visit: &mut dyn FnMut(Found<'_>),
) -> io::Result<u64> {
    let mut at = PREAMBLE as u64;
    let mut sound_end = at;
    let mut body = Vec::new();
    let segment = Segment { file, format, size };
    while at < size {
        let Some((begin, header)) = segment.find(at, next)? else {
            visit(Found::Damage { at, bytes: size - at, what: NO_FRAME });
            break;
        };
        if begin > at {
            visit(Found::Damage { at, bytes: begin - at, what: NO_FRAME });
            at = begin;
        }
        let frame_end = at + format.frame_len(&header);
        next = header.number + 1;
        // Both headers say so before anything else may follow, and the one at the end says so first.
        if header.kind == VOID {
            sound_end = frame_end;
            visit(Found::Void { number: header.number, at });
            at = frame_end;
            continue;
        }
        body.resize((frame_end - at) as usize, 0);
        file.read_at(&mut body, at)?;
        let parts = Parts::of(&body, &header, format);
        match parts.record(&header, format.seed) {
            Some(record) => {
                let mend = parts.mend(&header, format).map(|(offset, sound)| (at + offset, sound));
                let damaged = damaged_records(&record, parts.area);
                // A put that is whole but for some of its items stays, without those. It may have been answered, and if
                // not, nobody minds an item more. A settlement counts only as a whole, and what follows it unsoundly
                // must not keep it.
                let is_kept_put = at == sound_end && matches!(record, Record::Put(_));
                if !damaged.contains(&true) || is_kept_put {
                    sound_end = frame_end;
                }
                let area_at = (at + header.head_len()) as u32;
                visit(Found::Frame { header, record, area_at, area: parts.area, damaged, at, mend });
            }
            None => visit(Found::Damage { at, bytes: frame_end - at, what: "a command, both copies of its fields" }),
        }
        at = frame_end;
    }
    Ok(sound_end)
}

const NO_FRAME: &str = "commands whose bytes can't be told apart";

/// A frame's bytes.
struct Parts<'a> {
    front: &'a [u8],
    area: &'a [u8],
    /// Empty in a format without copies.
    back: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(body: &'a [u8], header: &Header, format: Format) -> Parts<'a> {
        let (front, rest) = body.split_at(header.head_len() as usize);
        let (area, back) = rest.split_at(header.area_len as usize);
        Parts { front, area, back: if format.has_copies { back } else { &[] } }
    }

    /// The command, by whichever copy of its fields is sound.
    fn record(&self, header: &Header, seed: u32) -> Option<Record> {
        let meta = [self.front, self.back].into_iter().filter_map(|head| head.get(HEADER..));
        let sound = meta.filter(|meta| crc(seed, meta) == header.meta_crc);
        let record = sound.filter_map(|meta| Record::decode(header.kind, meta)).next()?;
        (record.area_len() == self.area.len() as u64).then_some(record)
    }

    /// The copy that is not as it should be, if the other one is sound: where it is in the frame, and how it should be. If
    /// each is damaged in another part, one of them is made good, and the next start finds the other.
    fn mend(&self, header: &Header, format: Format) -> Option<(u64, Vec<u8>)> {
        if self.back.is_empty() {
            return None;
        }
        let copies = [(Side::Front, self.front, 0), (Side::Back, self.back, header.front_len())];
        let is_sound = |meta: &[u8]| crc(format.seed, meta) == header.meta_crc;
        let meta = copies.iter().map(|(_, bytes, _)| &bytes[HEADER..]).find(|meta| is_sound(meta))?;
        let sound = |side| [&header.encode(format.seed, side), meta].concat();
        let copies = copies.into_iter().map(|(side, bytes, offset)| (bytes, offset, sound(side)));
        copies.filter(|(bytes, _, sound)| bytes != sound).map(|(_, offset, sound)| (offset, sound)).next()
    }
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

/// What a header is looked for in.
struct Segment<'a> {
    file: &'a dyn SegmentFile,
    format: Format,
    size: u64,
}

impl Segment<'_> {
    /// The first frame that begins at `from` or after, and its header.
    fn find(&self, from: u64, next: u64) -> io::Result<Option<(u64, Header)>> {
        let mut at = from;
        let mut buffer = vec![0; HEADER];
        while at + HEADER as u64 <= self.size {
            // As a rule the first look is enough.
            let len = if at == from { HEADER } else { SEARCH };
            buffer.resize(len.min((self.size - at) as usize), 0);
            self.file.read_at(&mut buffer, at)?;
            for (offset, window) in buffer.windows(HEADER).enumerate() {
                let Some((side, bytes)) = Side::of(window).zip(window.first_chunk::<HEADER>()) else { continue };
                let header = Header::decode(self.format.seed, bytes, side).filter(|header| header.number >= next);
                let Some(header) = header else { continue };
                let found_at = at + offset as u64;
                let begin = match side {
                    Side::Front => Some(found_at),
                    Side::Back => found_at.checked_sub(header.front_len()).filter(|begin| *begin >= from),
                };
                let is_whole = |begin: &u64| begin + self.format.frame_len(&header) <= self.size;
                if let Some(begin) = begin.filter(is_whole) {
                    return Ok(Some((begin, header)));
                }
            }
            at += (buffer.len() - HEADER + 1) as u64;
        }
        Ok(None)
    }
}
