//! Messages and streams, read and written again.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use crate::api::{DeadLetter, Item, Leased, Outputs, QueueId};
use crate::core::answer::{DeadWanted, Grant, Granted, NewItems};
use crate::log::cache::{Place, Wanted};
use crate::log::disk::SegmentFile;
use crate::log::frame::Shape;
use crate::wire::frames::{Frame, FrameReader, Parts, frame};
use crate::wire::handshake::{Hello, Login, Welcome};
use crate::wire::requests::Request;
use crate::wire::{op, replies, requests};

/// Who says something on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// A client, once it is known.
    Client,
    /// The manager, once it knows the client.
    Manager,
    /// Either, before that.
    Stranger,
}

/// Reads a message, and writes what was understood. Nothing if it was refused.
pub fn reread(speaker: Speaker, op: u8, body: Vec<u8>) -> Option<Vec<u8>> {
    let body = Bytes::from(body);
    let frame = Frame { op, request: 1, body };
    match speaker {
        Speaker::Client => requests::decode(&frame, &|queue| queue.0 == 0).ok().map(request).map(joined),
        Speaker::Manager => reply(frame).map(joined),
        Speaker::Stranger => match op {
            op::HELLO => Hello::decode(&frame.body).map(|hello| hello.encode()),
            op::LOGIN => Login::decode(&frame.body).map(|login| login.encode()),
            op::WELCOME => Welcome::decode(&frame.body).map(|welcome| welcome.encode()),
            _ => None,
        },
    }
}

fn joined(parts: Parts) -> Vec<u8> {
    parts.finish().concat()
}

fn request(request: Request) -> Parts {
    match request {
        Request::Put { queue, new } => requests::encode_put(queue, items(&new)),
        Request::Lease { queue, want } => requests::encode_lease(queue, &want),
        Request::Settle { queue, session, seqs, outputs } => {
            let outputs = outputs.map(|(queue, new)| Outputs { queue, items: items(&new) });
            requests::encode_settle(queue, session, &seqs, outputs)
        }
        Request::Release { queue, session, seqs } => requests::encode_release(queue, session, &seqs),
        Request::Bury { queue, session, seq, reason } => requests::encode_bury(queue, session, seq, &reason),
        Request::DeadLetters { after, items_max } => requests::encode_dead_letters(after, items_max),
        Request::RetryDead { queue, seq } | Request::DropDead { queue, seq } => requests::encode_dead(queue, seq),
        Request::Stats | Request::Ping | Request::Bye => Parts::default(),
    }
}

fn items(new: &NewItems) -> Vec<Item> {
    let mut area = new.area.clone();
    let mut item = |shape: &Shape| {
        let id = area.split_to(usize::from(shape.id_len));
        Item { id: String::from_utf8_lossy(&id).into_owned(), payload: area.split_to(shape.len as usize) }
    };
    new.shapes.iter().map(&mut item).collect()
}

fn reply(frame: Frame) -> Option<Parts> {
    Some(match frame.op {
        op::PUT_DONE => replies::encode_outcomes(&replies::decode_outcomes(&frame).ok()?),
        op::LEASED => match replies::decode_leased(&frame).ok()? {
            Leased::Items { deliveries, suspects } => {
                // The session of no items is not told to anybody.
                let session = deliveries.first().map_or(0, |delivery| delivery.lease.session);
                let mut grant = Grant { queue: QueueId(0), session, suspects, items: Vec::new(), wanted: Vec::new() };
                let mut records = Vec::new();
                for delivery in deliveries {
                    grant.items.push(Granted { seq: delivery.lease.seq, attempt: delivery.attempt });
                    grant.wanted.push(wanted(&delivery.id, &delivery.payload));
                    records.push(Some([delivery.id.as_bytes(), &delivery.payload].concat().into()));
                }
                replies::encode_leased(&grant, records)
            }
            _ => return None,
        },
        op::DEAD_ARE => {
            let letters = replies::decode_dead(&frame).ok()?;
            let record = |letter: &DeadLetter| Some([letter.id.as_bytes(), &letter.payload].concat().into());
            let records = letters.iter().map(record).collect();
            let wanted = |letter: DeadLetter| DeadWanted {
                queue: letter.queue,
                seq: letter.seq,
                wanted: wanted(&letter.id, &letter.payload),
                reason: letter.reason,
                attempts: letter.attempts,
                died_at_ms: letter.died_at_ms,
            };
            replies::encode_dead(&letters.into_iter().map(wanted).collect::<Vec<_>>(), records)
        }
        op::STATS_ARE => replies::encode_stats(&replies::decode_stats(&frame).ok()?),
        // One that is malformed is told as such.
        op::ERROR => replies::encode_error(&replies::check(frame, &[]).err()?),
        _ => return None,
    })
}

fn wanted(id: &str, payload: &[u8]) -> Wanted {
    let shape = Shape { id_len: id.len() as u16, len: payload.len() as u32, crc: 0 };
    Wanted { place: Place { segment: 0, offset: 0 }, shape, file: Arc::new(NoFile) }
}

/// A message on a stream: operation, request, body.
pub type Message = (u8, u64, Vec<u8>);

/// Reads a stream that arrives in pieces of at most so many bytes, of which frames may have `frame_max`. Returns the
/// messages before its end, how it ended, and how many bytes came.
pub fn read_stream(stream: &[u8], piece_max: usize, frame_max: usize) -> (Vec<Message>, String, u64) {
    let mut reader = FrameReader::new(Pieces { stream, piece_max }, frame_max);
    let mut reading = std::pin::pin!(async {
        let mut messages = Vec::new();
        let end = loop {
            match reader.next().await {
                Ok(Some(Frame { op, request, body })) => messages.push((op, request, body.to_vec())),
                Ok(None) => break String::new(),
                Err(error) => break error.to_string(),
            }
        };
        (messages, end, reader.received)
    });
    // The pieces are always there, so it never waits.
    match reading.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(read) => read,
        Poll::Pending => (Vec::new(), "it waited for what had come".to_owned(), 0),
    }
}

/// Messages as a stream.
pub fn write_stream(messages: &[Message]) -> Vec<u8> {
    let mut out = Vec::new();
    for (op, request, body) in messages {
        frame(*op, *request, vec![body.clone().into()], &mut out);
    }
    out.concat()
}

struct Pieces<'a> {
    stream: &'a [u8],
    piece_max: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (piece, rest) = self.stream.split_at(self.piece_max.min(room.remaining()).min(self.stream.len()));
        room.put_slice(piece);
        self.stream = rest;
        Poll::Ready(Ok(()))
    }
}

/// Where a record is that came over the wire: nowhere.
struct NoFile;

impl SegmentFile for NoFile {
    fn append(&self, _: &mut [IoSlice<'_>]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn size(&self) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn overwrite(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
