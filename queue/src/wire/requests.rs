//! What a client asks, written and read.

use std::time::Duration;

use bytes::Bytes;

use crate::api::{Item, Outputs, QueueId, Want};
use crate::codec::{Input, Output};
use crate::core::answer::NewItems;
use crate::log::frame::Shape;
use crate::log::window::id_hash;
use crate::wire::frames::{Frame, Parts};
use crate::wire::{ID_BYTES_MAX, PUT_ITEMS_MAX, op};

/// A request, as the server sees it.
pub(crate) enum Request {
    Put { queue: QueueId, new: NewItems },
    Lease { queue: QueueId, want: Want },
    Settle { queue: QueueId, session: u64, seqs: Vec<u64>, outputs: Option<(QueueId, NewItems)> },
    Release { queue: QueueId, session: u64, seqs: Vec<u64> },
    Bury { queue: QueueId, session: u64, seq: u64, reason: String },
    Stats,
    DeadLetters { after: Option<(QueueId, u64)>, items_max: u32 },
    RetryDead { queue: QueueId, seq: u64 },
    DropDead { queue: QueueId, seq: u64 },
    Ping,
    Bye,
}

/// Writes queue, table and area.
fn encode_items(queue: QueueId, items: Vec<Item>, out: &mut Parts) {
    out.u8(queue.0);
    out.length(items.len());
    for item in &items {
        // Longer ids were refused by `check_ids`.
        out.u16(item.id.len() as u16);
        out.length(item.payload.len());
    }
    for item in items {
        out.bytes(item.id.as_bytes());
        out.shared(item.payload);
    }
}

/// What is wrong with these items, if anything: the server would say the same.
pub(crate) fn check_ids(items: &[Item]) -> Result<(), String> {
    if items.len() > PUT_ITEMS_MAX {
        return Err(format!("{} items in one call, at most {PUT_ITEMS_MAX} are allowed", items.len()));
    }
    match items.iter().find(|item| item.id.is_empty() || item.id.len() > ID_BYTES_MAX) {
        Some(item) => Err(format!("an id of {} bytes, 1 to {ID_BYTES_MAX} are allowed", item.id.len())),
        None => Ok(()),
    }
}

pub(crate) fn encode_put(queue: QueueId, items: Vec<Item>) -> Parts {
    let mut out = Parts::default();
    encode_items(queue, items, &mut out);
    out
}

pub(crate) fn encode_lease(queue: QueueId, want: &Want) -> Parts {
    let mut out = Parts::default();
    out.u8(queue.0);
    out.u32(want.items_max);
    out.u32(want.bytes_max);
    out.u32(u32::try_from(want.wait.as_millis()).unwrap_or(u32::MAX));
    out
}

fn encode_leases(queue: QueueId, session: u64, seqs: &[u64], out: &mut Parts) {
    out.u8(queue.0);
    out.u64(session);
    out.length(seqs.len());
    seqs.iter().for_each(|seq| out.u64(*seq));
}

pub(crate) fn encode_settle(queue: QueueId, session: u64, seqs: &[u64], outputs: Option<Outputs>) -> Parts {
    let mut out = Parts::default();
    encode_leases(queue, session, seqs, &mut out);
    out.u8(u8::from(outputs.is_some()));
    if let Some(Outputs { queue, items }) = outputs {
        encode_items(queue, items, &mut out);
    }
    out
}

pub(crate) fn encode_release(queue: QueueId, session: u64, seqs: &[u64]) -> Parts {
    let mut out = Parts::default();
    encode_leases(queue, session, seqs, &mut out);
    out
}

pub(crate) fn encode_bury(queue: QueueId, session: u64, seq: u64, reason: &str) -> Parts {
    let mut out = Parts::default();
    out.u8(queue.0);
    out.u64(session);
    out.u64(seq);
    out.length(reason.len());
    out.bytes(reason.as_bytes());
    out
}

pub(crate) fn encode_dead_letters(after: Option<(QueueId, u64)>, items_max: u32) -> Parts {
    let mut out = Parts::default();
    out.u8(u8::from(after.is_some()));
    let (queue, seq) = after.unwrap_or((QueueId(0), 0));
    out.u8(queue.0);
    out.u64(seq);
    out.u32(items_max);
    out
}

pub(crate) fn encode_dead(queue: QueueId, seq: u64) -> Parts {
    let mut out = Parts::default();
    out.u8(queue.0);
    out.u64(seq);
    out
}

/// Reads a request. `deduplicates` says of which queues the ids are to be hashed. The error says what is wrong.
pub(crate) fn decode(frame: &Frame, deduplicates: &dyn Fn(QueueId) -> bool) -> Result<Request, &'static str> {
    const MALFORMED: &str = "the fields of the request are malformed";
    let mut input = Input::new(&frame.body);
    let request = match frame.op {
        op::PUT => {
            let (queue, new) = decode_items(&frame.body, &mut input, deduplicates)?;
            return Ok(Request::Put { queue, new });
        }
        op::SETTLE => {
            let (queue, session, seqs) = decode_leases(&mut input).ok_or(MALFORMED)?;
            let outputs = match input.u8().ok_or(MALFORMED)? {
                0 => None,
                // Outputs never repeat: what they are made of is settled in the same step.
                _ => Some(decode_items(&frame.body, &mut input, &|_| false)?),
            };
            input.end().ok_or(MALFORMED)?;
            return Ok(Request::Settle { queue, session, seqs, outputs });
        }
        op::LEASE => decode_lease(&mut input),
        op::RELEASE => {
            decode_leases(&mut input).map(|(queue, session, seqs)| Request::Release { queue, session, seqs })
        }
        op::BURY => decode_bury(&mut input),
        op::STATS => Some(Request::Stats),
        op::DEAD_LETTERS => decode_dead_letters(&mut input),
        op::RETRY_DEAD => decode_dead(&mut input).map(|(queue, seq)| Request::RetryDead { queue, seq }),
        op::DROP_DEAD => decode_dead(&mut input).map(|(queue, seq)| Request::DropDead { queue, seq }),
        op::PING => Some(Request::Ping),
        op::BYE => Some(Request::Bye),
        _ => return Err("there is no such operation"),
    };
    request.filter(|_| input.end().is_some()).ok_or(MALFORMED)
}

fn decode_items(
    body: &Bytes,
    input: &mut Input<'_>,
    deduplicates: &dyn Fn(QueueId) -> bool,
) -> Result<(QueueId, NewItems), &'static str> {
    const SHORT: &str = "the table of items is malformed";
    let queue = QueueId(input.u8().ok_or(SHORT)?);
    let count = input.count(6).ok_or(SHORT)?;
    if count > PUT_ITEMS_MAX {
        return Err("too many items in one request");
    }
    let mut shapes = Vec::with_capacity(count);
    for _ in 0..count {
        let (id_len, len) = input.u16().zip(input.u32()).ok_or(SHORT)?;
        shapes.push(Shape { id_len, len, crc: 0 });
    }
    let area = body.slice(body.len() - input.left()..);
    let hashes = deduplicates(queue);
    let mut ids = Vec::with_capacity(if hashes { count } else { 0 });
    for shape in &mut shapes {
        let record = input.bytes(shape.record_len() as usize).ok_or("the items are longer than the request")?;
        let id = &record[..usize::from(shape.id_len)];
        if id.is_empty() || id.len() > ID_BYTES_MAX || std::str::from_utf8(id).is_err() {
            return Err("an id is empty, longer than 1024 bytes, or no UTF-8");
        }
        shape.crc = crc32fast::hash(record);
        if hashes {
            ids.push(id_hash(queue.0, id));
        }
    }
    input.end().ok_or("the request is longer than its items")?;
    Ok((queue, NewItems { shapes, ids, area, held: body.len() }))
}

fn decode_lease(input: &mut Input<'_>) -> Option<Request> {
    let queue = QueueId(input.u8()?);
    let (items_max, bytes_max, wait_ms) = (input.u32()?, input.u32()?, input.u32()?);
    let want = Want { items_max, bytes_max, wait: Duration::from_millis(u64::from(wait_ms)) };
    Some(Request::Lease { queue, want })
}

fn decode_leases(input: &mut Input<'_>) -> Option<(QueueId, u64, Vec<u64>)> {
    let (queue, session) = (QueueId(input.u8()?), input.u64()?);
    let count = input.count(8)?;
    Some((queue, session, (0..count).map(|_| input.u64()).collect::<Option<_>>()?))
}

fn decode_bury(input: &mut Input<'_>) -> Option<Request> {
    let (queue, session, seq) = (QueueId(input.u8()?), input.u64()?, input.u64()?);
    let len = input.count(1)?;
    Some(Request::Bury { queue, session, seq, reason: input.text(len)? })
}

fn decode_dead_letters(input: &mut Input<'_>) -> Option<Request> {
    let has_after = input.u8()? != 0;
    let after = (QueueId(input.u8()?), input.u64()?);
    Some(Request::DeadLetters { after: has_after.then_some(after), items_max: input.u32()? })
}

fn decode_dead(input: &mut Input<'_>) -> Option<(QueueId, u64)> {
    Some((QueueId(input.u8()?), input.u64()?))
}
