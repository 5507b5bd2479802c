//! A store can be looked at, whoever uses it, and nothing changes for that.

use std::collections::BTreeMap;
use std::path::Path;

use store::{Health, StoreError, Target};
use tempfile::TempDir;

use crate::support::*;

/// Every file of a directory, byte by byte.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| (entry.file_name().display().to_string(), std::fs::read(entry.path()).expect("a file")))
        .collect()
}

fn unchanged(dir: &Path, target: &Target) -> Result<Health, StoreError> {
    let before = files(dir);
    let health = target.check();
    assert!(before == files(dir), "a look changed {:?} to {:?}", before.keys(), files(dir).keys());
    health
}

const SOUND: Health = Health::Sound { publications: 1, articles: 1 };

#[test]
fn a_look_changes_nothing_whether_a_store_is_absent_closed_open_or_left_by_a_crash() {
    let dir = TempDir::new().expect("temp dir");
    // A name that means something in a URI.
    let target = Target::Sqlite(dir.path().join("a%41 b?c#d.db"));
    assert_eq!(unchanged(dir.path(), &target).expect("a look"), Health::Absent);
    let mut store = target.open().expect("opens");
    store.apply(&[batch("1", "p", &[("PER", "x", 7)])]).expect("applies");
    // As a killed saver leaves it: everything is in the write-ahead log.
    let crashed = TempDir::new().expect("temp dir");
    for (name, bytes) in files(dir.path()) {
        std::fs::write(crashed.path().join(name), bytes).expect("a copy");
    }
    assert_eq!(target.check().expect("a look at an open store"), SOUND);
    store.apply(&[batch("2", "p", &[])]).expect("a look is in nobody's way");
    drop(store);
    let more = Health::Sound { publications: 1, articles: 2 };
    assert_eq!(unchanged(dir.path(), &target).expect("a look"), more);

    let target = Target::Sqlite(crashed.path().join("a%41 b?c#d.db"));
    assert_eq!(unchanged(crashed.path(), &target).expect("a look"), SOUND);
    // The log's index is rubble, as after a power loss.
    std::fs::remove_file(crashed.path().join("a%41 b?c#d.db-shm")).expect("remove");
    assert_eq!(unchanged(crashed.path(), &target).expect("a look"), SOUND);
}

#[test]
fn damage_and_strangers_are_told_apart() {
    let dir = TempDir::new().expect("temp dir");
    let path = dir.path().join("x.db");
    let target = Target::Sqlite(path.clone());
    let mut store = target.open().expect("opens");
    let batches: Vec<_> =
        (0..2_000).map(|number| batch(&format!("a batch with a long id {number}"), "p", &[])).collect();
    store.apply(&batches).expect("applies");
    drop(store);
    assert!(matches!(target.check(), Ok(Health::Sound { articles: 2_000, .. })));
    let mut bytes = std::fs::read(&path).expect("a file");
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    std::fs::write(&path, &bytes).expect("write");
    let error = unchanged(dir.path(), &target).expect_err("damage").to_string();
    assert!(error.contains("is damaged") && error.contains("backup"), "{error}");

    std::fs::write(&path, "this is a letter to my mother".repeat(100)).expect("write");
    let error = unchanged(dir.path(), &target).expect_err("no database").to_string();
    assert!(error.contains("not a SQLite database"), "{error}");
}

#[test]
fn a_place_that_nobody_can_write_to_is_found_before_it_is_needed() {
    let dir = TempDir::new().expect("temp dir");
    let at = |path: &str| Target::Sqlite(dir.path().join(path)).check_place().map_err(|error| error.to_string());
    assert_eq!(at("x.db"), Ok(()));
    assert!(at("nowhere/x.db").expect_err("no directory").contains("make it"));
    std::fs::create_dir(dir.path().join("d.db")).expect("a directory");
    assert!(at("d.db").is_err());
    assert!(Target::Sqlite("/proc/nowhere/x.db".into()).check_place().is_err());
}
