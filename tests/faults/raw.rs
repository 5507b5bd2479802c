//! HTTP by hand, for clients that do what no library does.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::PATIENCE;

/// One connection.
pub struct Raw(pub TcpStream);

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Raw {
    pub fn connect(url: &str) -> Raw {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).expect("the frontend listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Raw(stream)
    }

    /// Sends as much as is taken: the frontend may answer and close before the end. Whether it took everything.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).is_ok()
    }

    /// Begins a POST whose body has so many bytes, or comes in chunks.
    pub fn begin_post(&mut self, headers: &str, length: Option<usize>) -> bool {
        let length = length.map_or("transfer-encoding: chunked".to_owned(), |bytes| format!("content-length: {bytes}"));
        self.send(format!("POST /v1/posts HTTP/1.1\r\nhost: desk\r\n{headers}{length}\r\n\r\n"))
    }

    /// Sends one chunk of a chunked body; an empty one ends it.
    pub fn chunk(&mut self, bytes: &[u8]) -> bool {
        self.send([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
    }

    /// The next answer; none if the connection ends without a whole one.
    pub fn reply(&mut self) -> Option<Reply> {
        let mut bytes = Vec::new();
        let mut room = [0; 16 << 10];
        loop {
            if let Some(reply) = parse(&bytes) {
                return Some(reply);
            }
            match self.0.read(&mut room) {
                Ok(count @ 1..) => bytes.extend_from_slice(&room[..count]),
                _ => return None,
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Reply> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.split_once("content-length: ").map_or(0, |(_, rest)| {
        rest.lines().next().and_then(|length| length.trim().parse().ok()).expect("a length is a number")
    });
    let body = bytes.get(end..end + length)?;
    let status = head.split(' ').nth(1)?.parse().expect("a status is a number");
    Some(Reply { status, body: serde_json::from_slice(body).unwrap_or(Value::Null), head })
}
