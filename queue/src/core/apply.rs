//! What a command that is in the log means. The one place that says so: for commands just synced, and for those read
//! back at start, when nobody holds anything and the lists of who is ready are made at the end.

use std::sync::Arc;

use crate::core::queue::{Dead, Entry, Holder};
use crate::core::{Core, Segment};
use crate::log::cache::Place;
use crate::log::disk::SegmentFile;
use crate::log::frame::{Batch, Moved, Record, Shape};

/// Bytes that a record takes beside its id and payload when it is copied forward alone, at most: header and fields, both
/// twice. What is live is counted with them, so that copying always comes to an end.
const OVERHEAD: u64 = 160;

impl Core {
    /// What must outlive all older segments.
    pub(crate) fn head(&self) -> Record {
        let next_seqs = self.queues.iter().map(|queue| (queue.settings.id.0, queue.next_seq)).collect();
        Record::Head { epoch: self.epoch, next_seqs }
    }

    /// A segment was made, or has so many bytes now.
    pub(crate) fn segment_grew(&mut self, number: u32, file: &Arc<dyn SegmentFile>, bytes: u64) {
        let new = || Segment { file: Arc::clone(file), bytes: 0, live_items: 0, live_bytes: 0 };
        self.segments.entry(number).or_insert_with(new).bytes = bytes;
    }

    /// Applies a command that was just synced.
    pub(crate) fn apply(&mut self, record: &Record, area: Place) {
        // The queues of a command were found when it was made.
        let _ = self.apply_any(record, area, &[], false);
    }

    /// Applies a command read back. The error is the number of a queue that this manager does not have.
    pub(crate) fn replay(&mut self, record: &Record, area: Place, damaged: &[bool]) -> Result<(), u8> {
        self.apply_any(record, area, damaged, true)
    }

    /// After the last command: a new epoch, and the order in which items are delivered.
    pub(crate) fn finish_replay(&mut self) {
        self.epoch += 1;
        for queue in &mut self.queues {
            let seqs: Vec<u64> = queue.items.keys().copied().collect();
            for seq in seqs {
                if let Some(line) = queue.line_for(seq) {
                    line.push_back(seq);
                }
            }
        }
    }

    fn apply_any(&mut self, record: &Record, area: Place, damaged: &[bool], is_replay: bool) -> Result<(), u8> {
        match record {
            Record::Head { epoch, next_seqs } => {
                self.epoch = self.epoch.max(*epoch);
                for (queue, seq) in next_seqs {
                    // A queue that is not there any more matters only if it has items.
                    if let Some(q) = self.position(*queue) {
                        self.queues[q].next_seq = self.queues[q].next_seq.max(*seq);
                    }
                }
            }
            Record::Put(batch) => self.add_batch(batch, area, damaged, is_replay)?,
            Record::Settle { queue, ranges, outputs } => {
                let q = self.position(*queue).ok_or(*queue)?;
                for (first, count) in ranges {
                    for seq in self.queues[q].known(*first, *count) {
                        self.take_out(q, seq);
                        self.queues[q].settled += u64::from(!is_replay);
                    }
                }
                if let Some(outputs) = outputs {
                    self.add_batch(outputs, area, damaged, is_replay)?;
                }
            }
            Record::Return { queue, failed } => {
                let q = self.position(*queue).ok_or(*queue)?;
                let queue = &mut self.queues[q];
                for (seq, attempts) in failed {
                    if let Some(entry) = queue.items.get_mut(seq) {
                        entry.attempts = *attempts;
                        if !is_replay && let Some(line) = queue.line_for(*seq) {
                            line.push_back(*seq);
                        }
                    }
                }
            }
            Record::Bury { queue, buried, reason, died_at_ms } => {
                let q = self.position(*queue).ok_or(*queue)?;
                let queue = &mut self.queues[q];
                for (seq, attempts) in buried {
                    if let Some(entry) = queue.remove(*seq) {
                        if let Some(segment) = self.segments.get_mut(&entry.place.segment) {
                            segment.live_bytes += reason_weight(reason);
                        }
                        let entry = Entry { attempts: *attempts, holder: Holder::Ready, ..entry };
                        queue.dead.insert(*seq, Dead { entry, reason: reason.clone(), died_at_ms: *died_at_ms });
                    }
                }
            }
            Record::Retry { queue, seq } => {
                let q = self.position(*queue).ok_or(*queue)?;
                let queue = &mut self.queues[q];
                if let Some(dead) = queue.dead.remove(seq) {
                    if let Some(segment) = self.segments.get_mut(&dead.entry.place.segment) {
                        segment.live_bytes -= reason_weight(&dead.reason);
                    }
                    queue.add(*seq, Entry { attempts: 0, holder: Holder::Ready, ..dead.entry });
                    if !is_replay {
                        queue.ready.push_back(*seq);
                    }
                }
            }
            Record::Drop { queue, seq } => {
                let q = self.position(*queue).ok_or(*queue)?;
                self.take_out(q, *seq);
            }
            Record::Move(moved) => {
                let mut place = area;
                for (index, moved) in moved.iter().enumerate() {
                    self.move_record(moved, place, damaged.get(index) == Some(&true), is_replay)?;
                    place.offset += moved.shape.record_len() as u32;
                }
            }
        }
        Ok(())
    }

    fn add_batch(&mut self, batch: &Batch, area: Place, damaged: &[bool], is_replay: bool) -> Result<(), u8> {
        let q = self.position(batch.queue).ok_or(batch.queue)?;
        let queue = &mut self.queues[q];
        let (mut place, mut live_items, mut live_bytes) = (area, 0, 0);
        for (index, shape) in batch.shapes.iter().enumerate() {
            let seq = batch.first_seq + index as u64;
            // A number is given once, and rising.
            let is_taken = is_replay && seq < queue.next_seq && !queue.known(seq, 1).is_empty();
            if damaged.get(index) != Some(&true) && !is_taken {
                let holder = Holder::Ready;
                queue.add(seq, Entry { place, shape: *shape, put_ms: batch.put_ms, attempts: 0, holder });
                live_items += 1;
                live_bytes += shape.record_len() + OVERHEAD;
                if !is_replay {
                    queue.ready.push_back(seq);
                    queue.pending_items -= 1;
                    queue.pending_bytes -= u64::from(shape.len);
                    queue.accepted += 1;
                }
            }
            place.offset += shape.record_len() as u32;
        }
        queue.next_seq = queue.next_seq.max(batch.first_seq + batch.shapes.len() as u64);
        if let Some(segment) = self.segments.get_mut(&area.segment) {
            segment.live_items += live_items;
            segment.live_bytes += live_bytes;
        }
        Ok(())
    }

    /// A copy is as good as its original; a damaged copy is worse. When the log is read back a copy is better, because it
    /// says everything there was to know of its record, and commands about that may have been lost to damage since.
    fn move_record(&mut self, moved: &Moved, place: Place, is_damaged: bool, is_replay: bool) -> Result<(), u8> {
        let q = self.position(moved.queue).ok_or(moved.queue)?;
        self.queues[q].next_seq = self.queues[q].next_seq.max(moved.seq + 1);
        if is_damaged {
            return Ok(());
        }
        let reason = moved.dead.as_ref().map(|(reason, _)| reason.as_str());
        if is_replay {
            self.take_out(q, moved.seq);
            let queue = &mut self.queues[q];
            let Moved { seq, put_ms, attempts, shape, .. } = *moved;
            let entry = Entry { place, shape, put_ms, attempts, holder: Holder::Ready };
            match &moved.dead {
                Some((reason, died_at_ms)) => {
                    queue.dead.insert(seq, Dead { entry, reason: reason.clone(), died_at_ms: *died_at_ms });
                }
                None => queue.add(seq, entry),
            }
        } else {
            let queue = &mut self.queues[q];
            let dead = queue.dead.get_mut(&moved.seq).map(|dead| &mut dead.entry);
            let Some(entry) = queue.items.get_mut(&moved.seq).or(dead) else { return Ok(()) };
            let old = std::mem::replace(&mut entry.place, place);
            self.unlive(&old, &moved.shape, reason);
        }
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.live_items += 1;
            segment.live_bytes += weight(&moved.shape, reason);
        }
        Ok(())
    }

    /// Forgets a record, wherever it is. A command that was lost to damage may have left it among the living or the dead.
    fn take_out(&mut self, q: usize, seq: u64) {
        if let Some(entry) = self.queues[q].remove(seq) {
            self.unlive(&entry.place, &entry.shape, None);
        }
        if let Some(dead) = self.queues[q].dead.remove(&seq) {
            self.unlive(&dead.entry.place, &dead.entry.shape, Some(&dead.reason));
        }
    }

    fn unlive(&mut self, place: &Place, shape: &Shape, reason: Option<&str>) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.live_items -= 1;
            segment.live_bytes -= weight(shape, reason);
        }
    }

    /// Live records of a segment, of at most `bytes_max` together, to be copied forward.
    pub(crate) fn live_in(&self, segment: u32, bytes_max: u64) -> Vec<Moved> {
        let mut moved = Vec::new();
        let mut bytes = 0;
        for queue in &self.queues {
            let items = queue.items.iter().map(|(seq, entry)| (seq, entry, None));
            let dead = queue.dead.iter().map(|(seq, dead)| (seq, &dead.entry, Some(dead)));
            for (seq, entry, dead) in items.chain(dead).filter(|(_, entry, _)| entry.place.segment == segment) {
                let dead = dead.map(|dead| (dead.reason.clone(), dead.died_at_ms));
                bytes += entry.shape.record_len();
                if bytes > bytes_max && !moved.is_empty() {
                    return moved;
                }
                let Entry { shape, put_ms, attempts, .. } = *entry;
                moved.push(Moved { queue: queue.settings.id.0, seq: *seq, put_ms, attempts, shape, dead });
            }
        }
        moved
    }

    /// Where a live record is.
    pub(crate) fn place_of(&self, queue: u8, seq: u64) -> Option<Place> {
        let queue = &self.queues[self.position(queue)?];
        let entry = queue.items.get(&seq).or_else(|| queue.dead.get(&seq).map(|dead| &dead.entry))?;
        Some(entry.place)
    }

    /// The segment to copy forward: the oldest, if the log has become far larger than what is live in it.
    pub(crate) fn segment_to_clear(&self, segment_bytes: u64) -> Option<u32> {
        let (bytes, live) = self
            .segments
            .values()
            .fold((0, 0), |(bytes, live), segment| (bytes + segment.bytes, live + segment.live_bytes));
        let (&oldest, _) = self.segments.first_key_value()?;
        (self.segments.len() > 1 && bytes > 2 * live + 2 * segment_bytes).then_some(oldest)
    }

    /// The oldest segment, if nothing in it is live and another has followed it.
    pub(crate) fn segment_to_remove(&self) -> Option<u32> {
        let (&oldest, segment) = self.segments.first_key_value()?;
        (self.segments.len() > 1 && segment.live_items == 0).then_some(oldest)
    }
}

fn weight(shape: &Shape, reason: Option<&str>) -> u64 {
    shape.record_len() + OVERHEAD + reason.map_or(0, reason_weight)
}

fn reason_weight(reason: &str) -> u64 {
    2 * reason.len() as u64
}

#[cfg(test)]
mod tests;
