//! The body of a large answer: handed out in pieces, and counted as held until the client has taken the last of them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::edge::Hold;

/// Bytes handed out at a time: a connection asks for more when most of it is on its way.
const PIECE_BYTES: usize = 64 << 10;

/// Bytes on their way to a client.
pub struct HeldBody {
    rest: Bytes,
    _hold: Hold,
}

impl HeldBody {
    /// All of an answer, and the memory that it counts as.
    pub fn new(bytes: Vec<u8>, hold: Hold) -> HeldBody {
        HeldBody { rest: bytes.into(), _hold: hold }
    }
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.rest.len().min(PIECE_BYTES);
        Poll::Ready((piece > 0).then(|| Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
