//! The duplicate window: the last ids that were put, as hashes, oldest first; in memory and in one file a segment.

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

/// Ids put lately. A ring of hashes, and a table of where in the ring each is: 24 bytes an id, where the standard sets
/// take twice as much.
#[derive(Debug, Default)]
pub(crate) struct Window {
    ids_max: usize,
    /// Full once it has `ids_max`; then `next` is the oldest.
    ring: Vec<u128>,
    next: usize,
    /// Open addressing, at most half full: positions in the ring, by the low bits of the hash.
    table: Vec<u32>,
}

/// No position.
const EMPTY: u32 = u32::MAX;

impl Window {
    pub(crate) fn new(ids_max: usize) -> Window {
        Window { ids_max: ids_max.min(EMPTY as usize), ..Window::default() }
    }

    pub(crate) fn is_new(&self, id: u128) -> bool {
        self.find(id).is_none()
    }

    /// Remembers an id, and forgets the oldest if there are too many.
    pub(crate) fn insert(&mut self, id: u128) {
        if self.ids_max == 0 || !self.is_new(id) {
            return;
        }
        if self.ring.len() < self.ids_max {
            self.next = self.ring.len();
            self.ring.push(id);
            self.grow();
        } else {
            if let Some(at) = self.find(self.ring[self.next]) {
                self.remove(at);
            }
            self.ring[self.next] = id;
        }
        self.place(self.next);
        self.next = (self.next + 1) % self.ids_max;
    }

    /// The newest ids, at most `count`, oldest first.
    pub(crate) fn newest(&self, count: usize) -> Vec<u128> {
        let len = self.ring.len();
        let count = count.min(len);
        (0..count).map(|number| self.ring[(self.next + len - count + number) % len]).collect()
    }

    fn home(&self, id: u128) -> usize {
        id as usize & (self.table.len() - 1)
    }

    fn find(&self, id: u128) -> Option<usize> {
        if self.table.is_empty() {
            return None;
        }
        let mut at = self.home(id);
        while self.table[at] != EMPTY {
            if self.ring[self.table[at] as usize] == id {
                return Some(at);
            }
            at = (at + 1) & (self.table.len() - 1);
        }
        None
    }

    fn place(&mut self, position: usize) {
        let mut at = self.home(self.ring[position]);
        while self.table[at] != EMPTY {
            at = (at + 1) & (self.table.len() - 1);
        }
        self.table[at] = position as u32;
    }

    /// Empties a place, and moves those up that were put further on because it was taken.
    fn remove(&mut self, mut hole: usize) {
        let mask = self.table.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            if self.table[at] == EMPTY {
                break;
            }
            let home = self.home(self.ring[self.table[at] as usize]);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.table[hole] = self.table[at];
                hole = at;
            }
        }
        self.table[hole] = EMPTY;
    }

    /// Makes room for the last id of the ring, which is placed afterwards.
    fn grow(&mut self) {
        if self.ring.len() * 2 > self.table.len() {
            self.table = vec![EMPTY; (self.ring.len() * 2).next_power_of_two()];
            (0..self.ring.len() - 1).for_each(|position| self.place(position));
        }
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
    fn the_window_agrees_with_a_list_whatever_collides() {
        for ids_max in [1, 2, 7, 64, 100] {
            let mut window = Window::new(ids_max);
            let mut list: Vec<u128> = Vec::new();
            let mut state = 1_u64;
            for _ in 0..5000 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Few different homes, so that most are taken.
                let id = u128::from(state >> 60) | u128::from(state >> 40 & 0xf) << 64;
                assert_eq!(window.is_new(id), !list.contains(&id));
                if !list.contains(&id) {
                    list.push(id);
                }
                list.drain(..list.len().saturating_sub(ids_max));
                window.insert(id);
                assert_eq!(window.newest(ids_max), list);
            }
        }
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
