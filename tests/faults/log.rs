//! The queue manager dies, in the worst moments, and its log is torn or damaged.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Client, Load};
use crate::harness::{Pipeline, sample_posts, wait_for};
use crate::shim::{Fault, Shim};

/// Nothing is settled before the pipeline is stopped: what is posted stays in the log.
const HELD: &str = "--flush-interval=1h";

/// A client whose posts fill a segment of the log in a moment.
fn load_large(pipeline: &Pipeline, count: usize) -> Client {
    let load = Load { threads: 2, batch: 2, pause_max: Duration::from_millis(300), padding: 3 << 20 };
    Client::start(&pipeline.url, sample_posts(count), load)
}

/// A client for small posts that does not wait long for a backend to be back.
fn load(pipeline: &Pipeline, count: usize) -> Client {
    Client::start(&pipeline.url, sample_posts(count), Load { pause_max: Duration::from_millis(300), ..Load::default() })
}

/// The posts that are in the queue, with a worker or not.
fn depth(pipeline: &Pipeline) -> Option<u64> {
    let posts = &pipeline.queue()?["queues"]["posts"];
    Some(posts["ready"].as_u64()? + posts["leased"].as_u64()?)
}

fn kill_backend(pipeline: &mut Pipeline) {
    pipeline.backend.signal(Signal::SIGKILL);
    pipeline.backend.wait("the backend's end");
}

/// Kills the backend again and again under load; a post is sent until it is acknowledged.
fn kill_under_load(dir: &TempDir, flush_interval: &str) -> (Pipeline, Client) {
    let mut pipeline = Pipeline::start(dir.path(), &["--mentions", flush_interval, "--max-deliveries=100"]);
    let client = load(&pipeline, 6_000);
    for _ in 0..4 {
        client.wait_acknowledged(1_000);
        kill_backend(&mut pipeline);
        pipeline.restart_backend();
    }
    (pipeline, client)
}

#[test]
fn a_queue_manager_killed_under_load_loses_no_answered_post_and_counts_none_twice() {
    let dir = TempDir::new().expect("temp dir");
    let (pipeline, client) = kill_under_load(&dir, "--flush-interval=20ms");
    let ledger = client.finish();
    pipeline.wait_counted();
    assert_eq!(pipeline.queue().expect("an answer")["dead_letters"], 0);
    pipeline.stop();
    let verdict = ledger.verdict(dir.path(), &[]);
    verdict.assert_clean();
    assert_eq!(verdict.saved, 6_000);
}

#[test]
fn after_kills_the_queue_is_exactly_as_deep_as_what_was_answered() {
    let dir = TempDir::new().expect("temp dir");
    let (mut pipeline, client) = kill_under_load(&dir, HELD);
    let ledger = client.finish();
    assert_eq!(depth(&pipeline), Some(6_000));
    kill_backend(&mut pipeline);
    pipeline.restart_backend();
    assert_eq!(depth(&pipeline), Some(6_000));
    pipeline.stop();
    ledger.verdict(dir.path(), &[]).assert_clean();
}

/// The only segment of a small log.
fn segment(dir: &Path) -> PathBuf {
    dir.join("queue/0000000001.log")
}

#[test]
fn a_torn_last_record_is_cut_off_with_one_warning_and_nothing_else_is_missing() {
    let cuts: [fn(u64) -> u64; 3] = [|_| 1, |bytes| bytes / 2, |bytes| bytes - 1];
    for cut in cuts {
        let dir = TempDir::new().expect("temp dir");
        let mut pipeline = Pipeline::start(dir.path(), &["--mentions", HELD]);
        let ledger = load(&pipeline, 200).finish();
        let len = || std::fs::metadata(segment(dir.path())).expect("the segment").len();
        let sound = len();
        // Nobody counts on this one: it stands for a write that was never answered.
        let torn = json!({"id": "torn", "publication": "p", "content": "Kofi Annan was born in Kumasi."});
        assert_eq!(pipeline.post("application/json", torn.to_string().as_bytes()).expect("an answer").0, 202);
        kill_backend(&mut pipeline);
        let torn_bytes = cut(len() - sound);
        let file = std::fs::File::options().write(true).open(segment(dir.path())).expect("the segment");
        file.set_len(sound + torn_bytes).expect("cut");

        pipeline.restart_backend();
        let log = pipeline.log();
        let warnings: Vec<_> = log.lines().filter(|line| line.contains("cut away") && line.contains("WARN")).collect();
        assert_eq!(warnings.len(), 1, "{log}");
        assert!(warnings[0].contains(&format!("\"bytes\":{torn_bytes}}}")), "{torn_bytes}: {}", warnings[0]);
        assert_eq!(depth(&pipeline), Some(200));
        // Its client sends it again, and others follow.
        let again: Vec<_> = std::iter::once(torn).chain(sample_posts(220).skip(200)).collect();
        ledger.attempt(&again);
        for post in &again {
            let (_, answer) = pipeline.post("application/json", post.to_string().as_bytes()).expect("an answer");
            assert_eq!(answer["accepted"], 1, "{answer}");
        }
        ledger.acknowledge(&again);
        kill_backend(&mut pipeline);
        pipeline.restart_backend();
        assert_eq!(depth(&pipeline), Some(221), "what comes after the cut is whole");
        assert_eq!(pipeline.queue().expect("an answer")["damaged"], 0);
        pipeline.stop();
        ledger.verdict(dir.path(), &[]).assert_clean();
    }
}

#[test]
fn a_flipped_bit_costs_one_post_which_is_counted_as_damaged_and_can_be_sent_again() {
    let dir = TempDir::new().expect("temp dir");
    let mut pipeline = Pipeline::start(dir.path(), &["--mentions", HELD]);
    let ledger = load(&pipeline, 200).finish();
    kill_backend(&mut pipeline);
    let mut bytes = std::fs::read(segment(dir.path())).expect("the segment");
    let victim = sample_posts(200).nth(77).expect("a post");
    let payload = victim.to_string();
    let at = bytes.windows(payload.len()).position(|window| window == payload.as_bytes()).expect("as it was sent");
    bytes[at + payload.len() / 2] ^= 0x10;
    std::fs::write(segment(dir.path()), bytes).expect("write");

    pipeline.restart_backend();
    let log = pipeline.log();
    assert_eq!(pipeline.queue().expect("an answer")["damaged"], 1);
    assert!(log.contains("0000000001.log") && log.contains("damaged"), "{log}");
    assert_eq!(depth(&pipeline), Some(199));
    kill_backend(&mut pipeline);
    pipeline.restart_backend();
    assert_eq!(depth(&pipeline), Some(199), "damage is as large as it was");
    let (status, answer) = pipeline.post("application/json", payload.as_bytes()).expect("an answer");
    assert_eq!((status, &answer["accepted"]), (202, &Value::from(1)));
    pipeline.stop();
    let verdict = ledger.verdict(dir.path(), &[]);
    verdict.assert_clean();
    assert_eq!(verdict.saved, 200);
}

/// The backend dies at the moment when the first segment is done and removed, and is started again.
fn killed_at_the_removal_of_a_segment(fault: Fault) {
    let dir = TempDir::new().expect("temp dir");
    let Some(shim) = Shim::new(dir.path()) else { return };
    let mut pipeline = Pipeline::start_in(&shim.environment(), dir.path(), &["--mentions", "--flush-interval=20ms"]);
    shim.set(&[fault]);
    let client = load_large(&pipeline, 30);
    assert_eq!(pipeline.backend.wait("the kill").code(), None, "it was not killed");
    shim.clear();
    pipeline.restart_backend();
    let ledger = client.finish();
    pipeline.wait_counted();
    wait_for("the removal", || (!segment(dir.path()).exists()).then_some(()));
    let queue = pipeline.queue().expect("an answer");
    assert_eq!((&queue["dead_letters"], &queue["damaged"]), (&Value::from(0), &Value::from(0)));
    let again = sample_posts(30).map(|post| format!("{post}\n")).collect::<String>();
    let (_, answer) = pipeline.post("application/x-ndjson", again.as_bytes()).expect("an answer");
    assert_eq!(answer["duplicates"], 30, "ids outlive their segment: {answer}");
    pipeline.stop();
    let verdict = ledger.verdict(dir.path(), &[]);
    verdict.assert_clean();
    assert_eq!(verdict.saved, 30);
}

#[test]
fn a_crash_before_a_finished_segment_is_removed_brings_nothing_back() {
    killed_at_the_removal_of_a_segment(Fault::kill_before_unlink("backend", "0000000001.log", 1));
}

#[test]
fn a_crash_after_a_finished_segment_is_removed_brings_nothing_back() {
    killed_at_the_removal_of_a_segment(Fault::kill_after_unlink("backend", "0000000001.log", 1));
}

#[test]
fn a_crash_at_any_step_of_beginning_a_segment_loses_nothing_that_was_answered() {
    let dir = TempDir::new().expect("temp dir");
    let Some(shim) = Shim::new(dir.path()) else { return };
    let mut pipeline = Pipeline::start_in(&shim.environment(), dir.path(), &["--mentions", HELD]);
    let client = load_large(&pipeline, 30);
    // The ids of the full segment, then the preamble of the next, then its first command; while posts come in, or at the
    // start of the backend after that.
    let (ids, next) = ("0000000001.ids", "0000000002.log");
    for (file, nth) in [(ids, 1), (next, 1), (next, 2)] {
        for fault in [Fault::kill_before_sync, Fault::kill_after_sync] {
            shim.set(&[fault("backend", file, nth)]);
            assert_eq!(pipeline.backend.wait("the kill").code(), None, "it was not killed: {}", pipeline.log());
            pipeline.spawn_backend();
        }
    }
    pipeline.backend.signal(Signal::SIGKILL);
    pipeline.backend.wait("the backend's end");
    shim.clear();
    pipeline.restart_backend();
    let ledger = client.finish();
    let queue = pipeline.queue().expect("an answer");
    assert_eq!((depth(&pipeline), &queue["damaged"]), (Some(30), &0.into()), "{}", pipeline.log());
    pipeline.stop();
    ledger.verdict(dir.path(), &[]).assert_clean();
}
