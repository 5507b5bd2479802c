//! Frames on a stream: length, operation, request number, body. Large ones are read into memory of their own, so that a
//! payload kept for a while keeps nothing else.

use std::io::{self, IoSlice};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::codec::Output;

/// Bytes of the length field.
const LENGTH: usize = 4;
/// Bytes of operation and request number.
const HEAD: usize = 9;
/// Bytes read at a time when it is not known how many will come.
const BUFFER: usize = 64 << 10;
/// Parts up to so long are copied together; longer ones are written from where they are.
const COPY_MAX: usize = 16 << 10;

/// One frame.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) op: u8,
    pub(crate) request: u64,
    pub(crate) body: Bytes,
}

/// Why no frame came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a frame of {0} bytes; at least {HEAD} and at most {1} are allowed")]
    Length(usize, usize),
}

/// Reads frames. A call that is dropped loses nothing.
pub(crate) struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    /// A large frame of which some has come, and its length.
    large: Option<(BytesMut, usize)>,
    pub(crate) frame_max: usize,
    /// Bytes that have come so far, to see whether the other side lives.
    pub(crate) received: u64,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R, frame_max: usize) -> FrameReader<R> {
        FrameReader { stream, buffer: BytesMut::new(), large: None, frame_max, received: 0 }
    }

    /// The next frame; none at a clean end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some((large, length)) = &mut self.large {
                while large.len() < *length {
                    let missing = *length - large.len();
                    match self.stream.read_buf(&mut (&mut *large).limit(missing)).await? {
                        0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                        count => self.received += count as u64,
                    }
                }
                let frame = self.large.take().and_then(|(large, _)| split(large.freeze()));
                return Ok(frame);
            }
            if let Some(length) = self.buffer.first_chunk::<LENGTH>() {
                let length = u32::from_le_bytes(*length) as usize;
                if length < HEAD || length > self.frame_max {
                    return Err(FrameError::Length(length, self.frame_max));
                }
                let whole = LENGTH + length;
                if self.buffer.len() >= whole {
                    let frame = split(Bytes::copy_from_slice(&self.buffer[LENGTH..whole]));
                    self.buffer.advance(whole);
                    return Ok(frame);
                }
                if whole > BUFFER {
                    let mut large = BytesMut::with_capacity(length);
                    large.extend_from_slice(&self.buffer[LENGTH..]);
                    self.buffer.clear();
                    self.large = Some((large, length));
                    continue;
                }
            }
            self.buffer.reserve(BUFFER - self.buffer.len());
            let room = BUFFER - self.buffer.len();
            match self.stream.read_buf(&mut (&mut self.buffer).limit(room)).await? {
                0 if self.buffer.is_empty() => return Ok(None),
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                count => self.received += count as u64,
            }
        }
    }
}

/// Head and body of a frame without its length, which was checked to hold a head.
fn split(mut frame: Bytes) -> Option<Frame> {
    let op = frame.try_get_u8().ok()?;
    let request = frame.try_get_u64_le().ok()?;
    Some(Frame { op, request, body: frame })
}

/// A frame to write, in parts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parts {
    parts: Vec<Bytes>,
    tail: Vec<u8>,
}

impl Parts {
    /// Appends bytes that are shared rather than copied if they are many.
    pub(crate) fn shared(&mut self, bytes: Bytes) {
        if bytes.len() <= COPY_MAX {
            self.tail.extend_from_slice(&bytes);
        } else {
            self.cut();
            self.parts.push(bytes);
        }
    }

    fn cut(&mut self) {
        if !self.tail.is_empty() {
            self.parts.push(std::mem::take(&mut self.tail).into());
        }
    }

    /// Bytes so far.
    pub(crate) fn count(&self) -> usize {
        self.tail.len() + self.parts.iter().map(Bytes::len).sum::<usize>()
    }

    /// The body's parts.
    pub(crate) fn finish(mut self) -> Vec<Bytes> {
        self.cut();
        self.parts
    }
}

impl Output for Parts {
    fn bytes(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }
}

/// Appends a whole frame to what is to be written.
pub(crate) fn frame(op: u8, request: u64, body: Vec<Bytes>, out: &mut Vec<Bytes>) {
    let length: usize = HEAD + body.iter().map(Bytes::len).sum::<usize>();
    let mut head = Vec::with_capacity(LENGTH + HEAD);
    head.length(length);
    head.u8(op);
    head.u64(request);
    out.push(head.into());
    out.extend(body);
}

/// Writes everything and empties `out`.
pub(crate) async fn write_all<W: AsyncWrite + Unpin>(stream: &mut W, out: &mut Vec<Bytes>) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = out.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match stream.write_vectored(rest).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => IoSlice::advance_slices(&mut rest, count),
        }
    }
    drop(slices);
    out.clear();
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_back(written: Vec<u8>, chunk: usize) -> Vec<(u8, u64, usize)> {
        let (mut ours, theirs) = tokio::io::duplex(chunk);
        let writing = tokio::spawn(async move { ours.write_all(&written).await });
        let mut reader = FrameReader::new(theirs, FRAME_MAX);
        let mut frames = Vec::new();
        while let Some(frame) = reader.next().await.unwrap() {
            frames.push((frame.op, frame.request, frame.body.len()));
        }
        writing.await.unwrap().unwrap();
        frames
    }

    const FRAME_MAX: usize = 1 << 20;

    #[tokio::test]
    async fn frames_of_all_sizes_read_back_however_they_arrive() {
        let sizes = [0, 1, 100, BUFFER - 20, BUFFER, BUFFER + 1, 500_000, 3];
        let mut out = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            frame(7, number as u64, vec![Bytes::from(vec![1; *size])], &mut out);
        }
        let written = out.concat();
        let expected: Vec<_> = sizes.iter().enumerate().map(|(number, size)| (7, number as u64, *size)).collect();
        for chunk in [1 << 10, 1 << 16, 1 << 21] {
            assert_eq!(read_back(written.clone(), chunk).await, expected);
        }
    }

    #[tokio::test]
    async fn a_length_out_of_bounds_is_refused_at_once() {
        for length in [0, HEAD as u32 - 1, FRAME_MAX as u32 + 1, u32::MAX] {
            let bytes = length.to_le_bytes();
            let mut reader = FrameReader::new(&bytes[..], FRAME_MAX);
            assert!(matches!(reader.next().await, Err(FrameError::Length(..))));
        }
    }
}
