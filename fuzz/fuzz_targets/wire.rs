//! Whatever the other side sends is refused or understood, and what was understood is written as it came; a stream is
//! cut into the same messages however it arrives, in memory that follows what has come.

#![no_main]

use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;
use queue::fuzzing::{Speaker, read_stream, reread, write_stream};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of memory that a message may take for each of its bytes, and in any case.
const MEMORY_PER_BYTE: usize = 64;
const MEMORY_MIN: usize = 256 << 10;

/// Operations, as `queue/PROTOCOL.md` numbers them.
const SETTLE: u8 = 3;
const DEAD_LETTERS: u8 = 7;
const PUT_DONE: u8 = 0x81;
const STATS_ARE: u8 = 0x87;
const DEAD_ARE: u8 = 0x88;

/// Whether every byte has to be written as it came. Elsewhere a field is read leniently (a flag of any value but 0, JSON, an
/// error with more than its kind has), and what is written has to be stable.
fn is_exact(speaker: Speaker, op: u8) -> bool {
    match speaker {
        Speaker::Client => !matches!(op, SETTLE | DEAD_LETTERS),
        Speaker::Manager => matches!(op, PUT_DONE | DEAD_ARE),
        Speaker::Stranger => false,
    }
}

fn message(speaker: Speaker, op: u8, body: &[u8]) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let written = reread(speaker, op, body.to_vec());
    let used = MEMORY.peak_usage().saturating_sub(before);
    assert!(used <= MEMORY_MIN + MEMORY_PER_BYTE * body.len(), "{used} bytes of memory for {} of input", body.len());
    let Some(written) = written else { return };
    if is_exact(speaker, op) {
        assert_eq!(written, body, "{speaker:?} {op}");
    }
    let again = reread(speaker, op, written.clone());
    // Decimal fractions are read to within a last bit.
    if (speaker, op) == (Speaker::Manager, STATS_ARE) {
        return assert!(again.is_some());
    }
    assert_eq!(again.as_deref(), Some(&written[..]), "{speaker:?} {op}");
}

fn stream(bytes: &[u8], piece_max: usize, frame_max: usize) {
    let whole = read_stream(bytes, usize::MAX, frame_max);
    let (messages, end, received) = &whole;
    assert_eq!(read_stream(bytes, piece_max, frame_max).0, *messages, "in pieces of {piece_max}");
    assert!(*received <= bytes.len() as u64);
    let written = write_stream(messages);
    assert!(bytes.starts_with(&written), "what was understood is what came");
    // A stream that ended well had nothing else.
    assert!(!end.is_empty() || written.len() == bytes.len(), "{} of {} bytes", written.len(), bytes.len());
    for (op, _, body) in messages {
        message(Speaker::Client, *op, body);
        message(Speaker::Manager, *op, body);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some(([kind, op], body)) = input.split_first_chunk() else { return };
    match kind % 4 {
        0 => message(Speaker::Client, *op, body),
        1 => message(Speaker::Manager, *op, body),
        2 => message(Speaker::Stranger, *op, body),
        _ => {
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            read_stream(body, usize::MAX, 64 << 10);
            let used = MEMORY.peak_usage().saturating_sub(before);
            assert!(used <= MEMORY_MIN + MEMORY_PER_BYTE * body.len(), "{used} bytes for {} of input", body.len());
            stream(body, usize::from(*op) + 1, 64 << 10);
        }
    }
});
