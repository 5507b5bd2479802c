//! Names and beginnings of the log's files.

use std::io;

use crate::codec::{Input, Output};
use crate::log::disk::SegmentFile;
use crate::log::frame::{Format, crc};

/// Version of what is written. Older ones are read, a newer one is refused.
///
/// 2 has every command's fields twice, says of every frame which others were written together with it, and knows frames
/// that were taken back.
pub(crate) const VERSION: u32 = 2;
const SEGMENT_MAGIC: [u8; 8] = *b"CDSKLOG\n";
const PREAMBLE_HALF: usize = 24;
/// Bytes before the first frame: the preamble is there twice, because nothing can be read without its seed.
pub(crate) const PREAMBLE: usize = 2 * PREAMBLE_HALF;

/// Name of a segment's file.
pub(crate) fn segment_name(number: u32) -> String {
    format!("{number:010}.log")
}

/// Name that a segment gets whose beginning can't be read: kept for whoever wants to look into it, and out of the way.
pub(crate) fn damaged_name(number: u32) -> String {
    format!("{number:010}.log.damaged")
}

/// The number in a name made by [`damaged_name`].
pub(crate) fn number_of_damaged(name: &str) -> Option<u32> {
    number_of(name.strip_suffix(".damaged")?, "log")
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Preamble {
    /// How its frames are laid out; and what the preamble should be, if one of its copies is damaged.
    Known(Format, Option<Vec<u8>>),
    /// Written by a newer Copydesk.
    Newer(u32),
    /// Neither copy is readable.
    Damaged,
}

impl Preamble {
    pub(crate) fn encode(number: u32, seed: u32) -> Vec<u8> {
        Preamble::encode_version(VERSION, number, seed)
    }

    fn encode_version(version: u32, number: u32, seed: u32) -> Vec<u8> {
        let mut half = Vec::with_capacity(PREAMBLE);
        half.bytes(&SEGMENT_MAGIC);
        half.u32(version);
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
        let Some((version, seed)) = halves.filter_map(|half| Preamble::decode(half, number)).next() else {
            return Ok(Preamble::Damaged);
        };
        if version > VERSION {
            return Ok(Preamble::Newer(version));
        }
        let sound = Preamble::encode_version(version, number, seed);
        let format = Format { seed, has_copies: version == VERSION };
        Ok(Preamble::Known(format, (sound != bytes).then_some(sound)))
    }

    /// Version and seed.
    fn decode(half: &[u8], number: u32) -> Option<(u32, u32)> {
        let mut input = Input::new(half);
        let magic = input.bytes(SEGMENT_MAGIC.len())?;
        let (version, own_number, seed, sum) = (input.u32()?, input.u32()?, input.u32()?, input.u32()?);
        let is_sound = magic == SEGMENT_MAGIC && own_number == number && sum == crc(0, &half[..PREAMBLE_HALF - 4]);
        is_sound.then_some((version, seed))
    }
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
