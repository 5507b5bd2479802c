//! Cuts a stream of bytes into records: lines, or the values of a JSON body. Used where posts enter (over HTTP, from a
//! file), so that all entrances agree on what a record is and where it starts.
//!
//! Bytes are pushed in chunks of any size and records come out as soon as they end. No byte is looked at twice; a
//! record inside one chunk is a slice of it, one that spans chunks is put together once. Memory is bounded by
//! [`limits::POST_BYTES_MAX`] plus the chunks that were pushed and not taken yet: a longer record is reported as soon
//! as that is known, and the rest of it is passed over. What a record says is not looked at; that is
//! [`Post::parse`](crate::Post::parse)'s.

mod json;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::POST_BYTES_MAX;
use json::{Json, Place, Step};

pub use reader::RecordReader;

/// How records follow one another in a stream. A byte order mark at the start of the stream is passed over in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One record a line, ended by LF or CR LF; lines of white space are skipped. Whatever is wrong with one line, the
    /// next is a record of its own.
    Lines,
    /// JSON objects separated by white space, or by commas inside an array. The cut is made by brackets and strings
    /// alone: a value with anything else wrong inside is one record, and harms no other.
    Json,
}

/// What a stream is cut into. Offsets count from the first byte of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A record of at most [`POST_BYTES_MAX`] bytes, without its line break or comma.
    Whole {
        /// Of its first byte.
        offset: u64,
        /// The bytes as they came.
        bytes: Bytes,
    },
    /// A longer one. The next record is whole again.
    TooLong {
        /// Of its first byte.
        offset: u64,
    },
    /// [`Format::Json`] only: nothing after this can be told apart, and nothing follows.
    Broken {
        /// Of the byte that can't be there, or of the first byte of the value that does not end.
        offset: u64,
        /// What is wrong, as half a sentence.
        reason: &'static str,
    },
}

/// The cutter. As an iterator it gives the records that have ended so far: `None` means "push more", and it may give
/// more after that.
#[derive(Debug)]
pub struct Records {
    format: Format,
    json: Json,
    chunks: VecDeque<Bytes>,
    /// Of the first byte of `chunks`.
    offset: u64,
    partial: Partial,
}

/// The record that has begun and not ended, as far as it is in chunks that are used up.
#[derive(Debug, Default)]
struct Partial {
    start: Option<u64>,
    bytes: BytesMut,
    /// Reported already; the rest is passed over.
    too_long: bool,
}

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl Records {
    /// At the start of a stream.
    pub fn new(format: Format) -> Records {
        Records { format, json: Json::new(), chunks: VecDeque::new(), offset: 0, partial: Partial::default() }
    }

    /// The next bytes of the stream.
    pub fn push(&mut self, chunk: impl Into<Bytes>) {
        let chunk = chunk.into();
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// Bytes held now: the record that has begun, and the chunks that were pushed and not taken yet.
    pub fn held(&self) -> usize {
        self.partial.bytes.len() + self.chunks.iter().map(Bytes::len).sum::<usize>()
    }

    /// What the end of the stream makes of the bytes that are left: a last line without a line break, or a JSON value
    /// or array that was cut off. To be called when the iterator has nothing more.
    pub fn finish(&mut self) -> Option<Record> {
        match self.format {
            Format::Lines => {
                self.partial.start?;
                self.end_line(Bytes::new())
            }
            Format::Json => {
                let start = self.partial.start.take();
                let place = std::mem::replace(&mut self.json.place, Place::Broken);
                if std::mem::take(&mut self.partial.too_long) {
                    return None;
                }
                match (start, place) {
                    (Some(offset), _) => {
                        Some(Record::Broken { offset, reason: "the body ends in the middle of a value" })
                    }
                    (None, Place::Top | Place::Broken) => None,
                    (None, _) => {
                        Some(Record::Broken { offset: self.offset, reason: "the body ends before the array does" })
                    }
                }
            }
        }
    }

    fn next_line(&mut self) -> Option<Record> {
        loop {
            let chunk = self.chunks.front_mut()?;
            self.partial.start.get_or_insert(self.offset);
            if let Some(end) = memchr::memchr(b'\n', chunk) {
                let line = chunk.split_to(end);
                chunk.advance(1);
                if chunk.is_empty() {
                    self.chunks.pop_front();
                }
                self.offset += end as u64 + 1;
                if let Some(record) = self.end_line(line) {
                    return Some(record);
                }
            } else {
                let part = self.chunks.pop_front()?;
                self.offset += part.len() as u64;
                // One byte more, as it may be the CR of a line break.
                if let Some(record) = self.partial.keep(&part, POST_BYTES_MAX + 1) {
                    return Some(record);
                }
            }
        }
    }

    fn end_line(&mut self, end: Bytes) -> Option<Record> {
        let (mut offset, mut bytes) = self.partial.end(end)?;
        if bytes.last() == Some(&b'\r') {
            bytes.truncate(bytes.len() - 1);
        }
        if bytes.len() > POST_BYTES_MAX {
            return Some(Record::TooLong { offset });
        }
        if offset == 0 && bytes.starts_with(&BYTE_ORDER_MARK) {
            bytes.advance(BYTE_ORDER_MARK.len());
            offset += BYTE_ORDER_MARK.len() as u64;
        }
        let blank = bytes.iter().all(u8::is_ascii_whitespace);
        (!blank).then_some(Record::Whole { offset, bytes })
    }

    fn next_json(&mut self) -> Option<Record> {
        loop {
            let chunk = self.chunks.front_mut()?;
            if matches!(self.json.place, Place::Nested | Place::Word) {
                let Some(end) = self.json.end_of_value(chunk) else {
                    let part = self.chunks.pop_front()?;
                    self.offset += part.len() as u64;
                    if let Some(record) = self.partial.keep(&part, POST_BYTES_MAX) {
                        return Some(record);
                    }
                    continue;
                };
                let end = chunk.split_to(end);
                self.offset += end.len() as u64;
                if chunk.is_empty() {
                    self.chunks.pop_front();
                }
                self.json.end_value();
                match self.partial.end(end) {
                    Some((offset, bytes)) if bytes.len() > POST_BYTES_MAX => return Some(Record::TooLong { offset }),
                    Some((offset, bytes)) => return Some(Record::Whole { offset, bytes }),
                    None => continue,
                }
            }
            let space = chunk.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
            chunk.advance(space);
            self.offset += space as u64;
            let Some(&byte) = chunk.first() else {
                self.chunks.pop_front();
                continue;
            };
            match self.json.between_values(byte, self.offset) {
                Ok(Step::Over) => {
                    chunk.advance(1);
                    self.offset += 1;
                    if chunk.is_empty() {
                        self.chunks.pop_front();
                    }
                }
                Ok(Step::ValueBegins) => self.partial.start = Some(self.offset),
                Err(reason) => {
                    self.json.place = Place::Broken;
                    self.chunks.clear();
                    return Some(Record::Broken { offset: self.offset, reason });
                }
            }
        }
    }
}

impl Iterator for Records {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        match self.format {
            Format::Lines => self.next_line(),
            Format::Json if self.json.place == Place::Broken => {
                self.chunks.clear();
                None
            }
            Format::Json => self.next_json(),
        }
    }
}

impl Partial {
    /// Keeps a part that does not end the record, unless that makes it too long.
    fn keep(&mut self, part: &[u8], bytes_max: usize) -> Option<Record> {
        if self.too_long {
            return None;
        }
        if self.bytes.len() + part.len() > bytes_max {
            self.too_long = true;
            self.bytes = BytesMut::new();
            return self.start.map(|offset| Record::TooLong { offset });
        }
        self.bytes.extend_from_slice(part);
        None
    }

    /// The whole record; `None` if it has been reported as too long, or none had begun.
    fn end(&mut self, end: Bytes) -> Option<(u64, Bytes)> {
        let start = self.start.take()?;
        if std::mem::take(&mut self.too_long) {
            return None;
        }
        if self.bytes.is_empty() {
            return Some((start, end));
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(&end);
        Some((start, bytes.freeze()))
    }
}
