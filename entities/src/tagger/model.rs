//! The weights, looked up in place: an open-addressed table from a feature's hash to one small row of scores.

use super::features;
use super::file::{self, FormatError, Layout, Verify};
use super::tags;
use crate::mapped::Bytes;
use crate::text::analysis::{Analysis, Window};

/// A model that can score.
#[derive(Debug)]
pub struct Model {
    bytes: Bytes,
    layout: Layout,
}

impl Model {
    /// Of the bytes of a model file.
    pub fn new(bytes: Bytes, verify: Verify) -> Result<Model, FormatError> {
        let layout = file::read(&bytes, verify)?;
        Ok(Model { bytes, layout })
    }

    /// What the file says beside its weights.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Scores every tag for every token of a window: `tags` scores a token. All arithmetic is on integers, so every
    /// machine agrees.
    pub fn score(&self, analysis: &Analysis, window: &Window, scratch: &mut Vec<u64>, scores: &mut Vec<i32>) {
        let table = Table {
            fingerprints: &self.bytes[self.layout.fingerprints.clone()],
            weights: &self.bytes[self.layout.weights.clone()],
            rows: self.layout.rows,
            probe_max: self.layout.probe_max,
            width: 4 * self.layout.labels.len(),
        };
        let tag_count = tags::count(self.layout.labels.len());
        scores.clear();
        scores.resize(window.tokens.len() * tag_count, 0);
        for (at, scores) in window.tokens.clone().zip(scores.chunks_exact_mut(tag_count)) {
            scratch.clear();
            features::each(analysis, &window.paragraph, at, |_, hash| scratch.push(hash));
            for &hash in scratch.iter() {
                for (score, &weight) in scores[1..].iter_mut().zip(table.row(hash)) {
                    *score += i32::from(weight as i8);
                }
            }
        }
    }
}

struct Table<'a> {
    fingerprints: &'a [u8],
    weights: &'a [u8],
    rows: usize,
    probe_max: usize,
    width: usize,
}

impl<'a> Table<'a> {
    /// The row of a feature; empty if it has none.
    #[inline(always)]
    fn row(&self, hash: u64) -> &'a [u8] {
        let wanted = fingerprint(hash);
        let mut row = home(hash, self.rows);
        for _ in 0..self.probe_max {
            match u16::from_le_bytes([self.fingerprints[2 * row], self.fingerprints[2 * row + 1]]) {
                0 => break,
                found if found == wanted => return &self.weights[row * self.width..][..self.width],
                _ => {}
            }
            row += 1;
            if row == self.rows {
                row = 0;
            }
        }
        &[]
    }
}

/// The row where the search for a feature begins.
pub fn home(hash: u64, rows: usize) -> usize {
    ((u128::from(hash) * rows as u128) >> 64) as usize
}

/// What tells a feature from others near its row. The home row depends on the high bits, this on the low ones.
pub fn fingerprint(hash: u64) -> u16 {
    (hash as u16).max(1)
}
