//! What is cut where, and that memory stays bounded.

use std::io;

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
    let expected =
        [r#"{"a":"]}\"\\"}"#, "5", r#""x,]\"""#, "[[1],{}]", "nul", r#"{"b":{"c":[{}]}}"#, r#"{"d":1}"#, r#"{"e":2}"#];
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
    let read: Vec<_> = RecordReader::new(Dribble(LINES), Format::Lines).map(|record| record.expect("reads")).collect();
    assert_eq!(read, cut(Format::Lines, LINES, LINES.len()));
}
