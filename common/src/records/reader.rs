//! Records of a source that is read, in place of one that is pushed.

use std::io;

use bytes::BytesMut;

use super::{Format, Record, Records};

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
