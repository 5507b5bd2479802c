//! A stop drains, and what it cannot drain is resumed; nothing that was accepted is lost or counted twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::checker::{articles, assert_same, expected, stored};
use crate::harness::{Pipeline, agent, answer, copydesk_ok, is_gone, sample_posts, wait_for, write_posts};

/// Posts in the interrupted loads.
const POSTS: usize = 20_000;

/// A client that posts in small batches and remembers which posts got a 202. It ends at the first answer that is
/// anything else, so a load that is interrupted stays interrupted.
struct Client {
    sent: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<Value>>,
}

impl Client {
    fn start(url: &str, posts: Vec<Value>) -> Client {
        let url = format!("{url}/v1/posts");
        let sent = Arc::new(AtomicUsize::new(0));
        let progress = Arc::clone(&sent);
        let thread = std::thread::spawn(move || {
            let agent = agent();
            let mut accepted = Vec::new();
            for batch in posts.chunks(50) {
                let body: String = batch.iter().map(|post| format!("{post}\n")).collect();
                let request = agent.post(&url).header("content-type", "application/x-ndjson");
                let Some((status, answer)) = answer(request.send(body.as_bytes())) else { break };
                let rejected: Vec<_> = answer["rejected"].as_array().into_iter().flatten().collect();
                if status == 202 {
                    let is_rejected = |post: &Value| rejected.iter().any(|item| item["id"] == post["id"]);
                    accepted.extend(batch.iter().filter(|post| !is_rejected(post)).cloned());
                }
                if status != 202 || !rejected.is_empty() {
                    break;
                }
                progress.fetch_add(batch.len(), Ordering::Relaxed);
            }
            accepted
        });
        Client { sent, thread }
    }

    fn accepted(self) -> Vec<Value> {
        self.thread.join().expect("the client does not panic")
    }
}

/// Interrupts a load by `signal` to the backend, restarts it, and checks that all that got 202 is counted, each post
/// once; then sends everything again, as a client would that lost its answers, and checks that every counter is exact.
fn interrupt(signal: Signal) {
    let dir = TempDir::new().expect("temp dir");
    let mut pipeline = Pipeline::start(dir.path(), &["--drain-timeout=30s"]);
    let client = Client::start(&pipeline.url, sample_posts(POSTS).collect());
    wait_for("the middle of the load", || (client.sent.load(Ordering::Relaxed) >= POSTS / 10).then_some(()));
    let signalled = Instant::now();
    pipeline.backend.signal(signal);
    let status = pipeline.backend.wait("the backend's end");
    if signal == Signal::SIGTERM {
        assert!(status.success(), "{status}");
        assert!(signalled.elapsed() < Duration::from_secs(31), "it took {:?}", signalled.elapsed());
    }
    let accepted = client.accepted();
    assert!(accepted.len() < POSTS, "the load was over before it was interrupted");
    assert!(accepted.len() >= POSTS / 10);

    pipeline.restart_backend();
    pipeline.wait_counted();
    let resumed = stored(dir.path());
    let accepted_file = write_posts(&dir.path().join("accepted.ndjson"), accepted.into_iter());
    for (key, count) in expected(&accepted_file) {
        assert!(resumed.get(&key).copied().unwrap_or(0) >= count, "{key:?} is too low");
    }
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
    let pipeline = Pipeline::start(dir.path(), &["--flush-interval=1h"]);
    let file = write_posts(&dir.path().join("posts.ndjson"), sample_posts(3_000));
    load(&pipeline.url, &file);
    pipeline.stop();
    assert_same(&stored(dir.path()), &expected(&file));
}

/// A pipeline whose only worker is stopped, with posts queued: its drain goes on until somebody cuts it short.
fn stuck_pipeline(dir: &TempDir) -> (Pipeline, String) {
    let pipeline = Pipeline::start(dir.path(), &["--workers=1"]);
    let worker = pipeline.children("workers")[0];
    kill(Pid::from_raw(worker), Signal::SIGSTOP).expect("stop the worker");
    let file = write_posts(&dir.path().join("posts.ndjson"), sample_posts(5_000));
    load(&pipeline.url, &file);
    (pipeline, file)
}

#[test]
fn a_second_signal_skips_the_draining_and_the_rest_is_resumed() {
    let dir = TempDir::new().expect("temp dir");
    let (mut pipeline, file) = stuck_pipeline(&dir);
    pipeline.backend.signal(Signal::SIGTERM);
    wait_draining(&pipeline);
    pipeline.backend.signal(Signal::SIGTERM);
    assert!(pipeline.backend.wait("the backend's end").success());
    assert!(articles(&stored(dir.path())) < 5_000, "nothing was left to resume");
    pipeline.restart_backend();
    pipeline.wait_counted();
    assert_same(&stored(dir.path()), &expected(&file));
    assert_eq!(pipeline.queue().expect("an answer")["dead_letters"], 0);
    pipeline.stop();
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
    let family = crate::processes::descendants(up.pid());
    assert!(family.len() >= 4, "{family:?}");
    up.signal(Signal::SIGTERM);
    assert!(up.wait("the end of up").success());
    for pid in family {
        assert!(is_gone(pid), "process {pid} is left");
    }
}
