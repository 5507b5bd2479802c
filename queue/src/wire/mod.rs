//! The wire: frames and what is in them. `PROTOCOL.md` is the contract; this is its only implementation, used by the
//! server and by the client.

pub(crate) mod frames;
pub(crate) mod handshake;
pub(crate) mod replies;
pub(crate) mod requests;

/// Bytes of one frame at most, after its length field.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 20;
/// Bytes of an id at most.
pub(crate) const ID_BYTES_MAX: usize = 1024;
/// Items in one put, or outputs in one settlement, at most.
pub(crate) const PUT_ITEMS_MAX: usize = 1 << 16;

/// Operations and replies, as numbered on the wire.
pub(crate) mod op {
    pub(crate) const PUT: u8 = 1;
    pub(crate) const LEASE: u8 = 2;
    pub(crate) const SETTLE: u8 = 3;
    pub(crate) const RELEASE: u8 = 4;
    pub(crate) const BURY: u8 = 5;
    pub(crate) const STATS: u8 = 6;
    pub(crate) const DEAD_LETTERS: u8 = 7;
    pub(crate) const RETRY_DEAD: u8 = 8;
    pub(crate) const DROP_DEAD: u8 = 9;
    pub(crate) const PING: u8 = 10;
    pub(crate) const BYE: u8 = 11;

    pub(crate) const PUT_DONE: u8 = 0x81;
    pub(crate) const LEASED: u8 = 0x82;
    pub(crate) const EMPTY: u8 = 0x83;
    pub(crate) const FLUSH: u8 = 0x84;
    pub(crate) const STOP: u8 = 0x85;
    pub(crate) const DONE: u8 = 0x86;
    pub(crate) const STATS_ARE: u8 = 0x87;
    pub(crate) const DEAD_ARE: u8 = 0x88;
    pub(crate) const ERROR: u8 = 0xFF;

    pub(crate) const HELLO: u8 = 0x70;
    pub(crate) const LOGIN: u8 = 0x71;
    pub(crate) const WELCOME: u8 = 0x72;
}
