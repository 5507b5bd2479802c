//! A stop drains, and what it cannot drain is resumed; nothing that was accepted is lost or counted twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::checker::{Ledger, assert_same, expected, stored};
use crate::client::{Client, Load};
use crate::harness::{Pipeline, agent, answer, copydesk_ok, is_gone, sample_posts, wait_for, write_posts};
use crate::processes::descendants;

/// Posts in the interrupted loads.
const POSTS: usize = 20_000;

/// Interrupts a load by `signal` to the backend, restarts it, and checks that all that got 202 is counted, each post
/// once; then sends everything again, as a client would that lost its answers, and checks that nothing changes.
fn interrupt(signal: Signal) {
    let dir = TempDir::new().expect("temp dir");
    let mut pipeline = Pipeline::start(dir.path(), &["--mentions", "--drain-timeout=30s"]);
    let load_with = Load { threads: 1, batch: 50, pause_max: Duration::from_secs(1), ..Load::default() };
    let client = Client::start(&pipeline.url, sample_posts(POSTS), load_with);
    client.wait_acknowledged(POSTS / 10);
    let family = descendants(pipeline.backend.pid());
    assert_eq!(family.len(), 4);
    let signalled = Instant::now();
    pipeline.backend.signal(signal);
    let status = pipeline.backend.wait("the backend's end");
    if signal == Signal::SIGTERM {
        assert!(status.success(), "{status}");
        assert!(signalled.elapsed() < Duration::from_secs(31), "it took {:?}", signalled.elapsed());
    }
    assert!(client.ledger.acknowledged() < POSTS, "the load was over before it was interrupted");

    pipeline.restart_backend();
    let ledger = client.finish();
    pipeline.wait_counted();
    wait_for("the end of the first backend's children", || family.iter().all(|&pid| is_gone(pid)).then_some(()));
    let verdict = ledger.verdict(dir.path(), &[]);
    verdict.assert_clean();
    assert_eq!(verdict.saved, POSTS);
    let file = write_posts(&dir.path().join("all.ndjson"), sample_posts(POSTS));
    load(&pipeline.url, &file);
    pipeline.wait_counted();
    assert_same(&stored(dir.path()), &expected(&file));
    pipeline.stop();
}

fn load(url: &str, file: &str) {
    copydesk_ok(&["load", file, "--to", url, "--json"]);
}

/// Waits until the backend has begun to drain.
fn wait_draining(pipeline: &Pipeline) {
    wait_for("the drain", || (pipeline.queue()?["phase"] == "draining_posts").then_some(()));
}

#[test]
fn sigterm_in_the_middle_of_a_load_loses_nothing() {
    interrupt(Signal::SIGTERM);
}

#[test]
fn sigkill_of_the_backend_loses_nothing() {
    interrupt(Signal::SIGKILL);
}

#[test]
fn a_stop_counts_what_is_queued_before_it_ends() {
    let dir = TempDir::new().expect("temp dir");
    // No flush by time or count: only the sentinel makes the workers settle.
    let pipeline = Pipeline::start(dir.path(), &["--mentions", "--flush-interval=1h"]);
    let ledger = Client::start(&pipeline.url, sample_posts(3_000), Load::default()).finish();
    pipeline.stop();
    ledger.verdict(dir.path(), &[]).assert_clean();
}

/// A pipeline whose only worker is stopped, with posts queued: its drain goes on until somebody cuts it short.
fn stuck_pipeline(dir: &TempDir) -> (Pipeline, Arc<Ledger>) {
    let pipeline = Pipeline::start(dir.path(), &["--mentions", "--workers=1"]);
    let worker = pipeline.children("workers")[0];
    kill(Pid::from_raw(worker), Signal::SIGSTOP).expect("stop the worker");
    let load = Load { batch: 500, ..Load::default() };
    let ledger = Client::start(&pipeline.url, sample_posts(5_000), load).finish();
    (pipeline, ledger)
}

#[test]
fn a_second_signal_skips_the_draining_and_the_rest_is_resumed() {
    let dir = TempDir::new().expect("temp dir");
    let (mut pipeline, ledger) = stuck_pipeline(&dir);
    pipeline.backend.signal(Signal::SIGTERM);
    wait_draining(&pipeline);
    // More of them, because one that comes at once counts as an echo of the first.
    wait_for("a drain that is cut short", || {
        pipeline.backend.signal(Signal::SIGTERM);
        pipeline.log().contains("draining cut short").then_some(())
    });
    assert!(pipeline.backend.wait("the backend's end").success());
    assert!(ledger.verdict(dir.path(), &[]).saved < 5_000, "nothing was left to resume");
    pipeline.restart_backend();
    pipeline.wait_counted();
    // Its worker had to be killed, by the supervisor: no post is blamed for that.
    assert_eq!(pipeline.queue().expect("an answer")["dead_letters"], 0);
    pipeline.stop();
    ledger.verdict(dir.path(), &[]).assert_clean();
}

#[test]
fn while_draining_posts_are_refused_with_retry_after() {
    let dir = TempDir::new().expect("temp dir");
    let (mut pipeline, _) = stuck_pipeline(&dir);
    pipeline.backend.signal(Signal::SIGTERM);
    wait_draining(&pipeline);
    let request = agent().post(format!("{}/v1/posts", pipeline.url)).header("content-type", "application/json");
    let refused = request.send(&br#"{"publication":"late","content":"too late"}"#[..]).expect("an answer");
    assert_eq!(refused.status().as_u16(), 503);
    let retry_after = refused.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    assert!(retry_after.is_some_and(|seconds| seconds >= 1), "{:?}", refused.headers());
    assert_eq!(answer(Ok(refused)).expect("a body").1["code"], "draining");
    assert!(!pipeline.backend.has_ended(), "it was refused because the backend had gone");
}

#[test]
fn up_stops_cleanly_on_sigterm_and_leaves_no_process_behind() {
    let dir = TempDir::new().expect("temp dir");
    let data_dir = format!("--data-dir={}", dir.path().display());
    let args = ["up", &data_dir, "--listen=127.0.0.1:0", "--workers=1", "--savers=1"].map(str::to_owned);
    let mut up = crate::harness::Running::start(&args, &dir.path().join("up.log"));
    wait_for("the pipeline", || {
        let log = std::fs::read_to_string(dir.path().join("up.log")).ok()?;
        log.contains("Serving on").then_some(())
    });
    let family = descendants(up.pid());
    assert!(family.len() >= 4, "{family:?}");
    up.signal(Signal::SIGTERM);
    assert!(up.wait("the end of up").success());
    for pid in family {
        assert!(is_gone(pid), "process {pid} is left");
    }
}
