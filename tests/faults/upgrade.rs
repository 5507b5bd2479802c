//! Data that other versions of Copydesk have left. `tests/data/make` makes a directory for every format there was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::checker::{Counters, articles, assert_same, expected, stored};
use crate::harness::{Pipeline, copydesk, copydesk_ok, repository};

/// Posts of a saved directory that its own version had already counted, or summed up in batches.
const EXTRACTED: usize = 35;

/// The saved directories.
fn formats() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository("tests/data")).expect("tests/data").flatten();
    let formats: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.join("queue").is_dir()).collect();
    assert!(!formats.is_empty());
    formats
}

/// A copy to work on.
fn copy(from: &Path) -> TempDir {
    let dir = TempDir::new().expect("temp dir");
    std::fs::create_dir(dir.path().join("queue")).expect("mkdir");
    for below in ["", "queue"] {
        for entry in std::fs::read_dir(from.join(below)).expect("a saved directory").flatten() {
            if entry.path().is_file() {
                std::fs::copy(entry.path(), dir.path().join(below).join(entry.file_name())).expect("copy");
            }
        }
    }
    dir
}

/// What should be counted in the end: what that version found, and what this one finds in the posts that were left.
fn counters(dir: &Path) -> Counters {
    let mut counters: Counters = BTreeMap::new();
    let found = std::fs::read_to_string(dir.join("counted.tsv")).expect("counted.tsv");
    for line in found.lines() {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut field = || fields.next().expect("four fields");
        counters.insert((field(), field(), field()), field().parse().expect("a count"));
    }
    let posts = std::fs::read_to_string(dir.join("posts.ndjson")).expect("posts.ndjson");
    let left: String = posts.lines().skip(EXTRACTED).map(|line| format!("{line}\n")).collect();
    std::fs::write(dir.join("left.ndjson"), left).expect("write");
    for (key, count) in expected(&dir.join("left.ndjson").display().to_string()) {
        *counters.entry(key).or_default() += count;
    }
    counters
}

#[test]
fn what_an_older_version_left_is_finished_and_every_counter_is_exact() {
    for format in formats() {
        let dir = copy(&format);
        let pipeline = Pipeline::start(dir.path(), &["--mentions"]);
        pipeline.wait_counted();
        let counters = counters(dir.path());
        assert_same(&stored(dir.path()), &counters);
        assert_eq!(articles(&counters), 51);
        let queue = pipeline.queue().expect("an answer");
        assert_eq!((&queue["dead_letters"], &queue["damaged"]), (&0.into(), &0.into()), "{}", format.display());

        let posts = dir.path().join("posts.ndjson").display().to_string();
        let summary = copydesk_ok(&["load", &posts, "--to", &pipeline.url, "--wait", "--json"]);
        let summary: serde_json::Value = serde_json::from_str(summary.trim()).expect("JSON");
        assert_eq!((&summary["duplicates"], &summary["accepted"]), (&51.into(), &0.into()), "{summary}");
        pipeline.stop();
        assert_same(&stored(dir.path()), &counters);
    }
}

/// CRC-32 as in zip files, which guards what a segment begins with.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn data_of_a_newer_version_is_refused_and_left_as_it_is() {
    const HALF: usize = 24;
    let dir = copy(&formats()[0]);
    let segment = dir.path().join("queue/0000000001.log");
    let mut bytes = std::fs::read(&segment).expect("the segment");
    // Twice the same: magic (8 bytes), version, number, seed, and the checksum of these.
    for half in bytes[..2 * HALF].chunks_mut(HALF) {
        assert_eq!(crc32(&half[..20]).to_le_bytes(), half[20..], "the preamble is not what this test takes it for");
        half[8..12].copy_from_slice(&77_u32.to_le_bytes());
        let sum = crc32(&half[..20]);
        half[20..].copy_from_slice(&sum.to_le_bytes());
    }
    std::fs::write(&segment, &bytes).expect("write");
    let refused = copydesk(&["backend", &format!("--data-dir={}", dir.path().display()), "--queue-listen=none"]);
    let message = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(78), "{message}");
    let last = message.lines().last().expect("a message");
    for part in ["0000000001.log", "format 77", "reads up to", "use the newer Copydesk"] {
        assert!(last.contains(part), "it should mention {part:?}: {last}");
    }
    assert_eq!(std::fs::read(&segment).expect("the segment"), bytes);
}
