//! What may happen, and how often.

use proptest::collection::vec;
use proptest::prelude::*;

/// A step. Sessions, and choices among what there is, are numbers to be taken modulo.
#[derive(Debug, Clone)]
pub enum Step {
    Put { queue: usize, items: Vec<(u8, u16)> },
    PutTooLarge,
    Lease { session: usize, queue: usize, items_max: u32, bytes_max: u32 },
    Work { session: usize, queue: usize },
    Settle { session: usize, queue: usize, choice: u8, outputs: Option<Vec<u16>> },
    SettlePast { session: usize },
    Release { session: usize, queue: usize, choice: u8 },
    Bury { session: usize, queue: usize },
    Lose { session: usize },
    Close { session: usize },
    RetryDead { choice: usize },
    DropDead { choice: usize },
    Reopen,
    Crash,
}

pub fn step() -> impl Strategy<Value = Step> {
    let session = || 0..3_usize;
    // Posts most of the time.
    let queue = || prop_oneof![4 => Just(0), 2 => Just(1), 1 => Just(2_usize)];
    let size = || prop_oneof![1 => Just(0), 1 => 1..50_u16, 1 => 200..400_u16, 2 => 1200..1800_u16];
    let bytes_max = prop_oneof![3 => Just(u32::MAX), 1 => 1..2000_u32];
    let outputs = proptest::option::of(vec(size(), 0..3));
    prop_oneof![
        14 => (queue(), vec((0..30_u8, size()), 0..6)).prop_map(|(queue, items)| Step::Put { queue, items }),
        16 => (session(), queue(), 1..9_u32, bytes_max).prop_map(|(session, queue, items_max, bytes_max)| {
            Step::Lease { session, queue, items_max, bytes_max }
        }),
        8 => (session(), 0..3_usize).prop_map(|(session, queue)| Step::Work { session, queue }),
        8 => (session(), queue(), any::<u8>(), outputs).prop_map(|(session, queue, choice, outputs)| {
            Step::Settle { session, queue, choice, outputs }
        }),
        1 => session().prop_map(|session| Step::SettlePast { session }),
        3 => (session(), queue(), any::<u8>()).prop_map(|(session, queue, choice)| {
            Step::Release { session, queue, choice }
        }),
        2 => (session(), queue()).prop_map(|(session, queue)| Step::Bury { session, queue }),
        7 => session().prop_map(|session| Step::Lose { session }),
        2 => session().prop_map(|session| Step::Close { session }),
        2 => any::<usize>().prop_map(|choice| Step::RetryDead { choice }),
        1 => any::<usize>().prop_map(|choice| Step::DropDead { choice }),
        4 => Just(Step::Reopen),
        4 => Just(Step::Crash),
    ]
}
