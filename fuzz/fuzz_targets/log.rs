//! A log of any bytes is opened without a panic, in time and in memory that follows its size. What recovery leaves
//! behind is opened again with the same items and no new damage, takes a put, and can be emptied.

#![no_main]

mod disk;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use disk::MemoryDisk;
use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;
use queue::fuzzing::{Kept, drain, is_used_up, kept, put, remembered};
use queue::{Manager, ManagerSettings, OpenError, POSTS, RESULTS, Recovery};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of memory that opening may take for one byte of input, and in any case.
const MEMORY_PER_BYTE: usize = 64;
const MEMORY_MIN: usize = 1 << 20;

/// Ids remembered: few, so that some are forgotten.
const WINDOW: usize = 8;

/// The lock is in a true directory, whatever the disk.
static DIR: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("copydesk-fuzz-{}", std::process::id())));

fn open(disk: &MemoryDisk) -> Result<(Manager, Recovery), OpenError> {
    let settings = ManagerSettings {
        segment_bytes: 2048,
        duplicate_window: WINDOW,
        cache_bytes: 0,
        disk_free_min: 0,
        ..ManagerSettings::pipeline(&*DIR)
    };
    Manager::open_on(settings, Arc::new(disk.clone()))
}

/// Opens what an earlier open has left behind.
fn reopen(disk: &MemoryDisk, first: &Recovery) -> Manager {
    let (manager, recovery) = open(disk).expect("what was opened once opens again");
    assert_eq!(recovery.torn_bytes, 0, "the torn end was cut away");
    for damage in &recovery.damage {
        // A segment that could not be read is told of in other words once it is set aside.
        let is_aside = damage.bytes == 0 && first.damage.iter().any(|before| before.segment == damage.segment);
        assert!(is_aside || first.damage.contains(damage), "new damage: {damage}");
    }
    manager
}

fn all(manager: &Manager) -> Vec<Kept> {
    let kept = kept(manager).expect("what was recovered can be read");
    assert!(kept.iter().all(|kept| kept.record.is_some()), "what was recovered is sound");
    kept
}

fuzz_target!(|input: &[u8]| {
    let disk = MemoryDisk::from_input(input);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let opened = open(&disk);
    let used = MEMORY.peak_usage().saturating_sub(before);
    assert!(used <= MEMORY_MIN + MEMORY_PER_BYTE * input.len(), "{used} bytes of memory for {} of input", input.len());
    let (manager, recovery) = match opened {
        Ok(opened) => opened,
        Err(OpenError::Newer { .. } | OpenError::UnknownQueue { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    if is_used_up(&manager) {
        return;
    }
    let mut expected = all(&manager);
    let ids = remembered(&manager);
    drop(manager);

    let manager = reopen(&disk, &recovery);
    assert_eq!(all(&manager), expected);
    assert_eq!(remembered(&manager), ids);
    assert!(put(&manager, POSTS, "put by the fuzzer", &[0x5a; 1500]));
    drop(manager);

    let manager = reopen(&disk, &recovery);
    let mut now = all(&manager);
    let is_new = |kept: &Kept| kept.record.as_ref().is_some_and(|record| record.starts_with(b"put by the fuzzer\x5a"));
    now.retain(|kept| !(is_new(kept) && kept.seq == expected_seq(&expected, kept)));
    assert_eq!(now, expected);
    // Which of the older ones are left depends on repeats, which an input may have and a log has not.
    assert!(remembered(&manager).last() != ids.last(), "the id of the put is forgotten");
    let drained = drain(&manager, RESULTS) + drain(&manager, POSTS);
    expected.retain(|kept| kept.dead.is_some());
    assert_eq!(drained, now.len() - expected.len() + 1);
    drop(manager);

    assert_eq!(all(&reopen(&disk, &recovery)), expected);
});

/// Larger than every number that was there: nothing is named twice.
fn expected_seq(expected: &[Kept], new: &Kept) -> u64 {
    let taken = |kept: &&Kept| kept.queue == new.queue && kept.seq >= new.seq;
    if expected.iter().any(|kept| taken(&kept)) { u64::MAX } else { new.seq }
}
