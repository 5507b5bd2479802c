//! What the fuzz targets (`fuzz/` in the repository) reach of the inside. It is compiled only when they are
//! (`cfg(fuzzing)`), and decides nothing: what has to hold is said by the targets.

mod wire;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::unbounded_channel;

use crate::api::{PutOutcome, QueueId, Want};
use crate::core::Core;
use crate::core::answer::{Answer, NewItems, Reply};
use crate::log::cache::{Wanted, read};
use crate::log::frame::{HEADER, Header, Record, Shape, Side, crc};
use crate::log::segment::{PREAMBLE, Preamble, VERSION};
use crate::log::window::id_hash;
use crate::manager::Manager;

pub use wire::{Message, Speaker, read_stream, reread, write_stream};

/// A live record of a manager: an item, or a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// The queue it is in.
    pub queue: u8,
    /// Its number there.
    pub seq: u64,
    /// Failed deliveries.
    pub attempts: u32,
    /// Why and when it died, if it did.
    pub dead: Option<(String, u64)>,
    /// Id and payload as they are in the log, if they are sound there.
    pub record: Option<Vec<u8>>,
}

/// Numbers left out between two frames at most.
const GAP_MAX: u64 = 4;

/// Everything that a manager has, in order.
pub fn kept(manager: &Manager) -> io::Result<Vec<Kept>> {
    let core = manager.shared.core();
    let mut kept = Vec::new();
    for (&segment, known) in &core.segments {
        for moved in core.live_in(segment, u64::MAX) {
            let place = core.place_of(moved.queue, moved.seq).ok_or(io::ErrorKind::NotFound)?;
            let mut record = [None];
            read(&[Wanted { place, shape: moved.shape, file: Arc::clone(&known.file) }], &mut record)?;
            let [record] = record.map(|record| record.map(Vec::from));
            kept.push(Kept { queue: moved.queue, seq: moved.seq, attempts: moved.attempts, dead: moved.dead, record });
        }
    }
    kept.sort();
    Ok(kept)
}

/// The ids that a manager remembers, oldest first.
pub fn remembered(manager: &Manager) -> Vec<u128> {
    manager.shared.core().window.newest(usize::MAX)
}

/// Whether numbers are so high that there are hardly more: no log gets there, but an input may say so.
pub fn is_used_up(manager: &Manager) -> bool {
    let core = manager.shared.core();
    let Record::Head { epoch, next_seqs } = core.head() else { return true };
    epoch > 1 << 30 || next_seqs.iter().any(|(_, seq)| *seq > 1 << 61)
}

/// Makes a call of the state machine and waits for its answer.
fn call(manager: &Manager, step: impl FnOnce(&mut Core, Reply)) -> Option<Answer> {
    let (to, mut answers) = unbounded_channel();
    manager.shared.step(|core| step(core, Reply { request: 1, to, held: None }));
    answers.blocking_recv().map(|outgoing| outgoing.answer)
}

/// Puts one item, and says whether it was accepted.
pub fn put(manager: &Manager, queue: QueueId, id: &str, payload: &[u8]) -> bool {
    let area = Bytes::from([id.as_bytes(), payload].concat());
    let shape = Shape { id_len: id.len() as u16, len: payload.len() as u32, crc: crc32fast::hash(&area) };
    let new = NewItems { shapes: vec![shape], ids: vec![id_hash(queue.0, id.as_bytes())], held: area.len(), area };
    let answer = call(manager, |core, reply| core.put(queue, new, reply));
    matches!(answer, Some(Answer::Put(outcomes)) if outcomes == [PutOutcome::Accepted])
}

/// Leases and settles whatever a queue has, and returns how many items that were.
pub fn drain(manager: &Manager, queue: QueueId) -> usize {
    let (connection, session, _) = manager.shared.core().begin_session();
    // So that it gets items on their last try, too.
    manager.shared.core().prove(connection);
    let want = || Want { items_max: 7, bytes_max: u32::MAX, wait: std::time::Duration::ZERO };
    let mut drained = 0;
    while let Some(Answer::Granted(grant)) = call(manager, |core, reply| {
        core.lease(connection, queue, want(), reply);
    }) {
        let seqs: Vec<u64> = grant.items.iter().map(|item| item.seq).collect();
        drained += seqs.len();
        call(manager, |core, reply| core.settle(connection, (queue, session), seqs, None, reply));
    }
    drained
}

/// Puts the checksums of a segment right, so that what is in it is looked at: those of the preamble, of every frame that
/// lies in the file as it says, and of its records; and makes the copy that a frame ends with. Frames are numbered from
/// `next`, as they always are; some numbers may be left out.
pub fn seal_segment(file: &mut [u8], number: u32, next: &mut u64) {
    let Some((preamble, _)) = file.split_first_chunk_mut::<PREAMBLE>() else { return };
    let (first, second) = preamble.split_at_mut(PREAMBLE / 2);
    first[..8].copy_from_slice(&Preamble::encode(number, 0)[..8]);
    first[12..16].copy_from_slice(&number.to_le_bytes());
    // Another seed than it was: or else whatever is left of true frames would be true, out of its order.
    first[16..20].iter_mut().for_each(|byte| *byte ^= 0x5a);
    let sum = crc(0, &first[..20]);
    first[20..].copy_from_slice(&sum.to_le_bytes());
    second.copy_from_slice(first);
    let (has_copies, seed) = (field(first, 8) == VERSION, field(first, 16));
    let mut at = PREAMBLE;
    while let Some(frame) = file.get_mut(at..).filter(|frame| frame.len() >= HEADER) {
        let (head, body) = frame.split_at_mut(HEADER);
        let mut header = Header {
            kind: head[4],
            index: field(head, 4) >> 8,
            meta_len: field(head, 8).min(body.len() as u32),
            area_len: field(head, 12),
            number: u64::from(field(head, 16)) | u64::from(field(head, 20)) << 32,
            meta_crc: 0,
        };
        if !(*next..*next + GAP_MAX).contains(&header.number) {
            header.number = *next;
        }
        *next = header.number + 1;
        let (meta, rest) = body.split_at_mut(header.meta_len as usize);
        let copy_len = if has_copies { header.head_len() as usize } else { 0 };
        header.area_len = header.area_len.min(rest.len().saturating_sub(copy_len) as u32);
        let (area, rest) = rest.split_at_mut(header.area_len as usize);
        if let Some(mut record) = Record::decode(header.kind, meta) {
            seal_records(&mut record, area);
            let mut sealed = Vec::new();
            record.encode(&mut sealed);
            // A field that is read leniently may be longer than it is written.
            if sealed.len() == meta.len() {
                meta.copy_from_slice(&sealed);
            }
        }
        header.meta_crc = crc(seed, meta);
        head.copy_from_slice(&header.encode(seed, Side::Front));
        if let Some(copy) = rest.get_mut(..copy_len).filter(|_| has_copies) {
            copy[..HEADER].copy_from_slice(&header.encode(seed, Side::Back));
            copy[HEADER..].copy_from_slice(meta);
        }
        at += header.front_len() as usize + copy_len;
    }
}

fn field(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn seal_records(record: &mut Record, mut area: &[u8]) {
    let mut seal = |shape: &mut Shape| {
        if let Some((bytes, rest)) = area.split_at_checked(shape.record_len() as usize) {
            shape.crc = crc32fast::hash(bytes);
            area = rest;
        }
    };
    match record {
        Record::Put(batch) | Record::Settle { outputs: Some(batch), .. } => batch.shapes.iter_mut().for_each(seal),
        Record::Move(moved) => moved.iter_mut().for_each(|moved| seal(&mut moved.shape)),
        _ => {}
    }
}

/// Puts the checksum and the number of an ids file right.
pub fn seal_ids(file: &mut [u8], number: u32) {
    let Some((body, sum)) = file.split_last_chunk_mut::<4>() else { return };
    if let Some(own) = body.get_mut(8..12) {
        own.copy_from_slice(&number.to_le_bytes());
    }
    *sum = crc(0, body).to_le_bytes();
}
