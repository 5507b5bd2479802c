//! What the log does with damage, and with space.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use queue::*;

use crate::memory::{Files, MemoryDisk, Op, Survivors, after_power_loss};
use crate::support::*;

fn flip(file: &Path, offset: u64) {
    let file = std::fs::File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

/// Five puts of four items each, and how long the log was after each.
async fn five_puts(dir: &Path) -> Vec<u64> {
    let running = start(settings(dir)).await;
    let client = running.client("one").await;
    let mut ends = vec![std::fs::metadata(&files(dir, "log")[0]).unwrap().len()];
    for put in 0..5 {
        client.put(POSTS, items(put * 4..put * 4 + 4)).await.unwrap();
        ends.push(std::fs::metadata(&files(dir, "log")[0]).unwrap().len());
    }
    running.stop().await;
    ends
}

#[tokio::test]
async fn a_damaged_byte_costs_one_item_at_most_and_is_listed() {
    let dir = dir();
    let ends = five_puts(dir.path()).await;
    // In the third of five commands, and in the last.
    for (offset, first_item) in (ends[2]..ends[3]).map(|at| (at, 8)).chain((ends[4]..ends[5]).map(|at| (at, 16))) {
        let disk = MemoryDisk::new(flipped(dir.path(), offset), Duration::ZERO);
        let running = start_on(disk.clone(), dir.path()).await;
        let left = drain(&running.client("reader").await, POSTS).await;
        let lost: Vec<_> = (0..20).filter(|number| !left.contains(&format!("id-{number}"))).collect();
        let Recovery { damage, mended, torn_bytes, .. } = running.recovery.clone();
        assert_eq!((damage.len() + mended.len(), torn_bytes), (1, 0), "{damage:?}, {mended:?} at {offset}");
        let place = damage.iter().chain(&mended).next().unwrap();
        assert!((place.offset..place.offset + place.bytes).contains(&offset), "{place:?} at {offset}");
        // Ids and payloads are there once, everything else twice.
        assert_eq!((lost.len(), running.manager.stats().damaged), (damage.len(), damage.len() as u64), "{lost:?}");
        assert!(lost.iter().all(|number| (first_item..first_item + 4).contains(number)), "{lost:?}");
        running.stop().await;
        let again = start_on(disk, dir.path()).await;
        assert_eq!(again.recovery.mended, [], "what a copy makes good is made good once");
        assert_eq!(again.recovery.damage, damage);
        again.stop().await;
    }
}

/// The one segment of a directory with one bit flipped.
fn flipped(dir: &Path, offset: u64) -> Files {
    let mut bytes = std::fs::read(&files(dir, "log")[0]).unwrap();
    bytes[offset as usize] ^= 0x10;
    Files::from([("0000000001.log".to_owned(), bytes)])
}

/// A log with every kind of command in it.
async fn all_kinds(dir: &Path) {
    let running = start(settings(dir)).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..12)).await.unwrap();
    let taken = lease(&client, POSTS, 4).await;
    let outputs = Outputs { queue: RESULTS, items: vec![item("sums-a", "12"), item("sums-b", "13")] };
    client.settle(POSTS, leases(&taken), Some(outputs)).await.unwrap();
    let results = lease(&client, RESULTS, 1).await;
    client.settle(RESULTS, leases(&results), None).await.unwrap();
    let taken = lease(&client, POSTS, 3).await;
    for delivery in &taken {
        client.bury(POSTS, delivery.lease, "no good".to_owned()).await.unwrap();
    }
    client.retry_dead(POSTS, taken[0].lease.seq).await.unwrap();
    client.drop_dead(POSTS, taken[1].lease.seq).await.unwrap();
    killed(&running, POSTS, 2).await;
    until("the lost leases are free", || running.counts("posts").leased == 0).await;
    client.put(POSTS, items(20..22)).await.unwrap();
    running.stop().await;
}

/// What there is, without what may be told of it by time.
async fn whole(running: Running) -> (Vec<(String, u32)>, Vec<String>, Vec<(String, u32)>, Recovery) {
    let client = running.client("reader").await;
    let dead = client.dead_letters(None, 100).await.unwrap();
    let dead = dead.into_iter().map(|letter| (letter.id, letter.attempts)).collect();
    let mut posts = Vec::new();
    while let Leased::Items { deliveries, .. } = client.lease(POSTS, want(100)).await.unwrap() {
        posts.extend(deliveries.iter().map(|delivery| (delivery.id.clone(), delivery.attempt)));
        client.settle(POSTS, leases(&deliveries), None).await.unwrap();
    }
    posts.sort();
    let results = drain(&client, RESULTS).await;
    let recovery = running.recovery.clone();
    running.stop().await;
    (posts, results, dead, recovery)
}

#[tokio::test]
async fn a_flipped_bit_undoes_no_command_of_any_kind() {
    let dir = dir();
    all_kinds(dir.path()).await;
    let log = &files(dir.path(), "log")[0];
    let copied = copy(dir.path());
    let (posts, results, dead, _) = whole(start(settings(copied.path())).await).await;
    assert_eq!((posts.len(), &results[..], dead.len()), (8, &["sums-b".to_owned()][..], 1));
    for offset in 48..std::fs::metadata(log).unwrap().len() {
        let disk = MemoryDisk::new(flipped(dir.path(), offset), Duration::ZERO);
        let (posts_now, results_now, dead_now, recovery) = whole(start_on(disk, dir.path()).await).await;
        let Recovery { damage, mended, torn_bytes, .. } = &recovery;
        assert_eq!((damage.len() + mended.len(), *torn_bytes), (1, 0), "{damage:?} {mended:?} at {offset}");
        // Nothing comes back, and what is lost is the item that is damaged, if it was still there.
        let lost = posts.len() + results.len() + dead.len() - posts_now.len() - results_now.len() - dead_now.len();
        assert!(lost <= damage.len(), "lost {lost} at {offset}: {damage:?}");
        assert!(posts_now.iter().all(|post| posts.contains(post)), "{posts_now:?} at {offset}");
        assert!(results_now.iter().all(|result| results.contains(result)), "{results_now:?} at {offset}");
        assert!(dead_now.iter().all(|letter| dead.contains(letter)), "{dead_now:?} at {offset}");
    }
}

#[tokio::test]
async fn a_damaged_segment_head_costs_nothing_unless_both_copies_are() {
    let dir = dir();
    five_puts(dir.path()).await;
    for offset in 0..48 {
        let copy = copy(dir.path());
        flip(&files(copy.path(), "log")[0], offset);
        let (manager, recovery) = open(settings(copy.path()));
        let (damage, mended) = (recovery.damage.len(), recovery.mended.len());
        assert_eq!((manager.stats().queues["posts"].ready, damage, mended), (20, 0, 1), "offset {offset}");
        drop(manager);
        assert_eq!(open(settings(copy.path())).1.mended, []);
    }
    let copy = copy(dir.path());
    flip(&files(copy.path(), "log")[0], 3);
    flip(&files(copy.path(), "log")[0], 40);
    let (manager, recovery) = open(settings(copy.path()));
    assert_eq!((manager.stats().queues["posts"].ready, recovery.damage.len()), (0, 1));
    // It is kept for whoever wants to look into it, and does not go when its items would have gone.
    assert_eq!(files(copy.path(), "damaged").len(), 1);
    drop(manager);
    let (manager, again) = open(settings(copy.path()));
    assert!(again.damage[0].what.contains("0000000001.log.damaged"), "{:?}", again.damage);
    drop(manager);
    assert_eq!(files(copy.path(), "damaged").len(), 1);
}

#[tokio::test]
async fn a_segment_set_aside_is_told_of_at_every_start_and_its_number_is_not_used_again() {
    let dir = dir();
    let small = || ManagerSettings { segment_bytes: 4 << 10, ..settings(dir.path()) };
    let disk = MemoryDisk::new(Files::new(), Duration::ZERO);
    let start =
        async |disk: MemoryDisk| serve_in(dir.path(), Manager::open_on(small(), Arc::new(disk)).unwrap(), None).await;
    let running = start(disk.clone()).await;
    let client = running.client("one").await;
    for number in 0..12 {
        client.put(POSTS, vec![item(number, vec![7; 1000])]).await.unwrap();
    }
    running.stop().await;
    let mut files = after_power_loss(&Files::new(), &disk.journal(), Survivors::Everything);
    let last = files.keys().rfind(|name| name.ends_with(".log")).unwrap().clone();
    files.get_mut(&last).unwrap()[..48].fill(0);
    let disk = MemoryDisk::new(files.clone(), Duration::ZERO);
    start(disk.clone()).await.stop().await;
    let journal = disk.journal();
    // Wherever the start that sets it aside is interrupted, the next one knows, and nothing else is lost.
    for step in 0..=journal.len() {
        let left = after_power_loss(&files, &journal[..step], Survivors::Everything);
        let disk = MemoryDisk::new(left, Duration::ZERO);
        let running = start(disk.clone()).await;
        let damage = &running.recovery.damage;
        assert_eq!((damage.len(), running.recovery.torn_bytes), (1, 0), "step {step}: {damage:?}");
        assert!(damage[0].what.contains(&format!("{last}.damaged")), "step {step}: {damage:?}");
        let names = disk.names().unwrap();
        assert!(names.contains(&format!("{last}.damaged")) && !names.contains(&last), "step {step}: {names:?}");
        assert!(running.counts("posts").ready >= 9, "step {step}: {:?}", running.counts("posts"));
        running.stop().await;
    }
}

/// Traffic until the first segment has been cleared and removed.
async fn outlive_the_first_segment(client: &Client, dir: &Path) {
    for round in 0.. {
        if !dir.join("0000000001.log").exists() {
            return;
        }
        assert!(round < 10_000, "the first segment stays");
        client.put(POSTS, (0..4).map(|n| item(format!("{round}-{n}"), vec![7; 4000])).collect()).await.unwrap();
        drain(client, POSTS).await;
    }
}

/// Damages the last place where these bytes are in the newest segment that has them.
fn flip_last(dir: &Path, wanted: &[u8]) {
    let found = files(dir, "log").into_iter().rev().find_map(|log| {
        let bytes = std::fs::read(&log).unwrap();
        let at = bytes.windows(wanted.len()).rposition(|window| window == wanted)?;
        Some((log, at as u64))
    });
    let (log, at) = found.unwrap();
    flip(&log, at);
}

/// A log in memory: what was on the disk right before and right after its first segment was removed.
async fn until_the_first_removal(dir: &Path, begin: impl AsyncFnOnce(&Client)) -> [Files; 2] {
    let small = ManagerSettings { segment_bytes: 4 << 10, ..settings(dir) };
    let disk = MemoryDisk::new(Files::new(), Duration::ZERO);
    let running = serve_in(dir, Manager::open_on(small, Arc::new(disk.clone())).unwrap(), None).await;
    let client = running.client("one").await;
    begin(&client).await;
    let is_removal = |op: &Op| matches!(op, Op::Remove(name) if name == "0000000001.log");
    let mut removal = None;
    for number in 0..10_000 {
        client.put(POSTS, vec![item(number, vec![7; 1000])]).await.unwrap();
        drain(&client, POSTS).await;
        removal = disk.journal().iter().position(is_removal);
        if removal.is_some() {
            break;
        }
    }
    running.stop().await;
    let (journal, removal) = (disk.journal(), removal.unwrap());
    [removal, removal + 1].map(|count| after_power_loss(&Files::new(), &journal[..count], Survivors::Everything))
}

#[tokio::test]
async fn a_damaged_copy_at_the_end_of_the_log_costs_none_of_those_copied_with_it() {
    let dir = dir();
    let [_, mut files] = until_the_first_removal(dir.path(), async |client: &Client| {
        client.put(POSTS, items(0..5)).await.unwrap();
        for delivery in lease(client, POSTS, 5).await {
            client.bury(POSTS, delivery.lease, "no".to_owned()).await.unwrap();
        }
    })
    .await;
    let copied = b"payload of 2";
    let find = |bytes: &Vec<u8>| bytes.windows(copied.len()).rposition(|window| window == copied);
    let (bytes, at) = files.values_mut().rev().find_map(|bytes| find(bytes).map(|at| (bytes, at))).unwrap();
    bytes[at] ^= 0x10;
    let running = start_on(MemoryDisk::new(files, Duration::ZERO), dir.path()).await;
    assert_eq!((running.recovery.damage.len(), running.recovery.torn_bytes), (1, 0), "{:?}", running.recovery);
    let left = running.client("one").await.dead_letters(None, 10).await.unwrap();
    assert_eq!(left.iter().map(|letter| letter.id.as_str()).collect::<Vec<_>>(), ["id-0", "id-1", "id-3", "id-4"]);
}

#[tokio::test]
async fn a_damaged_settlement_at_the_end_of_the_log_is_not_undone_when_its_posts_are_gone() {
    for is_killed in [false, true] {
        let dir = dir();
        let small = || ManagerSettings { segment_bytes: 8 << 10, ..settings(dir.path()) };
        let running = start(small()).await;
        let client = running.client("one").await;
        client.put(POSTS, items(0..10)).await.unwrap();
        let first = files(dir.path(), "log").pop().unwrap();
        client.put(POSTS, vec![item("filler", vec![7; 8000])]).await.unwrap();
        let (posts, filler) = (lease(&client, POSTS, 10).await, lease(&client, POSTS, 1).await);
        client.settle(POSTS, leases(&filler), None).await.unwrap();
        let outputs = (0..10).map(|number| item(format!("r{number}"), format!("result number {number}"))).collect();
        client.settle(POSTS, leases(&posts), Some(Outputs { queue: RESULTS, items: outputs })).await.unwrap();
        until("the posts' segment goes", || !first.exists()).await;
        // What a kill leaves is what is there now; a stop may write more.
        let left = copy(dir.path());
        running.stop().await;
        let left = if is_killed { left } else { copy(dir.path()) };
        flip_last(left.path(), b"result number 3");
        let running = start(ManagerSettings { dir: left.path().to_owned(), ..small() }).await;
        let client = running.client("one").await;
        assert_eq!(drain(&client, POSTS).await, Vec::<String>::new());
        assert_eq!(drain(&client, RESULTS).await.len(), 9);
        assert_eq!((running.recovery.damage.len(), running.recovery.torn_bytes), (1, 0), "{:?}", running.recovery);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_payload_that_was_damaged_before_it_was_copied_is_never_delivered() {
    let dir = dir();
    let small = || ManagerSettings { segment_bytes: 64 << 10, cache_bytes: 0, ..settings(dir.path()) };
    let running = start(small()).await;
    let (slow, client) = (running.client("slow").await, running.client("one").await);
    client.put(POSTS, vec![item("stuck", "the true payload")]).await.unwrap();
    let held = lease(&slow, POSTS, 1).await;
    flip_last(dir.path(), b"the true payload");
    outlive_the_first_segment(&client, dir.path()).await;
    slow.release(POSTS, leases(&held)).await.unwrap();
    assert_eq!(drain(&client, POSTS).await, Vec::<String>::new());
    until("it is a dead letter", || running.manager.stats().dead_letters == 1).await;
    let letters = client.dead_letters(None, 10).await.unwrap();
    assert!(letters[0].reason.contains("damaged"), "{letters:?}");
}

#[tokio::test]
async fn a_copy_says_what_a_lost_segment_said_of_its_record() {
    let dir = dir();
    let [mut files, _] = until_the_first_removal(dir.path(), async |client: &Client| {
        client.put(POSTS, vec![item("a", "x"), item("fill", vec![1; 4000])]).await.unwrap();
        let taken = lease(client, POSTS, 2).await;
        client.bury(POSTS, taken[0].lease, "r".repeat(400)).await.unwrap();
        client.put(POSTS, vec![item("g", vec![1; 4000])]).await.unwrap();
        client.settle(POSTS, leases(&taken[1..]), None).await.unwrap();
    })
    .await;
    // The segment in which it became a dead letter.
    files.get_mut("0000000002.log").unwrap()[..48].fill(0);
    let running = start_on(MemoryDisk::new(files, Duration::ZERO), dir.path()).await;
    let letters = running.client("one").await.dead_letters(None, 10).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.id.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[tokio::test]
async fn a_log_of_format_1_is_read_and_goes_on_in_a_segment_of_its_own() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1");
    let dir = copy(&fixture);
    let small = || ManagerSettings { segment_bytes: 4 << 10, duplicate_window: 60, ..settings(dir.path()) };
    let running = start(small()).await;
    assert_eq!((running.recovery.damage.len(), running.recovery.torn_bytes), (0, 0), "{:?}", running.recovery);
    // What an older program can't read is in a file that it refuses.
    let logs = files(dir.path(), "log");
    let version = |log: &PathBuf| std::fs::read(log).unwrap()[8];
    assert_eq!(logs.iter().map(version).collect::<Vec<_>>(), [1, 1, 1, 2]);
    let client = running.client("one").await;
    // In the window of 60: all but those of before the first two rounds.
    let again =
        client.put(POSTS, vec![item("post-2-0", ""), item("post-11-4", ""), item("kept", "new")]).await.unwrap();
    assert_eq!(again, [PutOutcome::Duplicate, PutOutcome::Duplicate, PutOutcome::Accepted]);
    let letters = client.dead_letters(None, 10).await.unwrap();
    let letter =
        |letter: &DeadLetter| (letter.id.clone(), letter.reason.clone(), letter.attempts, letter.payload.clone());
    assert_eq!(
        letters.iter().map(letter).collect::<Vec<_>>(),
        [("buried".to_owned(), "no good".to_owned(), 1, "given up".into())]
    );
    let suspect = lease(&client, POSTS, 9).await;
    assert_eq!((ids(&suspect), suspect[0].attempt), (vec!["post-9-3"], 2));
    client.settle(POSTS, leases(&suspect), None).await.unwrap();
    let rest = lease(&client, POSTS, 2).await;
    let payloads: Vec<_> = rest.iter().map(|delivery| (delivery.id.as_str(), &delivery.payload[..])).collect();
    assert_eq!(payloads, [("kept", &b"stuck from the beginning"[..]), ("raised", &b"given another chance"[..])]);
    assert_eq!(drain(&client, POSTS).await.len(), 12);
    assert_eq!(drain(&client, RESULTS).await, ["batch-0", "batch-3", "batch-6", "batch-9"]);
}

#[tokio::test]
async fn looking_at_a_log_changes_nothing_and_tells_what_opening_would() {
    let dir = dir();
    let ends = five_puts(dir.path()).await;
    let log = &files(dir.path(), "log")[0];
    let bytes = std::fs::read(log).unwrap();
    flip(log, bytes.windows(12).position(|window| window == b"payload of 5").unwrap() as u64);
    std::fs::File::options().write(true).open(log).unwrap().set_len(ends[5] - 7).unwrap();
    let before = std::fs::read(log).unwrap();
    let seen = inspect(&settings(dir.path())).unwrap();
    assert_eq!(std::fs::read(log).unwrap(), before);
    assert_eq!(files(dir.path(), "log").len(), 1);
    let (manager, found) = open(settings(dir.path()));
    let without_time = |recovery: &Recovery| Recovery { took: Duration::ZERO, ..recovery.clone() };
    assert_eq!(without_time(&seen), without_time(&found));
    assert_eq!((seen.damage.len(), seen.torn_bytes), (1, ends[5] - 7 - ends[4]));
    // A manager that has the directory is no obstacle.
    assert_eq!(inspect(&settings(dir.path())).unwrap().damage, seen.damage);
    drop(manager);
}

#[tokio::test]
async fn a_missing_segment_is_named() {
    let dir = dir();
    let small = || ManagerSettings { segment_bytes: 8 << 10, ..settings(dir.path()) };
    let running = start(small()).await;
    let client = running.client("one").await;
    for number in 0..30 {
        client.put(POSTS, vec![item(number, vec![0; 1000])]).await.unwrap();
    }
    running.stop().await;
    let logs = files(dir.path(), "log");
    assert!(logs.len() > 3, "{logs:?}");
    std::fs::remove_file(&logs[1]).unwrap();
    let (manager, recovery) = open(small());
    assert_eq!((recovery.damage.len(), recovery.damage[0].segment), (1, 2), "{:?}", recovery.damage);
    assert!((20..30).contains(&manager.stats().queues["posts"].ready));
}

#[tokio::test]
async fn payload_made_to_look_like_a_frame_is_never_taken_for_one() {
    let dir = dir();
    five_puts(dir.path()).await;
    let log = std::fs::read(&files(dir.path(), "log")[0]).unwrap();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, vec![item("copy of the log", log), item("last", "x")]).await.unwrap();
    client.put(POSTS, vec![item("after", "x")]).await.unwrap();
    let whole = std::fs::read(&files(dir.path(), "log")[0]).unwrap();
    running.stop().await;
    // Damage both headers of the frame that holds it: the search for the next one runs through the copy, whose frames are
    // true but for their numbers. Headers have 32 bytes, the fields of two records 41, those of one 31.
    let at = |id: &[u8]| whole.windows(id.len()).position(|window| window == id).unwrap() as u64;
    flip(&files(dir.path(), "log")[0], at(b"copy of the log") - 41 - 32 + 20);
    flip(&files(dir.path(), "log")[0], at(b"after") - 31 - 32 - 41 - 32 + 20);
    let (manager, recovery) = open(settings(dir.path()));
    assert!(!recovery.damage.is_empty());
    assert_eq!(manager.stats().queues["posts"].ready, 21);
}

#[tokio::test]
async fn the_log_shrinks_when_its_items_are_done() {
    let dir = dir();
    let small = ManagerSettings { segment_bytes: 64 << 10, ..settings(dir.path()) };
    let running = start(small).await;
    let client = running.client("one").await;
    for put in 0..20 {
        client.put(POSTS, (0..20).map(|number| item(put * 20 + number, vec![7; 4000])).collect()).await.unwrap();
    }
    assert!(files(dir.path(), "log").len() > 15);
    assert_eq!(drain(&client, POSTS).await.len(), 400);
    until("all but the growing segment are removed", || files(dir.path(), "log").len() <= 1).await;
}

#[tokio::test]
async fn one_stuck_item_and_one_dead_letter_do_not_pin_the_disk() {
    let dir = dir();
    let small = || ManagerSettings { segment_bytes: 64 << 10, ..settings(dir.path()) };
    let running = start(small()).await;
    let (slow, client) = (running.client("slow").await, running.client("fast").await);
    client.put(POSTS, vec![item("stuck", "held"), item("dead", "kept")]).await.unwrap();
    let stuck = lease(&slow, POSTS, 1).await;
    let dead = lease(&client, POSTS, 1).await;
    client.bury(POSTS, dead[0].lease, "no".to_owned()).await.unwrap();
    for put in 0..100 {
        client.put(POSTS, (0..20).map(|number| item(put * 20 + number, vec![7; 4000])).collect()).await.unwrap();
        assert_eq!(drain(&client, POSTS).await.len(), 20);
    }
    // A file may be removed between the listing and the look at it.
    let size = |file: &PathBuf| std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    let bytes = || files(dir.path(), "log").iter().map(size).sum::<u64>();
    until("what is stuck is copied forward", || bytes() < 6 * (64 << 10)).await;
    running.stop().await;
    drop((slow, client));
    let running = start(small()).await;
    assert_eq!(running.recovery.damage, []);
    let client = running.client("one").await;
    let letters = client.dead_letters(None, 10).await.unwrap();
    assert_eq!(
        (letters[0].id.as_str(), letters[0].reason.as_str(), &letters[0].payload[..]),
        ("dead", "no", &b"kept"[..])
    );
    let again = lease(&client, POSTS, 1).await;
    assert_eq!((&again[0].payload, again[0].lease.seq), (&stuck[0].payload, stuck[0].lease.seq));
}

#[tokio::test]
async fn a_payload_that_changed_on_disk_becomes_a_dead_letter_not_a_delivery() {
    let dir = dir();
    let no_cache = ManagerSettings { cache_bytes: 0, ..settings(dir.path()) };
    let running = start(no_cache).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..3)).await.unwrap();
    let log = &files(dir.path(), "log")[0];
    let bytes = std::fs::read(log).unwrap();
    let at = bytes.windows(12).position(|window| window == b"payload of 1").unwrap();
    flip(log, at as u64 + 3);
    assert_eq!(drain(&client, POSTS).await, ["id-0", "id-2"]);
    let letters = client.dead_letters(None, 10).await.unwrap();
    assert!(letters[0].reason.contains("damaged"), "{letters:?}");
    assert_eq!(running.manager.stats().damaged, 1);
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_puts_and_lets_work_finish() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..2)).await.unwrap();
    running.stop().await;
    let running = start(ManagerSettings { disk_free_min: u64::MAX, ..settings(dir.path()) }).await;
    let client = running.client("one").await;
    assert!(matches!(client.put(POSTS, items(5..6)).await, Err(QueueError::Full(_))));
    assert!(client.stats().await.unwrap().disk_full.is_some_and(|reason| reason.contains("free")));
    let taken = lease(&client, POSTS, 2).await;
    let outputs = Outputs { queue: RESULTS, items: items(10..11) };
    client.settle(POSTS, leases(&taken), Some(outputs)).await.unwrap();
    assert_eq!(drain(&client, RESULTS).await, ["id-10"]);
}
