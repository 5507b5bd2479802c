//! What is live where, and what a log means in which something is missing.

use super::*;
use crate::core::tests::core;

fn replay(core: &mut Core, segment: u32, record: &Record) {
    core.replay(record, Place { segment, offset: 100 }, &[]).expect("a known queue");
}

fn put(first_seq: u64, count: usize) -> Record {
    let shape = Shape { id_len: 3, len: 50, crc: 0 };
    Record::Put(Batch { queue: 0, first_seq, put_ms: 1, shapes: vec![shape; count] })
}

/// What each segment says is live in it, and what there is.
fn assert_balanced(core: &Core) {
    for (number, segment) in &core.segments {
        let live = core.live_in(*number, u64::MAX);
        let reason = |moved: &Moved| moved.dead.as_ref().map(|(reason, _)| reason.clone());
        let bytes = live.iter().map(|moved| weight(&moved.shape, reason(moved).as_deref())).sum::<u64>();
        assert_eq!((segment.live_items, segment.live_bytes), (live.len() as u64, bytes), "in segment {number}");
    }
    for queue in &core.queues {
        let bytes = queue.items.values().map(|entry| u64::from(entry.shape.len)).sum::<u64>();
        assert_eq!(queue.bytes, bytes);
    }
}

#[test]
fn segments_know_what_is_live_in_them_after_every_command() {
    let mut core = core();
    let bury = |seq, reason: &str| {
        let reason = reason.to_owned();
        Record::Bury { queue: 0, buried: vec![(seq, 3)], reason, died_at_ms: 5 }
    };
    for record in [
        put(0, 6),
        Record::Settle { queue: 0, ranges: vec![(1, 2)], outputs: None },
        bury(0, "why not"),
        bury(3, "because"),
        bury(4, "so it is"),
        Record::Retry { queue: 0, seq: 3 },
        Record::Drop { queue: 0, seq: 0 },
    ] {
        replay(&mut core, 1, &record);
        assert_balanced(&core);
    }
    let moved = core.live_in(1, u64::MAX);
    assert_eq!(
        moved.iter().map(|moved| (moved.seq, moved.dead.is_some())).collect::<Vec<_>>(),
        [(3, false), (5, false), (4, true)]
    );
    replay(&mut core, 2, &Record::Move(moved.clone()));
    assert_balanced(&core);
    assert_eq!(core.segments[&1].live_items, 0);
    replay(&mut core, 3, &Record::Settle { queue: 0, ranges: vec![(0, u32::MAX)], outputs: Some(batch(1)) });
    assert_balanced(&core);
    assert_eq!((core.queues[0].items.len(), core.queues[1].items.len()), (0, 1));
}

fn batch(queue: u8) -> Batch {
    Batch { queue, first_seq: 0, put_ms: 1, shapes: vec![Shape { id_len: 1, len: 9, crc: 0 }] }
}

#[test]
fn a_copy_tells_what_a_lost_command_did() {
    let mut whole = core();
    replay(&mut whole, 1, &put(0, 3));
    replay(&mut whole, 1, &Record::Return { queue: 0, failed: vec![(0, 2)] });
    replay(&mut whole, 1, &Record::Bury { queue: 0, buried: vec![(1, 3)], reason: "why".into(), died_at_ms: 5 });
    let moved = Record::Move(whole.live_in(1, u64::MAX));
    let mut damaged = core();
    replay(&mut damaged, 1, &put(0, 3));
    replay(&mut damaged, 2, &moved);
    assert_balanced(&damaged);
    replay(&mut whole, 2, &moved);
    assert_eq!(damaged.live_in(2, u64::MAX), whole.live_in(2, u64::MAX));
    assert_eq!((damaged.queues[0].items[&0].attempts, damaged.queues[0].dead[&1].reason.as_str()), (2, "why"));
}

#[test]
fn a_number_given_twice_is_one_item() {
    let mut core = core();
    replay(&mut core, 1, &put(0, 3));
    replay(&mut core, 2, &put(1, 3));
    assert_balanced(&core);
    assert_eq!((core.queues[0].items.len(), core.segments[&1].live_items), (4, 3));
}
