//! What a manager answers, written and read.

use bytes::Bytes;

use crate::api::{DeadLetter, Delivery, LeaseId, Leased, PutOutcome, QueueError, QueueId, Stats};
use crate::codec::{Input, Output};
use crate::core::answer::{DeadWanted, Grant};
use crate::wire::frames::{Frame, Parts};
use crate::wire::op;

/// Writes leased items, whose records were read; those that could not be are left out.
pub(crate) fn encode_leased(grant: &Grant, records: Vec<Option<Bytes>>) -> Parts {
    let mut out = Parts::default();
    out.u8(u8::from(grant.suspects));
    out.u64(grant.session);
    out.length(records.iter().flatten().count());
    for ((item, wanted), _) in
        grant.items.iter().zip(&grant.wanted).zip(&records).filter(|(_, record)| record.is_some())
    {
        out.u64(item.seq);
        out.u32(item.attempt);
        out.u16(wanted.shape.id_len);
        out.u32(wanted.shape.len);
    }
    records.into_iter().flatten().for_each(|record| out.shared(record));
    out
}

/// Writes dead letters. One whose record could not be read has neither id nor payload.
pub(crate) fn encode_dead(letters: &[DeadWanted], records: Vec<Option<Bytes>>) -> Parts {
    let mut out = Parts::default();
    out.length(letters.len());
    for (letter, record) in letters.iter().zip(records) {
        let shape = letter.wanted.shape;
        let (id_len, len) = if record.is_some() { (shape.id_len, shape.len) } else { (0, 0) };
        out.u8(letter.queue.0);
        out.u64(letter.seq);
        out.u32(letter.attempts);
        out.u64(letter.died_at_ms);
        out.length(letter.reason.len());
        out.u16(id_len);
        out.u32(len);
        out.bytes(letter.reason.as_bytes());
        out.shared(record.unwrap_or_default());
    }
    out
}

pub(crate) fn encode_outcomes(outcomes: &[PutOutcome]) -> Parts {
    let mut out = Parts::default();
    out.length(outcomes.len());
    for outcome in outcomes {
        out.u8(match outcome {
            PutOutcome::Accepted => 0,
            PutOutcome::Duplicate => 1,
            PutOutcome::TooLarge => 2,
        });
    }
    out
}

pub(crate) fn encode_stats(stats: &Stats) -> Parts {
    let mut out = Parts::default();
    // Counts and strings always serialise.
    out.bytes(&serde_json::to_vec(stats).unwrap_or_default());
    out
}

pub(crate) fn encode_error(error: &QueueError) -> Parts {
    let mut out = Parts::default();
    let (code, sizes, message) = match error {
        QueueError::Full(message) => (1, (0, 0), message.as_str()),
        QueueError::Closed => (2, (0, 0), ""),
        QueueError::LeaseLost => (3, (0, 0), ""),
        QueueError::TooLarge { bytes, max } => (4, (*bytes as u64, *max as u64), ""),
        QueueError::Unauthorized => (5, (0, 0), ""),
        QueueError::Protocol(message) => (6, (0, 0), message.as_str()),
        QueueError::Poisoned(message) => (7, (0, 0), message.as_str()),
        QueueError::NotFound(message) => (8, (0, 0), message.as_str()),
        QueueError::Disconnected(message) => (9, (0, 0), message.as_str()),
    };
    out.u8(code);
    out.u64(sizes.0);
    out.u64(sizes.1);
    out.bytes(message.as_bytes());
    out
}

fn decode_error(body: &[u8]) -> Option<QueueError> {
    let mut input = Input::new(body);
    let (code, bytes, max) = (input.u8()?, input.u64()?, input.u64()?);
    let left = input.left();
    let message = input.text(left)?;
    Some(match code {
        1 => QueueError::Full(message),
        2 => QueueError::Closed,
        3 => QueueError::LeaseLost,
        4 => QueueError::TooLarge { bytes: bytes as usize, max: max as usize },
        5 => QueueError::Unauthorized,
        6 => QueueError::Protocol(message),
        7 => QueueError::Poisoned(message),
        8 => QueueError::NotFound(message),
        9 => QueueError::Disconnected(message),
        _ => return None,
    })
}

fn malformed() -> QueueError {
    QueueError::Protocol("the manager's answer is malformed".to_owned())
}

/// The error in an answer, if it is one, or if it is none of those expected.
pub(crate) fn check(frame: Frame, expected: &[u8]) -> Result<Frame, QueueError> {
    match frame.op {
        op::ERROR => Err(decode_error(&frame.body).unwrap_or_else(malformed)),
        reply if expected.contains(&reply) => Ok(frame),
        _ => Err(malformed()),
    }
}

pub(crate) fn decode_outcomes(frame: &Frame) -> Result<Vec<PutOutcome>, QueueError> {
    let mut input = Input::new(&frame.body);
    let outcome = |input: &mut Input<'_>| match input.u8()? {
        0 => Some(PutOutcome::Accepted),
        1 => Some(PutOutcome::Duplicate),
        2 => Some(PutOutcome::TooLarge),
        _ => None,
    };
    let outcomes: Option<Vec<_>> = input.count(1).and_then(|count| (0..count).map(|_| outcome(&mut input)).collect());
    outcomes.filter(|_| input.end().is_some()).ok_or_else(malformed)
}

pub(crate) fn decode_leased(frame: &Frame) -> Result<Leased, QueueError> {
    match frame.op {
        op::EMPTY => Ok(Leased::Empty),
        op::FLUSH => Ok(Leased::Flush),
        op::STOP => Ok(Leased::Stop),
        _ => decode_deliveries(&frame.body).ok_or_else(malformed),
    }
}

fn decode_deliveries(body: &Bytes) -> Option<Leased> {
    let mut input = Input::new(body);
    let (suspects, session) = (input.u8()? != 0, input.u64()?);
    let count = input.count(18)?;
    let mut table = Vec::with_capacity(count);
    for _ in 0..count {
        table.push((input.u64()?, input.u32()?, usize::from(input.u16()?), input.u32()? as usize));
    }
    let mut deliveries = Vec::with_capacity(count);
    for (seq, attempt, id_len, len) in table {
        let id = input.text(id_len)?;
        let at = body.len() - input.left();
        input.bytes(len)?;
        deliveries.push(Delivery { lease: LeaseId { session, seq }, id, attempt, payload: body.slice(at..at + len) });
    }
    input.end()?;
    Some(Leased::Items { deliveries, suspects })
}

pub(crate) fn decode_dead(frame: &Frame) -> Result<Vec<DeadLetter>, QueueError> {
    decode_letters(&frame.body).ok_or_else(malformed)
}

fn decode_letters(body: &Bytes) -> Option<Vec<DeadLetter>> {
    let mut input = Input::new(body);
    let count = input.count(31)?;
    let mut letters = Vec::with_capacity(count);
    for _ in 0..count {
        let (queue, seq, attempts, died_at_ms) = (QueueId(input.u8()?), input.u64()?, input.u32()?, input.u64()?);
        let (reason_len, id_len, len) = (input.u32()? as usize, usize::from(input.u16()?), input.u32()? as usize);
        let (reason, id) = (input.text(reason_len)?, input.text(id_len)?);
        let at = body.len() - input.left();
        input.bytes(len)?;
        letters.push(DeadLetter { queue, seq, id, reason, attempts, died_at_ms, payload: body.slice(at..at + len) });
    }
    input.end()?;
    Some(letters)
}

pub(crate) fn decode_stats(frame: &Frame) -> Result<Stats, QueueError> {
    serde_json::from_slice(&frame.body).map_err(|_| malformed())
}
