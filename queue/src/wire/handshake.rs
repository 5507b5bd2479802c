//! The beginning of a connection: both sides agree on a version and prove that they know the secret.

use crate::codec::{Input, Output};
use crate::secret::{NONCE, PROOF};

/// What the first frame begins with.
const MAGIC: [u8; 4] = *b"CDQP";
/// The version of the protocol that this side speaks.
pub(crate) const VERSION: u16 = 1;
/// Bytes of a handshake frame at most.
pub(crate) const HANDSHAKE_BYTES_MAX: usize = 1024;
/// Bytes of a client's name at most.
const NAME_BYTES_MAX: usize = 200;

/// Server to client, first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) version_min: u16,
    pub(crate) version_max: u16,
    pub(crate) nonce: [u8; NONCE],
}

/// Client to server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) version: u16,
    pub(crate) nonce: [u8; NONCE],
    pub(crate) proof: [u8; PROOF],
    pub(crate) name: String,
}

/// Server to client, last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) proof: [u8; PROOF],
    pub(crate) session: u64,
    pub(crate) lease_timeout_ms: u32,
    pub(crate) frame_bytes_max: u32,
    pub(crate) item_bytes_max: u32,
}

fn array<const N: usize>(input: &mut Input<'_>) -> Option<[u8; N]> {
    input.bytes(N)?.first_chunk().copied()
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.u16(self.version_min);
        out.u16(self.version_max);
        out.bytes(&self.nonce);
        out
    }

    pub(crate) fn decode(body: &[u8]) -> Option<Hello> {
        let mut input = Input::new(body);
        let magic = input.bytes(MAGIC.len())?;
        let hello = Hello { version_min: input.u16()?, version_max: input.u16()?, nonce: array(&mut input)? };
        (magic == MAGIC).then_some(hello)
    }
}

impl Login {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.u16(self.version);
        out.bytes(&self.nonce);
        out.bytes(&self.proof);
        let name = &self.name.as_bytes()[..self.name.floor_char_boundary(NAME_BYTES_MAX)];
        out.u8(name.len() as u8);
        out.bytes(name);
        out
    }

    pub(crate) fn decode(body: &[u8]) -> Option<Login> {
        let mut input = Input::new(body);
        let magic = input.bytes(MAGIC.len())?;
        let (version, nonce, proof) = (input.u16()?, array(&mut input)?, array(&mut input)?);
        let name_len = usize::from(input.u8()?);
        let name = input.text(name_len)?;
        (magic == MAGIC).then_some(Login { version, nonce, proof, name })
    }
}

impl Welcome {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.proof.to_vec();
        out.u64(self.session);
        out.u32(self.lease_timeout_ms);
        out.u32(self.frame_bytes_max);
        out.u32(self.item_bytes_max);
        out
    }

    pub(crate) fn decode(body: &[u8]) -> Option<Welcome> {
        let mut input = Input::new(body);
        let (proof, session) = (array(&mut input)?, input.u64()?);
        let (lease_timeout_ms, frame_bytes_max, item_bytes_max) = (input.u32()?, input.u32()?, input.u32()?);
        Some(Welcome { proof, session, lease_timeout_ms, frame_bytes_max, item_bytes_max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_reads_back() {
        let hello = Hello { version_min: 1, version_max: 2, nonce: [7; NONCE] };
        assert_eq!(Hello::decode(&hello.encode()), Some(hello));
        let login = Login { version: 1, nonce: [1; NONCE], proof: [2; PROOF], name: "worker 2".into() };
        assert_eq!(Login::decode(&login.encode()), Some(login.clone()));
        let long = Login { name: "é".repeat(200), ..login };
        assert_eq!(Login::decode(&long.encode()).map(|login| login.name), Some("é".repeat(100)));
        let sizes = (30_000, 1, 2);
        let (lease_timeout_ms, frame_bytes_max, item_bytes_max) = sizes;
        let welcome = Welcome { proof: [3; PROOF], session: 9, lease_timeout_ms, frame_bytes_max, item_bytes_max };
        assert_eq!(Welcome::decode(&welcome.encode()), Some(welcome));
    }
}
