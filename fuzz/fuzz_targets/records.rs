//! Records are the same however a stream is pushed or read, lie where they say, and agree with what a plain JSON parser
//! finds; memory follows the longest record. A post that is taken has the fields that such a parser sees.

#![no_main]

use common::limits::POST_BYTES_MAX;
use common::records::{Format, Record, RecordReader, Records};
use common::{Post, PostError};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

/// Bytes pushed at once, in turn.
type Pieces<'a> = &'a [u8];

fn piece_sizes(pieces: Pieces<'_>) -> impl Iterator<Item = usize> {
    pieces.iter().chain([&63]).cycle().map(|size| usize::from(*size) + 1)
}

fn pushed(format: Format, mut stream: &[u8], pieces: Pieces<'_>) -> Vec<Record> {
    let mut records = Records::new(format);
    let mut all = Vec::new();
    let mut sizes = piece_sizes(pieces);
    while let Some(size) = sizes.next().filter(|_| !stream.is_empty()) {
        let (piece, rest) = stream.split_at(size.min(stream.len()));
        stream = rest;
        records.push(piece.to_vec());
        all.extend(&mut records);
        assert!(records.held() <= POST_BYTES_MAX + 1, "{} bytes are held", records.held());
    }
    all.extend(records.finish());
    assert_eq!(records.finish(), None, "a stream ends once");
    all
}

struct Dribble<'a>(&'a [u8], Box<dyn Iterator<Item = usize> + 'a>);

impl std::io::Read for Dribble<'_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let size = self.1.next().unwrap_or(1).min(room.len()).min(self.0.len());
        let (piece, rest) = self.0.split_at(size);
        room[..size].copy_from_slice(piece);
        self.0 = rest;
        Ok(size)
    }
}

fn check(format: Format, stream: &[u8], pieces: Pieces<'_>) {
    let mut whole = Records::new(format);
    whole.push(stream.to_vec());
    let mut all: Vec<Record> = whole.by_ref().collect();
    all.extend(whole.finish());
    let in_one_piece_and_more = |others: Vec<Record>, how: &str| assert_eq!(others, all, "{format:?}, {how}");
    in_one_piece_and_more(pushed(format, stream, pieces), "pushed in pieces");
    in_one_piece_and_more(pushed(format, stream, &[0]), "pushed byte by byte");
    let reader = RecordReader::new(Dribble(stream, Box::new(piece_sizes(pieces))), format);
    in_one_piece_and_more(reader.map(|record| record.expect("memory can be read")).collect(), "read");
    let mut end = 0;
    for record in &all {
        let (offset, len) = match record {
            Record::Whole { offset, bytes } => {
                assert!(stream[*offset as usize..].starts_with(bytes), "a record is not at {offset}");
                assert!(bytes.len() <= POST_BYTES_MAX, "a record of {} bytes", bytes.len());
                (*offset, bytes.len() as u64)
            }
            Record::TooLong { offset } => (*offset, POST_BYTES_MAX as u64 + 1),
            Record::Broken { offset, .. } => (*offset, 0),
        };
        assert!(offset >= end && offset + len <= stream.len() as u64, "records overlap at {offset}");
        end = offset + len;
    }
    match format {
        Format::Lines => check_lines(stream, &all),
        Format::Json => check_values(stream, &all),
    }
    for record in &all {
        if let Record::Whole { bytes, .. } = record {
            check_post(bytes);
        }
    }
}

/// Every line that is not blank is a record, and nothing else is.
fn check_lines(stream: &[u8], all: &[Record]) {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let line = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
    let lines = stream.split(|byte| *byte == b'\n').map(line).filter(|line| !line.trim_ascii().is_empty());
    let expected: Vec<_> = lines.map(|line| Some(line).filter(|line| line.len() <= POST_BYTES_MAX)).collect();
    let told = |record: &Record| match record {
        Record::Whole { bytes, .. } => Some(bytes.to_vec()),
        _ => None,
    };
    let is_cut = |line: &Option<Vec<u8>>| line.as_ref().is_none_or(|line| line.len() + 3 > POST_BYTES_MAX);
    // A byte order mark counts for the length of the first line.
    if !expected.first().is_some_and(is_cut) {
        assert_eq!(all.iter().map(told).collect::<Vec<_>>(), expected);
    }
}

/// A stream that is an array or a sequence of objects to a parser is cut where the parser cuts.
fn check_values(stream: &[u8], all: &[Record]) {
    let texts = |values: &[Box<RawValue>]| -> Vec<Vec<u8>> {
        values.iter().map(|value| value.get().as_bytes().to_vec()).filter(|text| text.len() <= POST_BYTES_MAX).collect()
    };
    let whole = |record: &Record| match record {
        Record::Whole { bytes, .. } => Some(bytes.to_vec()),
        _ => None,
    };
    if let Ok(values) = serde_json::from_slice::<Vec<Box<RawValue>>>(stream) {
        assert_eq!(all.iter().filter_map(whole).collect::<Vec<_>>(), texts(&values));
        assert!(!all.iter().any(|record| matches!(record, Record::Broken { .. })));
        return;
    }
    let values: Result<Vec<Box<RawValue>>, _> = serde_json::Deserializer::from_slice(stream).into_iter().collect();
    if let Ok(values) = values
        && values.iter().all(|value| value.get().starts_with('{'))
    {
        assert_eq!(all.iter().filter_map(whole).collect::<Vec<_>>(), texts(&values));
    }
}

fn check_post(record: &[u8]) {
    let parsed = Post::parse(record);
    let seen = serde_json::from_slice::<Value>(record);
    match (&parsed, &seen) {
        (Ok(post), Ok(seen)) => {
            let fields = [
                ("id", post.id.as_deref()),
                ("publication", Some(&*post.publication)),
                ("title", post.title.as_deref()),
                ("content", Some(&*post.content)),
                ("published_at", post.published_at.as_deref()),
                ("url", post.url.as_deref()),
            ];
            for (name, value) in fields {
                assert_eq!(seen.get(name).and_then(Value::as_str), value, "`{name}`");
                assert!(value.is_none_or(|value| !value.contains('\0')), "`{name}`");
            }
            let written = serde_json::to_vec(post).expect("a post serialises");
            // What was written with few bytes may take more: every character of it may be escaped now.
            match Post::parse(&written) {
                Ok(again) => assert_eq!(again, *post),
                Err(error) => assert_eq!(error, PostError::TooLong),
            }
        }
        (Ok(_), Err(error)) => panic!("a post that is no JSON: {error}"),
        (Err(PostError::BadJson(error)), Ok(_)) => panic!("JSON that is refused as none: {error}"),
        (Err(error), _) => assert!(!error.code().is_empty() && !error.to_string().is_empty()),
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((format, input)) = input.split_first() else { return };
    // A few sizes of pieces, then the stream.
    let (pieces, stream) = input.split_at((usize::from(format >> 1) % 8).min(input.len()));
    check(if format & 1 == 0 { Format::Lines } else { Format::Json }, stream, pieces);
    check_post(stream);
});
