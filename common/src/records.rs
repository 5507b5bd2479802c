//! Cuts a stream of bytes into records: lines, or the values of a JSON body. Used where posts enter (over HTTP, from a
//! file), so that all entrances agree on what a record is and where it starts.
//!
//! Bytes are pushed in chunks of any size and records come out as soon as they end. No byte is looked at twice; a
//! record inside one chunk is a slice of it, one that spans chunks is put together once. Memory is bounded by
//! [`limits::POST_BYTES_MAX`] plus the chunks that were pushed and not taken yet: a longer record is reported as soon
//! as that is known, and the rest of it is passed over. What a record says is not looked at; that is
//! [`Post::parse`](crate::Post::parse)'s.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::POST_BYTES_MAX;

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

/// Where the JSON cutter stands.
#[derive(Debug)]
struct Json {
    place: Place,
    in_array: bool,
    depth: u64,
    in_string: bool,
    escaped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before an object or an array.
    Top,
    /// After `[`.
    ArrayStart,
    /// After a comma.
    ArrayValue,
    /// After a value.
    ArrayNext,
    /// Inside an object, an array or a string.
    Nested,
    /// Inside a number or a bare word.
    Word,
    /// A `Broken` was given.
    Broken,
}

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl Records {
    /// At the start of a stream.
    pub fn new(format: Format) -> Records {
        let json = Json { place: Place::Top, in_array: false, depth: 0, in_string: false, escaped: false };
        Records { format, json, chunks: VecDeque::new(), offset: 0, partial: Partial::default() }
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
                self.json.place = if self.json.in_array { Place::ArrayNext } else { Place::Top };
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

enum Step {
    /// The byte belongs to no value.
    Over,
    /// The byte is the first of a value, and has not been looked into.
    ValueBegins,
}

impl Json {
    fn between_values(&mut self, byte: u8, offset: u64) -> Result<Step, &'static str> {
        match (self.place, byte) {
            (Place::Top, b'{') => self.place = Place::Nested,
            (Place::Top, b'[') => {
                self.in_array = true;
                self.place = Place::ArrayStart;
                return Ok(Step::Over);
            }
            (Place::Top, _) if offset < 3 && BYTE_ORDER_MARK[offset as usize] == byte => return Ok(Step::Over),
            (Place::Top, _) => return Err("an object or an array of objects should begin here"),
            (Place::ArrayStart | Place::ArrayNext, b']') => {
                self.in_array = false;
                self.place = Place::Top;
                return Ok(Step::Over);
            }
            (Place::ArrayNext, b',') => {
                self.place = Place::ArrayValue;
                return Ok(Step::Over);
            }
            (Place::ArrayNext, _) => return Err("a comma or the end of the array should be here"),
            (_, b',' | b']' | b'}') => return Err("a value should begin here"),
            (_, b'{' | b'[' | b'"') => self.place = Place::Nested,
            _ => self.place = Place::Word,
        }
        Ok(Step::ValueBegins)
    }

    /// Where the value that began earlier, or begins with `bytes`, ends: one past its last byte.
    fn end_of_value(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.place == Place::Word {
            return bytes.iter().position(|byte| matches!(byte, b',' | b']' | b' ' | b'\n' | b'\r' | b'\t'));
        }
        let mut at = 0;
        while at < bytes.len() {
            if std::mem::take(&mut self.escaped) {
                at += 1;
            } else if self.in_string {
                at += memchr::memchr2(b'"', b'\\', &bytes[at..])? + 1;
                self.escaped = bytes[at - 1] == b'\\';
                self.in_string = self.escaped;
                if !self.in_string && self.depth == 0 {
                    return Some(at);
                }
            } else {
                at += bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))? + 1;
                match bytes[at - 1] {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    // The value began with a bracket or a quote, so the depth is at least 1 outside strings.
                    _ => self.depth -= 1,
                }
                if !self.in_string && self.depth == 0 {
                    return Some(at);
                }
            }
        }
        None
    }
}

/// The records of a file or of standard input, read in chunks. Ends after the first read error.
#[derive(Debug)]
pub struct RecordReader<R> {
    source: Option<R>,
    records: Records,
    room: BytesMut,
}

/// Bytes asked for at once: large enough that most records lie inside one chunk.
const READ_BYTES: usize = 256 << 10;

impl<R: io::Read> RecordReader<R> {
    /// Reads `source` from where it stands; offsets count from there.
    pub fn new(source: R, format: Format) -> RecordReader<R> {
        RecordReader { source: Some(source), records: Records::new(format), room: BytesMut::new() }
    }
}

impl<R: io::Read> Iterator for RecordReader<R> {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<io::Result<Record>> {
        loop {
            if let Some(record) = self.records.next() {
                return Some(Ok(record));
            }
            let source = self.source.as_mut()?;
            // What short reads leave of the room is used up before there is new room.
            if self.room.len() < READ_BYTES / 16 {
                self.room = BytesMut::zeroed(READ_BYTES);
            }
            match source.read(&mut self.room) {
                Ok(0) => {
                    self.source = None;
                    return self.records.finish().map(Ok);
                }
                Ok(count) => self.records.push(self.room.split_to(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.source = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"\xef\xbb\xbf{\"a\":1}\r\n\n  \r\n{\"b\":\"\\n\"}\nnonsense\n\xff\xfe\n{\"last\":true}";
    const JSON: &[u8] = br#" [ {"a":"]}\"\\"} , 5 ,"x,]\"",[[1],{}],nul,{"b":{"c":[{}]}}] {"d":1}{"e":2} "#;

    fn cut(format: Format, stream: &[u8], chunk_bytes: usize) -> Vec<Record> {
        let mut records = Records::new(format);
        let mut out = Vec::new();
        for chunk in stream.chunks(chunk_bytes) {
            records.push(chunk.to_vec());
            out.extend(&mut records);
        }
        out.extend(records.finish());
        assert_eq!(records.finish(), None, "a stream ends once");
        out
    }

    /// `Ok` of a whole record's text, `Err` of the other kinds' names, each with its offset.
    fn told(records: Vec<Record>) -> Vec<(u64, Result<String, &'static str>)> {
        let tell = |record| match record {
            Record::Whole { offset, bytes } => (offset, Ok(String::from_utf8_lossy(&bytes).into_owned())),
            Record::TooLong { offset } => (offset, Err("too long")),
            Record::Broken { offset, reason } => (offset, Err(reason)),
        };
        records.into_iter().map(tell).collect()
    }

    #[test]
    fn every_chunking_gives_the_same_records() {
        let broken: &[u8] = br#"[{"a":1} {"b":2}]"#;
        for (format, stream) in [(Format::Lines, LINES), (Format::Json, JSON), (Format::Json, broken)] {
            let whole = cut(format, stream, stream.len());
            for chunk_bytes in 1..stream.len() {
                assert_eq!(cut(format, stream, chunk_bytes), whole, "{format:?} in chunks of {chunk_bytes}");
            }
        }
    }

    #[test]
    fn lines_are_cut_at_line_breaks_and_nowhere_else() {
        let records = told(cut(Format::Lines, LINES, 5));
        let texts: Vec<_> = records.iter().map(|(_, text)| text.as_deref().expect("whole")).collect();
        assert_eq!(texts, ["{\"a\":1}", "{\"b\":\"\\n\"}", "nonsense", "\u{fffd}\u{fffd}", "{\"last\":true}"]);
        for (offset, text) in records.iter().filter(|(_, text)| text.as_deref() != Ok("\u{fffd}\u{fffd}")) {
            let text = text.as_deref().expect("whole").as_bytes();
            assert!(LINES[*offset as usize..].starts_with(text), "offset {offset}");
        }
    }

    #[test]
    fn json_values_are_cut_by_brackets_and_strings() {
        let records = told(cut(Format::Json, JSON, JSON.len()));
        let texts: Vec<_> = records.iter().map(|(_, text)| text.as_deref().expect("whole")).collect();
        let expected = [
            r#"{"a":"]}\"\\"}"#,
            "5",
            r#""x,]\"""#,
            "[[1],{}]",
            "nul",
            r#"{"b":{"c":[{}]}}"#,
            r#"{"d":1}"#,
            r#"{"e":2}"#,
        ];
        assert_eq!(texts, expected);
        for (offset, text) in &records {
            assert!(JSON[*offset as usize..].starts_with(text.as_deref().expect("whole").as_bytes()));
        }
    }

    #[test]
    fn a_json_body_that_breaks_says_where_and_keeps_what_came_before() {
        for (stream, offset) in [
            (&br#"{"a":1} nonsense {"b":2}"#[..], 8),
            (br#"{"a":1} {"b":"#, 8),
            (br#"[{"a":1}"#, 8),
            (br#"[{"a":1}{"b":2}]"#, 8),
            (br#"[{"a":1},]"#, 9),
            (br#"{"a":1}]"#, 7),
        ] {
            let records = told(cut(Format::Json, stream, 4));
            assert_eq!(records.len(), 2, "{records:?}");
            assert!(records[0].1.is_ok(), "{records:?}");
            assert!(records[1].1.is_err() && records[1].0 == offset, "{records:?}");
        }
        assert_eq!(cut(Format::Json, b" [ ] ", 1), []);
    }

    #[test]
    fn a_line_that_never_ends_stays_bounded_and_the_next_one_is_whole() {
        let mut records = Records::new(Format::Lines);
        let mut out = Vec::new();
        for _ in 0..40 {
            records.push(vec![b'x'; 1 << 20]);
            out.extend(&mut records);
            let (held, room) = (records.held(), records.partial.bytes.capacity());
            assert!(held <= POST_BYTES_MAX + 1 && room <= 3 * POST_BYTES_MAX, "{held} bytes are held in {room}");
        }
        records.push(&b"y\nnext"[..]);
        out.extend(&mut records);
        out.extend(records.finish());
        let next = Record::Whole { offset: (40 << 20) + 2, bytes: Bytes::from_static(b"next") };
        assert_eq!(out, [Record::TooLong { offset: 0 }, next]);
    }

    #[test]
    fn the_longest_record_is_whole_and_one_byte_more_is_not() {
        for chunk_bytes in [1 << 20, POST_BYTES_MAX, 64 << 20] {
            for (length, fits) in [(POST_BYTES_MAX, true), (POST_BYTES_MAX + 1, false)] {
                let line = ["x".repeat(length), "\r\n{}".into()].concat();
                let object = format!("[{{{}}},{{}}]", " ".repeat(length - 2));
                for (format, stream) in [(Format::Lines, line), (Format::Json, object)] {
                    let records = cut(format, stream.as_bytes(), chunk_bytes);
                    assert_eq!(records.len(), 2);
                    assert_eq!(matches!(records[0], Record::Whole { .. }), fits, "{format:?}, {length} bytes");
                    assert!(matches!(&records[1], Record::Whole { bytes, .. } if &bytes[..] == b"{}"));
                }
            }
        }
    }

    #[test]
    fn a_record_inside_one_chunk_is_not_copied() {
        let chunk = Bytes::from_static(b"{\"a\":1}\n{\"b\":2}\n");
        let mut records = Records::new(Format::Lines);
        records.push(chunk.clone());
        let Some(Record::Whole { offset: 8, bytes }) = records.nth(1) else { panic!("no second record") };
        assert_eq!(bytes.as_ptr(), chunk[8..].as_ptr());
    }

    #[test]
    fn a_reader_gives_what_pushing_gives() {
        struct Dribble<'a>(&'a [u8]);
        impl io::Read for Dribble<'_> {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                let count = 3.min(self.0.len()).min(room.len());
                room[..count].copy_from_slice(&self.0[..count]);
                self.0 = &self.0[count..];
                Ok(count)
            }
        }
        let read: Vec<_> =
            RecordReader::new(Dribble(LINES), Format::Lines).map(|record| record.expect("reads")).collect();
        assert_eq!(read, cut(Format::Lines, LINES, LINES.len()));
    }
}
