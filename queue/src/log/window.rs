//! The duplicate window: the last ids that were put, as hashes, oldest first; in memory and in one file a segment.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;
use sha2::{Digest, Sha256};

use crate::codec::{Input, Output};
use crate::log::frame::crc;

const IDS_MAGIC: [u8; 8] = *b"CDSKIDS\n";

/// What is remembered of an id. Nobody can make two ids with the same one.
pub(crate) fn id_hash(queue: u8, id: &[u8]) -> u128 {
    let digest = Sha256::new().chain_update([queue]).chain_update(id).finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(half)
}

/// Ids put lately.
#[derive(Debug, Default)]
pub(crate) struct Window {
    ids_max: usize,
    order: VecDeque<u128>,
    known: FxHashSet<u128>,
}

impl Window {
    pub(crate) fn new(ids_max: usize) -> Window {
        Window { ids_max, ..Window::default() }
    }

    pub(crate) fn is_new(&self, id: u128) -> bool {
        !self.known.contains(&id)
    }

    /// Remembers an id, and forgets the oldest if there are too many.
    pub(crate) fn insert(&mut self, id: u128) {
        if self.ids_max == 0 || !self.known.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > self.ids_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// The newest ids, at most `count`, oldest first.
    pub(crate) fn newest(&self, count: usize) -> Vec<u128> {
        let skip = self.order.len().saturating_sub(count);
        self.order.range(skip..).copied().collect()
    }
}

/// The bytes of a segment's ids file.
pub(crate) fn encode_ids(segment: u32, ids: &[u128]) -> Vec<u8> {
    let mut out = Vec::with_capacity(ids.len() * 16 + 20);
    out.bytes(&IDS_MAGIC);
    out.u32(segment);
    out.length(ids.len());
    for id in ids {
        out.bytes(&id.to_le_bytes());
    }
    out.u32(crc(0, &out));
    out
}

/// Nothing if these are not the bytes of this segment's ids file.
pub(crate) fn decode_ids(segment: u32, bytes: &[u8]) -> Option<Vec<u128>> {
    let (body, sum) = bytes.split_last_chunk::<4>()?;
    let mut input = Input::new(body);
    let is_ours = input.bytes(IDS_MAGIC.len())? == IDS_MAGIC && input.u32()? == segment;
    let count = input.count(16)?;
    if !is_ours || u32::from_le_bytes(*sum) != crc(0, body) || input.left() != count * 16 {
        return None;
    }
    let ids = input.bytes(count * 16)?.chunks_exact(16);
    Some(ids.filter_map(|id| id.first_chunk().copied().map(u128::from_le_bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_forgets_the_oldest_first() {
        let mut window = Window::new(2);
        for id in [1, 2, 2, 3] {
            window.insert(id);
        }
        assert!(window.is_new(1) && !window.is_new(2) && !window.is_new(3));
        assert_eq!((window.newest(1), window.newest(9)), (vec![3], vec![2, 3]));
    }

    #[test]
    fn a_window_of_nothing_remembers_nothing() {
        let mut window = Window::new(0);
        window.insert(1);
        assert!(window.is_new(1));
    }

    #[test]
    fn an_ids_file_is_bound_to_its_segment_and_every_bit_counts() {
        let bytes = encode_ids(4, &[1, u128::MAX]);
        assert_eq!(decode_ids(4, &bytes), Some(vec![1, u128::MAX]));
        assert_eq!(decode_ids(5, &bytes), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_ids(4, &flipped), None);
        }
    }

    #[test]
    fn the_same_id_in_two_queues_is_two_ids() {
        assert_ne!(id_hash(0, b"a"), id_hash(1, b"a"));
    }
}
