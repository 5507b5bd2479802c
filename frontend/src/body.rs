//! The bytes of a request's body: decompressed as they come, timed, and counted against the limits. A body is never
//! collected; what is held of it here is one chunk and a decompressor's window.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use hyper::body::Body as _;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::{ApiError, Code};
use crate::settings::Limits;

/// Bytes of a chunk, at most: what decompression makes at a time, which is 0.1 to 0.3 ms of work between two chances for
/// other requests. What comes as it is comes in smaller ones.
pub const CHUNK_BYTES_MAX: usize = 64 << 10;

/// Window of a zstd frame, as a power of two: 8 MiB, what level 19 uses, and what a decoder of the web has to bear. The
/// format would allow gigabytes.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Window of gzip.
const GZIP_WINDOW_BYTES: u64 = 32 << 10;

/// What a decoder holds beside its window, about.
const DECODER_BYTES: usize = 16 << 10;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// Gzip, of one or more members.
    Gzip,
    /// Zstandard, of one or more frames.
    Zstd,
}

/// Why there is no next chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// Silent for too long, or too slow.
    Timeout,
    /// Longer than a body may be.
    TooLarge,
    /// Grew out of proportion.
    Bomb,
    /// Not in the encoding that was announced.
    BadEncoding(String),
    /// The connection or the framing broke.
    Broken(String),
}

/// A body, chunk by chunk.
pub struct Chunks {
    source: Source,
    room: BytesMut,
    decoded_bytes: u64,
    limits: Arc<Limits>,
}

enum Source {
    Identity(Wire),
    Gzip(Box<GzipDecoder<Wire>>),
    Zstd(Box<ZstdDecoder<Wire>>),
}

/// What comes over the network, with the time it takes.
struct Wire {
    body: Body,
    chunk: Bytes,
    bytes: u64,
    /// Running while the body is silent.
    silence: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    waited: Duration,
    limits: Arc<Limits>,
}

impl Chunks {
    /// Of this body.
    pub fn new(body: Body, encoding: Encoding, limits: &Arc<Limits>) -> Chunks {
        let wire = Wire {
            body,
            chunk: Bytes::new(),
            bytes: 0,
            silence: None,
            timer: Box::pin(sleep_until(Instant::now())),
            waited: Duration::ZERO,
            limits: limits.clone(),
        };
        let source = match encoding {
            Encoding::Identity => Source::Identity(wire),
            Encoding::Gzip => {
                let mut decoder = GzipDecoder::new(wire);
                decoder.multiple_members(true);
                Source::Gzip(Box::new(decoder))
            }
            Encoding::Zstd => {
                let window = DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX);
                let mut decoder = ZstdDecoder::with_params(wire, &[window]);
                decoder.multiple_members(true);
                Source::Zstd(Box::new(decoder))
            }
        };
        Chunks { source, room: BytesMut::new(), decoded_bytes: 0, limits: limits.clone() }
    }

    /// The next chunk, never empty; `None` at the end of the body.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let chunk = match &mut self.source {
            Source::Identity(wire) => std::future::poll_fn(|cx| wire.poll_chunk(cx)).await?,
            Source::Gzip(decoder) => decode(decoder, &mut self.room).await?,
            Source::Zstd(decoder) => decode(decoder, &mut self.room).await?,
        };
        let Some(chunk) = chunk else { return Ok(None) };
        self.decoded_bytes += chunk.len() as u64;
        let wire_bytes = match &self.source {
            Source::Identity(wire) => wire.bytes,
            Source::Gzip(decoder) => decoder.get_ref().bytes,
            Source::Zstd(decoder) => decoder.get_ref().bytes,
        };
        if self.decoded_bytes > self.limits.expansion_free_bytes
            && self.decoded_bytes > wire_bytes.saturating_mul(self.limits.expansion_max)
        {
            return Err(BodyError::Bomb);
        }
        if self.decoded_bytes > self.limits.body_bytes_max {
            return Err(BodyError::TooLarge);
        }
        Ok(Some(chunk))
    }

    /// Bytes of memory held to give the next chunk. A window is as large as a frame says, or as what has come out so far.
    pub fn held(&self) -> usize {
        let window_max = match &self.source {
            Source::Identity(_) => return 0,
            Source::Gzip(_) => GZIP_WINDOW_BYTES,
            Source::Zstd(_) => 1 << ZSTD_WINDOW_LOG_MAX,
        };
        DECODER_BYTES + self.decoded_bytes.min(window_max) as usize
    }

    /// Bytes given so far.
    pub fn decoded_bytes(&self) -> u64 {
        self.decoded_bytes
    }
}

async fn decode<D: AsyncRead + Unpin>(decoder: &mut D, room: &mut BytesMut) -> Result<Option<Bytes>, BodyError> {
    room.reserve(CHUNK_BYTES_MAX);
    match decoder.read_buf(room).await {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(room.split().freeze())),
        Err(error) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<BodyError>()) {
            Some(body_error) => body_error.clone(),
            None => BodyError::BadEncoding(error.to_string()),
        }),
    }
}

impl Wire {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => {
                    if let Some(since) = self.silence.take() {
                        self.waited += since.elapsed();
                    }
                    let Some(frame) = frame else { return Poll::Ready(Ok(None)) };
                    let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
                    // Trailers are nothing that posts have.
                    let Ok(chunk) = frame.into_data() else { continue };
                    self.bytes += chunk.len() as u64;
                    let bytes_min = self.waited.as_secs().saturating_mul(self.limits.body_rate_min);
                    if self.waited > self.limits.body_rate_after && self.bytes < bytes_min {
                        return Poll::Ready(Err(BodyError::Timeout));
                    }
                    if !chunk.is_empty() {
                        return Poll::Ready(Ok(Some(chunk)));
                    }
                }
                Poll::Pending => {
                    if self.silence.is_none() {
                        let now = Instant::now();
                        self.silence = Some(now);
                        self.timer.as_mut().reset(now + self.limits.body_timeout);
                    }
                    ready!(self.timer.as_mut().poll(cx));
                    return Poll::Ready(Err(BodyError::Timeout));
                }
            }
        }
    }
}

impl AsyncBufRead for Wire {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let wire = self.get_mut();
        if wire.chunk.is_empty() {
            wire.chunk = ready!(wire.poll_chunk(cx)).map_err(io::Error::other)?.unwrap_or_default();
        }
        Poll::Ready(Ok(&wire.chunk))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().chunk.advance(count);
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let bytes = ready!(self.as_mut().poll_fill_buf(cx))?;
        let count = bytes.len().min(room.remaining());
        room.put_slice(&bytes[..count]);
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::Timeout => f.write_str("the body stopped coming; send the rest again, without pauses"),
            BodyError::TooLarge => f.write_str("the body is too large; send it in several requests"),
            BodyError::Bomb => f.write_str(
                "the body grows out of all proportion when it is decompressed; send it in smaller requests or plain",
            ),
            BodyError::BadEncoding(reason) => {
                write!(f, "the body is not what Content-Encoding says: {reason}; compress it anew, or send it plain")
            }
            BodyError::Broken(reason) => write!(f, "the body broke off: {reason}; send the rest again"),
        }
    }
}

impl std::error::Error for BodyError {}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> ApiError {
        let code = match error {
            BodyError::Timeout => Code::BodyTimeout,
            BodyError::TooLarge => Code::BodyTooLarge,
            BodyError::Bomb => Code::DecompressionBomb,
            BodyError::BadEncoding(_) => Code::BadEncoding,
            BodyError::Broken(_) => Code::BrokenBody,
        };
        ApiError::new(code, error.to_string())
    }
}
