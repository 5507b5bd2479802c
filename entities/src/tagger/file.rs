//! The model file. Little-endian throughout:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `DESKTAGS` |
//! | 4 | version of this format |
//! | 4 | [`TEXT_VERSION`] the weights were trained with |
//! | 32 | SHA-256 of everything that follows |
//! | 4 + n | name, as UTF-8 |
//! | 4 + n | notice: whose data the weights were made from, as UTF-8 |
//! | 4, then 4 + n each | labels |
//! | 4 | rows of the table |
//! | 4 | the longest probe: how many rows a look-up may have to see |
//! | 2 * tags * tags | transitions, `i16`, by the tag before and the tag after |
//! | 2 * rows | fingerprints, `u16`; 0 is an empty row |
//! | rows * 4 * labels | weights, `i8`, of all tags but `O`, which scores 0 |
//!
//! A change of the layout raises the format version; an older program then refuses the file and says so.

use std::ops::Range;

use sha2::{Digest, Sha256};

use super::tags;
use crate::text::TEXT_VERSION;

const MAGIC: &[u8; 8] = b"DESKTAGS";
const FORMAT_VERSION: u32 = 1;
const HASHED_FROM: usize = 8 + 4 + 4 + 32;

/// The most labels a model can have: tags are kept in a byte.
pub const LABELS_MAX: usize = 63;

/// What a model file says, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The model's name.
    pub name: String,
    /// Whose data it was made from.
    pub notice: String,
    /// The labels, in display order.
    pub labels: Vec<String>,
    /// By the tag before and the tag after.
    pub transitions: Vec<i16>,
    /// Rows of the table.
    pub rows: usize,
    /// How many rows a look-up may have to see.
    pub probe_max: usize,
    /// Where the fingerprints are.
    pub fingerprints: Range<usize>,
    /// Where the weights are.
    pub weights: Range<usize>,
}

/// Why bytes are not a model this program can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It begins otherwise.
    #[error("it is not a Copydesk model; give a file made by `copydesk train`, or leave --model out")]
    NotAModel,
    /// Another layout.
    #[error("its format is version {0}, this program reads {FORMAT_VERSION}; train it again with `copydesk train`")]
    FormatVersion(u32),
    /// Other tokens and features.
    #[error(
        "it was trained for text version {0}, this program has {TEXT_VERSION}; train it again with `copydesk train`"
    )]
    TextVersion(u32),
    /// Cut off, or changed since it was written.
    #[error("it is damaged (the checksum or a length is wrong); copy it again or train it again")]
    Damaged,
}

/// Whether the checksum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Yes: the file comes from somewhere.
    Checksum,
    /// No: the bytes are part of this program, and a test has computed it.
    Shape,
}

/// Reads where things are.
pub fn read(bytes: &[u8], verify: Verify) -> Result<Layout, FormatError> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.take(8) != Ok(MAGIC) {
        return Err(FormatError::NotAModel);
    }
    match reader.u32()? {
        FORMAT_VERSION => {}
        other => return Err(FormatError::FormatVersion(other)),
    }
    let text_version = reader.u32()?;
    let checksum = reader.take(32)?;
    if verify == Verify::Checksum && Sha256::digest(&bytes[HASHED_FROM..])[..] != *checksum {
        return Err(FormatError::Damaged);
    }
    if text_version != TEXT_VERSION {
        return Err(FormatError::TextVersion(text_version));
    }
    let name = reader.text()?;
    let notice = reader.text()?;
    let label_count = reader.u32()? as usize;
    if label_count == 0 || label_count > LABELS_MAX {
        return Err(FormatError::Damaged);
    }
    let labels = (0..label_count).map(|_| reader.text()).collect::<Result<Vec<_>, _>>()?;
    let rows = reader.u32()? as usize;
    let probe_max = reader.u32()? as usize;
    let tag_count = tags::count(label_count);
    let transitions = reader.take(2 * tag_count * tag_count)?;
    let transitions = transitions.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let fingerprints = reader.range(2 * rows)?;
    let weights = reader.range(rows * 4 * label_count)?;
    if reader.at != bytes.len() || rows == 0 || probe_max > rows {
        return Err(FormatError::Damaged);
    }
    Ok(Layout { name, notice, labels, transitions, rows, probe_max, fingerprints, weights })
}

/// What a model is written from.
pub struct Parts<'a> {
    /// The model's name.
    pub name: &'a str,
    /// Whose data it was made from.
    pub notice: &'a str,
    /// The labels, in display order.
    pub labels: &'a [String],
    /// By the tag before and the tag after.
    pub transitions: &'a [i16],
    /// How many rows a look-up may have to see.
    pub probe_max: u32,
    /// One a row; 0 is an empty row.
    pub fingerprints: &'a [u16],
    /// `4 * labels` a row.
    pub weights: &'a [i8],
}

/// Writes a model.
pub fn write(parts: &Parts<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&TEXT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 32]);
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    };
    text(&mut bytes, parts.name);
    text(&mut bytes, parts.notice);
    bytes.extend_from_slice(&(parts.labels.len() as u32).to_le_bytes());
    parts.labels.iter().for_each(|label| text(&mut bytes, label));
    bytes.extend_from_slice(&(parts.fingerprints.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&parts.probe_max.to_le_bytes());
    bytes.extend(parts.transitions.iter().flat_map(|value| value.to_le_bytes()));
    bytes.extend(parts.fingerprints.iter().flat_map(|value| value.to_le_bytes()));
    bytes.extend(parts.weights.iter().flat_map(|value| value.to_le_bytes()));
    let checksum = Sha256::digest(&bytes[HASHED_FROM..]);
    bytes[HASHED_FROM - 32..HASHED_FROM].copy_from_slice(&checksum);
    bytes
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn range(&mut self, length: usize) -> Result<Range<usize>, FormatError> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len()).ok_or(FormatError::Damaged)?;
        Ok(std::mem::replace(&mut self.at, end)..end)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        self.range(length).map(|range| &self.bytes[range])
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn text(&mut self) -> Result<String, FormatError> {
        let length = self.u32()? as usize;
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| FormatError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        write(&Parts {
            name: "sample",
            notice: "nobody's data",
            labels: &["A".to_owned()],
            transitions: &[1; 25],
            probe_max: 1,
            fingerprints: &[7, 0],
            weights: &[-1, 2, 3, 4, 0, 0, 0, 0],
        })
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = sample();
        let layout = read(&bytes, Verify::Checksum).expect("reads");
        assert_eq!((layout.name.as_str(), layout.rows, layout.probe_max), ("sample", 2, 1));
        assert_eq!(bytes[layout.fingerprints], [7, 0, 0, 0]);
        assert_eq!(bytes[layout.weights][0], 255);
        assert_eq!(layout.transitions, [1; 25]);
    }

    #[test]
    fn no_changed_byte_and_no_cut_goes_unnoticed() {
        let whole = sample();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            assert!(read(&bytes, Verify::Checksum).is_err(), "byte {at}");
            assert!(read(&whole[..at], Verify::Checksum).is_err(), "cut at {at}");
            // Without the checksum a change may pass, but never panic.
            let _ = read(&bytes, Verify::Shape);
            assert!(read(&whole[..at], Verify::Shape).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = sample();
        bytes[8] = 9;
        assert_eq!(read(&bytes, Verify::Checksum), Err(FormatError::FormatVersion(9)));
        let mut bytes = sample();
        bytes[12] = 200;
        let error = read(&bytes, Verify::Checksum).expect_err("refused");
        assert_eq!(error, FormatError::TextVersion(200));
        assert!(error.to_string().contains("copydesk train"));
    }
}
