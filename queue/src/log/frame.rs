//! One frame of the log: a header, the command's fields ("meta"), the area of ids and payloads, and header and fields
//! again.

use crc32fast::Hasher;

use crate::codec::{Input, Output};

/// Bytes of a frame before its meta.
pub(crate) const HEADER: usize = 32;
/// What a header begins with.
const MAGIC: [u8; 4] = *b"\xC0DQ\x1F";
/// What the copy of a header begins with that is at the end of its frame.
const COPY_MAGIC: [u8; 4] = *b"\xC0DQ\x1E";
/// Frames in one group at most: their indices have 24 bits.
pub(crate) const GROUP_MAX: u64 = 1 << 24;
/// The kind of a frame that was taken back.
pub(crate) const VOID: u8 = 9;

/// Frames and items have lower numbers than this, or else their fields are damaged: no log gets there.
const NUMBER_MAX: u64 = 1 << 62;
/// The same for starts and for attempts.
const COUNT_MAX: u32 = 1 << 31;

/// Which of a frame's two headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// At its beginning, before the fields.
    Front,
    /// After the area, before the copy of the fields.
    Back,
}

/// The fixed part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u8,
    /// Which frame of its group this is, counted from 0: those of one write have the same `number - index`.
    pub(crate) index: u32,
    pub(crate) meta_len: u32,
    pub(crate) area_len: u32,
    /// Frames are numbered without gaps over all segments.
    pub(crate) number: u64,
    pub(crate) meta_crc: u32,
}

/// One record's place in an area: its id, then its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) id_len: u16,
    pub(crate) len: u32,
    /// Of id and payload together.
    pub(crate) crc: u32,
}

/// Consecutively numbered new records of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) queue: u8,
    pub(crate) first_seq: u64,
    pub(crate) put_ms: u64,
    pub(crate) shapes: Vec<Shape>,
}

/// A live record copied forward, with everything known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) queue: u8,
    pub(crate) seq: u64,
    pub(crate) put_ms: u64,
    pub(crate) attempts: u32,
    pub(crate) shape: Shape,
    /// Reason and time of death, if it is a dead letter.
    pub(crate) dead: Option<(String, u64)>,
}

/// A command, as it is logged. Area-carrying commands have their records there in the order of their fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// First in every segment and after every start: what must outlive the segments before.
    Head {
        epoch: u32,
        next_seqs: Vec<(u8, u64)>,
    },
    Put(Batch),
    Settle {
        queue: u8,
        ranges: Vec<(u64, u32)>,
        outputs: Option<Batch>,
    },
    /// Deliveries failed: the number of failures of each from now on.
    Return {
        queue: u8,
        failed: Vec<(u64, u32)>,
    },
    /// Became dead letters, with the number of failures of each.
    Bury {
        queue: u8,
        buried: Vec<(u64, u32)>,
        reason: String,
        died_at_ms: u64,
    },
    Retry {
        queue: u8,
        seq: u64,
    },
    Drop {
        queue: u8,
        seq: u64,
    },
    Move(Vec<Moved>),
}

impl Shape {
    /// Bytes in the area.
    pub(crate) fn record_len(&self) -> u64 {
        u64::from(self.id_len) + u64::from(self.len)
    }
}

impl Header {
    pub(crate) fn encode(&self, seed: u32, side: Side) -> [u8; HEADER] {
        let mut out = Vec::with_capacity(HEADER);
        out.bytes(side.magic());
        out.u32(u32::from(self.kind) | self.index << 8);
        out.u32(self.meta_len);
        out.u32(self.area_len);
        out.u64(self.number);
        out.u32(self.meta_crc);
        out.u32(crc(seed, &out));
        let mut header = [0; HEADER];
        header.copy_from_slice(&out);
        header
    }

    /// Nothing if these are not the bytes of such a header of this segment.
    pub(crate) fn decode(seed: u32, bytes: &[u8; HEADER], side: Side) -> Option<Header> {
        let mut input = Input::new(bytes);
        if input.bytes(MAGIC.len())? != side.magic() {
            return None;
        }
        let kind_and_index = input.u32()?;
        let (kind, index) = (kind_and_index as u8, kind_and_index >> 8);
        let (meta_len, area_len, number, meta_crc) = (input.u32()?, input.u32()?, input.u64()?, input.u32()?);
        let is_sound = input.u32()? == crc(seed, &bytes[..HEADER - 4]) && number < NUMBER_MAX;
        is_sound.then_some(Header { kind, index, meta_len, area_len, number, meta_crc })
    }

    /// The number of the first frame that was written together with this one.
    pub(crate) fn group(&self) -> u64 {
        self.number.saturating_sub(u64::from(self.index))
    }

    /// The same frame, taken back: its bytes stay and mean nothing.
    pub(crate) fn voided(&self) -> Header {
        Header { kind: VOID, ..*self }
    }

    /// Bytes from the beginning of the frame to the end of its area.
    pub(crate) fn front_len(&self) -> u64 {
        self.head_len() + u64::from(self.area_len)
    }

    /// Bytes of header and fields.
    pub(crate) fn head_len(&self) -> u64 {
        HEADER as u64 + u64::from(self.meta_len)
    }
}

impl Side {
    fn magic(self) -> &'static [u8] {
        match self {
            Side::Front => &MAGIC,
            Side::Back => &COPY_MAGIC,
        }
    }

    /// Which header such bytes may be; none if they can't be one.
    pub(crate) fn of(bytes: &[u8]) -> Option<Side> {
        [Side::Front, Side::Back].into_iter().find(|side| bytes.starts_with(side.magic()))
    }
}

/// How the frames of a segment are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    /// Of all checksums.
    pub(crate) seed: u32,
    /// Whether a frame ends with its header and fields once more. Format 1 had no copies.
    pub(crate) has_copies: bool,
}

impl Format {
    /// Bytes of a whole frame.
    pub(crate) fn frame_len(self, header: &Header) -> u64 {
        header.front_len() + if self.has_copies { header.head_len() } else { 0 }
    }
}

/// A checksum. Every segment has a seed of its own, so that no bytes of another segment, and no payload made to look
/// like a frame, are taken for a frame of this one.
pub(crate) fn crc(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

impl Batch {
    /// Bytes in the area.
    pub(crate) fn area_len(&self) -> u64 {
        self.shapes.iter().map(Shape::record_len).sum()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.u8(self.queue);
        out.u64(self.first_seq);
        out.u64(self.put_ms);
        out.length(self.shapes.len());
        for shape in &self.shapes {
            shape.encode(out);
        }
    }

    fn decode(input: &mut Input<'_>) -> Option<Batch> {
        let (queue, first_seq, put_ms) = (input.u8()?, input.u64()?, input.u64()?);
        let count = input.count(Shape::ENCODED)?;
        let shapes = (0..count).map(|_| Shape::decode(input)).collect::<Option<_>>()?;
        (first_seq < NUMBER_MAX).then_some(Batch { queue, first_seq, put_ms, shapes })
    }
}

impl Shape {
    const ENCODED: usize = 10;

    fn encode(&self, out: &mut Vec<u8>) {
        out.u16(self.id_len);
        out.u32(self.len);
        out.u32(self.crc);
    }

    fn decode(input: &mut Input<'_>) -> Option<Shape> {
        Some(Shape { id_len: input.u16()?, len: input.u32()?, crc: input.u32()? })
    }
}

impl Moved {
    fn encode(&self, out: &mut Vec<u8>) {
        out.u8(self.queue);
        out.u64(self.seq);
        out.u64(self.put_ms);
        out.u32(self.attempts);
        self.shape.encode(out);
        out.u8(u8::from(self.dead.is_some()));
        if let Some((reason, died_at_ms)) = &self.dead {
            out.u64(*died_at_ms);
            encode_text(reason, out);
        }
    }

    fn decode(input: &mut Input<'_>) -> Option<Moved> {
        let (queue, seq, put_ms, attempts) = (input.u8()?, input.u64()?, input.u64()?, input.u32()?);
        let shape = Shape::decode(input)?;
        let dead = match input.u8()? {
            0 => None,
            _ => {
                let died_at_ms = input.u64()?;
                Some((decode_text(input)?, died_at_ms))
            }
        };
        let is_plausible = seq < NUMBER_MAX && attempts < COUNT_MAX;
        is_plausible.then_some(Moved { queue, seq, put_ms, attempts, shape, dead })
    }
}

fn encode_text(text: &str, out: &mut Vec<u8>) {
    out.length(text.len());
    out.bytes(text.as_bytes());
}

fn decode_text(input: &mut Input<'_>) -> Option<String> {
    let len = input.count(1)?;
    input.text(len)
}

fn encode_pairs(pairs: &[(u64, u32)], out: &mut Vec<u8>) {
    out.length(pairs.len());
    for (seq, value) in pairs {
        out.u64(*seq);
        out.u32(*value);
    }
}

fn decode_pairs(input: &mut Input<'_>) -> Option<Vec<(u64, u32)>> {
    let count = input.count(12)?;
    let mut pair = || input.u64().zip(input.u32()).filter(|(seq, value)| *seq < NUMBER_MAX && *value < COUNT_MAX);
    (0..count).map(|_| pair()).collect()
}

impl Record {
    /// Appends the meta to `out`, and returns the kind.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> u8 {
        match self {
            Record::Head { epoch, next_seqs } => {
                out.u32(*epoch);
                out.length(next_seqs.len());
                for (queue, seq) in next_seqs {
                    out.u8(*queue);
                    out.u64(*seq);
                }
                1
            }
            Record::Put(batch) => {
                batch.encode(out);
                2
            }
            Record::Settle { queue, ranges, outputs } => {
                out.u8(*queue);
                encode_pairs(ranges, out);
                out.u8(u8::from(outputs.is_some()));
                if let Some(outputs) = outputs {
                    outputs.encode(out);
                }
                3
            }
            Record::Return { queue, failed } => {
                out.u8(*queue);
                encode_pairs(failed, out);
                4
            }
            Record::Bury { queue, buried, reason, died_at_ms } => {
                out.u8(*queue);
                encode_pairs(buried, out);
                encode_text(reason, out);
                out.u64(*died_at_ms);
                5
            }
            Record::Retry { queue, seq } => {
                out.u8(*queue);
                out.u64(*seq);
                6
            }
            Record::Drop { queue, seq } => {
                out.u8(*queue);
                out.u64(*seq);
                7
            }
            Record::Move(moved) => {
                out.length(moved.len());
                for record in moved {
                    record.encode(out);
                }
                8
            }
        }
    }

    /// Nothing if the meta is not what `encode` writes for this kind.
    pub(crate) fn decode(kind: u8, meta: &[u8]) -> Option<Record> {
        let mut input = Input::new(meta);
        let input = &mut input;
        let record = match kind {
            1 => {
                let epoch = input.u32().filter(|epoch| *epoch < COUNT_MAX)?;
                let count = input.count(9)?;
                let mut next_seq = || input.u8().zip(input.u64()).filter(|(_, seq)| *seq < NUMBER_MAX);
                let next_seqs = (0..count).map(|_| next_seq()).collect::<Option<_>>()?;
                Record::Head { epoch, next_seqs }
            }
            2 => Record::Put(Batch::decode(input)?),
            3 => {
                let (queue, ranges) = (input.u8()?, decode_pairs(input)?);
                let outputs = if input.u8()? == 0 { None } else { Some(Batch::decode(input)?) };
                Record::Settle { queue, ranges, outputs }
            }
            4 => Record::Return { queue: input.u8()?, failed: decode_pairs(input)? },
            5 => {
                let (queue, buried, reason) = (input.u8()?, decode_pairs(input)?, decode_text(input)?);
                Record::Bury { queue, buried, reason, died_at_ms: input.u64()? }
            }
            6 => Record::Retry { queue: input.u8()?, seq: input.u64()? },
            7 => Record::Drop { queue: input.u8()?, seq: input.u64()? },
            8 => {
                let count = input.u32()?;
                Record::Move((0..count).map(|_| Moved::decode(input)).collect::<Option<_>>()?)
            }
            _ => return None,
        };
        input.end()?;
        Some(record)
    }

    /// The records in the area, in order.
    pub(crate) fn shapes(&self) -> Vec<Shape> {
        match self {
            Record::Put(batch) | Record::Settle { outputs: Some(batch), .. } => batch.shapes.clone(),
            Record::Move(moved) => moved.iter().map(|moved| moved.shape).collect(),
            _ => Vec::new(),
        }
    }

    /// Bytes of the area.
    pub(crate) fn area_len(&self) -> u64 {
        match self {
            Record::Put(batch) | Record::Settle { outputs: Some(batch), .. } => batch.area_len(),
            Record::Move(moved) => moved.iter().map(|moved| moved.shape.record_len()).sum(),
            _ => 0,
        }
    }
}

/// Sorted numbers as ranges of first and count.
pub(crate) fn ranges(seqs: &[u64]) -> Vec<(u64, u32)> {
    let mut ranges: Vec<(u64, u32)> = Vec::new();
    for &seq in seqs {
        match ranges.last_mut() {
            Some((first, count)) if *first + u64::from(*count) == seq => *count += 1,
            _ => ranges.push((seq, 1)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let shape = Shape { id_len: 3, len: 70_000, crc: 9 };
        Batch { queue: 1, first_seq: 1 << 40, put_ms: 5, shapes: vec![shape, Shape { id_len: 0, ..shape }] }
    }

    fn every_kind() -> Vec<Record> {
        let moved = Moved { queue: 0, seq: 1, put_ms: 2, attempts: 3, shape: batch().shapes[0], dead: None };
        vec![
            Record::Head { epoch: 7, next_seqs: vec![(0, 1), (1, 1 << 50)] },
            Record::Put(batch()),
            Record::Settle { queue: 0, ranges: vec![(1, 2), (9, 1)], outputs: None },
            Record::Settle { queue: 0, ranges: vec![], outputs: Some(batch()) },
            Record::Return { queue: 0, failed: vec![(1, 2)] },
            Record::Bury { queue: 0, buried: vec![(1, 3)], reason: "désolé".into(), died_at_ms: 4 },
            Record::Retry { queue: 1, seq: 2 },
            Record::Drop { queue: 1, seq: 2 },
            Record::Move(vec![moved.clone(), Moved { dead: Some(("why".into(), 1)), ..moved }]),
        ]
    }

    #[test]
    fn every_command_reads_back_and_no_prefix_of_it_does() {
        for record in every_kind() {
            let mut meta = Vec::new();
            let kind = record.encode(&mut meta);
            assert_eq!(Record::decode(kind, &meta), Some(record));
            for len in 0..meta.len() {
                assert_eq!(Record::decode(kind, &meta[..len]), None);
            }
        }
    }

    #[test]
    fn a_header_is_bound_to_its_segment_and_every_bit_of_it_counts() {
        let header = Header { kind: 2, index: 1, meta_len: 3, area_len: 4, number: 5, meta_crc: 6 };
        for (side, other) in [(Side::Front, Side::Back), (Side::Back, Side::Front)] {
            let bytes = header.encode(1, side);
            assert_eq!(Header::decode(1, &bytes, side), Some(header));
            assert_eq!(Header::decode(2, &bytes, side), None);
            assert_eq!(Header::decode(1, &bytes, other), None);
            for bit in 0..HEADER * 8 {
                let mut flipped = bytes;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Header::decode(1, &flipped, side), None, "bit {bit}");
            }
        }
    }

    #[test]
    fn neighbours_become_one_range() {
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), [(1, 3), (7, 1), (9, 2)]);
        assert_eq!(ranges(&[]), []);
    }
}
