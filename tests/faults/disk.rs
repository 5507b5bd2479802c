//! The disk of the queue's log refuses syncs, is full, or cuts writes short.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, Load};
use crate::harness::{Pipeline, sample_posts, wait_for};
use crate::shim::{Fault, Shim};

/// Part of the path of the log's segments, and of no other file that the backend writes.
const SEGMENTS: &str = "/queue/0000";

/// The exit code of a backend whose disk has failed.
const DISK_FAILED: Option<i32> = Some(74);

/// A pipeline whose disk can fail, and a client that sends it posts.
fn start(dir: &TempDir, posts: usize) -> Option<(Shim, Pipeline, Client)> {
    start_with(dir, sample_posts(posts), posts / 10)
}

/// The same with these posts, when so many of them have been taken.
fn start_with(
    dir: &TempDir,
    posts: impl Iterator<Item = Value> + Send + 'static,
    taken: usize,
) -> Option<(Shim, Pipeline, Client)> {
    let shim = Shim::new(dir.path())?;
    let args = ["--mentions", "--flush-interval=20ms", "--max-deliveries=100"];
    let pipeline = Pipeline::start_in(&shim.environment(), dir.path(), &args);
    let load = Load { pause_max: Duration::from_millis(300), ..Load::default() };
    let client = Client::start(&pipeline.url, posts, load);
    client.wait_acknowledged(taken);
    Some((shim, pipeline, client))
}

/// Waits until everything is sent and counted, and judges.
fn judge(client: Client, pipeline: Pipeline) {
    let ledger = client.finish();
    pipeline.wait_counted();
    let dir = pipeline.dir.clone();
    pipeline.stop();
    ledger.verdict(&dir, &[]).assert_clean();
}

/// The disk fails once, the backend says so and ends; on a sound disk another goes on where it stopped.
fn fails_and_goes_on(fault: Fault, reason: &str) {
    let dir = TempDir::new().expect("temp dir");
    let Some((shim, mut pipeline, client)) = start(&dir, 4_000) else { return };
    shim.set(&[fault]);
    assert_eq!(pipeline.backend.wait("the end").code(), DISK_FAILED, "{}", pipeline.log());
    assert!(pipeline.log().contains(reason), "{}", pipeline.log());
    let acknowledged = client.ledger.acknowledged();
    assert!(acknowledged < 4_000, "the load was over before the disk failed");
    shim.clear();
    pipeline.restart_backend();
    let ledger = client.finish();
    pipeline.wait_counted();
    pipeline.stop();
    let verdict = ledger.verdict(dir.path(), &[]);
    verdict.assert_clean();
    assert_eq!(verdict.saved, 4_000);
}

#[test]
fn nothing_is_acknowledged_after_a_failed_sync_and_the_backend_ends_with_its_own_code() {
    fails_and_goes_on(Fault::sync_error("backend", SEGMENTS, 30), "Input/output error");
}

#[test]
fn a_full_disk_under_the_log_ends_the_backend_and_costs_nothing_that_was_acknowledged() {
    fails_and_goes_on(Fault::room("backend", SEGMENTS, 100_001), "No space left");
}

#[test]
fn a_backend_on_a_disk_that_still_fails_ends_again_and_makes_nothing_worse() {
    let dir = TempDir::new().expect("temp dir");
    let Some((shim, mut pipeline, client)) = start(&dir, 2_000) else { return };
    for fault in [Fault::sync_error("backend", SEGMENTS, 10), Fault::room("backend", SEGMENTS, 10)] {
        shim.set(std::slice::from_ref(&fault));
        pipeline.backend.wait("the end");
        for _ in 0..3 {
            pipeline.spawn_backend();
            let status = pipeline.backend.wait("the end of another");
            assert!(matches!(status.code(), Some(74 | 78)), "{status}");
        }
        shim.clear();
        pipeline.restart_backend();
    }
    judge(client, pipeline);
}

#[test]
fn on_a_nearly_full_disk_posts_are_put_off_what_is_queued_is_finished_and_all_goes_on_by_itself() {
    let dir = TempDir::new().expect("temp dir");
    // Posts until it is over, however fast they are taken.
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    let posts = sample_posts(usize::MAX).take_while(move |_| !over.load(Ordering::Relaxed));
    let Some((shim, mut pipeline, client)) = start_with(&dir, posts, 400) else { return };
    shim.set(&[Fault::free_bytes("backend", "/queue", 1 << 20)]);
    // Every answer 429 has a Retry-After: the client sees to that.
    wait_for("refusals", || (client.refused() > 0).then_some(()));
    wait_for("the reason", || {
        let (status, body) = pipeline.get("/readyz")?;
        (status == 503 && body.to_string().contains("free some")).then_some(())
    });
    let post = br#"{"publication":"p","content":"Kofi Annan spoke."}"#;
    let (status, answer) = pipeline.post("application/json", post).expect("an answer");
    assert_eq!((status, answer["code"].as_str()), (429, Some("queue_full")), "{answer}");
    pipeline.wait_counted();
    let acknowledged = client.ledger.acknowledged();
    assert!(client.ledger.verdict(dir.path(), &[]).saved >= acknowledged);

    shim.clear();
    client.wait_acknowledged(acknowledged + 400);
    is_over.store(true, Ordering::Relaxed);
    let ledger = client.finish();
    pipeline.wait_counted();
    assert!(!pipeline.backend.has_ended(), "it should not have needed a restart");
    pipeline.stop();
    let verdict = ledger.verdict(dir.path(), &[]);
    verdict.assert_clean();
    assert_eq!(verdict.saved, verdict.acknowledged);
}

#[test]
fn writes_that_are_cut_short_are_completed() {
    let dir = TempDir::new().expect("temp dir");
    let Some((shim, pipeline, client)) = start(&dir, 1_000) else { return };
    shim.set(&[Fault::short_writes("backend", SEGMENTS, 100)]);
    judge(client, pipeline);
}

#[test]
fn a_crash_right_before_or_after_a_sync_loses_nothing_that_was_acknowledged() {
    let dir = TempDir::new().expect("temp dir");
    let Some((shim, mut pipeline, client)) = start(&dir, 3_000) else { return };
    let kill = |fault: fn(&str, &str, u64) -> Fault, nth| fault("backend", SEGMENTS, nth);
    for fault in [kill(Fault::kill_before_sync, 7), kill(Fault::kill_after_sync, 7), kill(Fault::kill_before_sync, 1)] {
        shim.set(&[fault]);
        let status = pipeline.backend.wait("the kill");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::SIGKILL as i32));
        shim.clear();
        pipeline.restart_backend();
    }
    judge(client, pipeline);
}
