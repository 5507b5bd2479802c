//! A stop drains, and what it cannot drain is resumed; nothing that was accepted is lost or counted twice.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::checker::{articles, assert_same, expected, stored};
use crate::harness::{COPYDESK, Pipeline, read_lines, sample_posts, wait_for, write_posts};

/// Posts in the interrupted loads.
const POSTS: usize = 20_000;

/// A client that posts a file in small batches and remembers which ids got a 202, whatever happens around it.
struct Client {
    thread: std::thread::JoinHandle<Vec<Value>>,
}

impl Client {
    fn start(url: &str, posts: Vec<Value>) -> Client {
        let url = format!("{url}/v1/posts");
        let thread = std::thread::spawn(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            let mut accepted = Vec::new();
            for batch in posts.chunks(100) {
                let body: String = batch.iter().map(|post| format!("{post}\n")).collect();
                let sent = agent.post(&url).header("content-type", "application/x-ndjson").send(body.as_bytes());
                let Ok(mut response) = sent else { continue };
                let status = response.status().as_u16();
                let Ok(text) = response.body_mut().read_to_string() else { continue };
                let Ok(answer) = serde_json::from_str::<Value>(&text) else { continue };
                if status != 202 {
                    continue;
                }
                let rejected: Vec<_> = answer["rejected"].as_array().into_iter().flatten().collect();
                let is_rejected = |post: &Value| rejected.iter().any(|item| item["id"] == post["id"]);
                accepted.extend(batch.iter().filter(|post| !is_rejected(post)).cloned());
            }
            accepted
        });
        Client { thread }
    }

    fn accepted(self) -> Vec<Value> {
        self.thread.join().expect("the client does not panic")
    }
}

/// Interrupts a load by `signal` to the backend, restarts it, and checks that exactly what got 202 is counted; posts
/// whose answer was lost may be there too, once.
fn interrupt(signal: Signal) {
    let dir = TempDir::new().expect("temp dir");
    let mut pipeline = Pipeline::start(dir.path(), &["--drain-timeout=30s"]);
    let posts: Vec<Value> = sample_posts(POSTS).collect();
    let client = Client::start(&pipeline.url, posts);
    wait_for("the middle of the load", || {
        let queue = pipeline.queue()?;
        (queue["queues"]["posts"]["accepted"].as_u64()? > POSTS as u64 / 5).then_some(())
    });
    let signalled = Instant::now();
    pipeline.backend.signal(signal);
    let status = pipeline.backend.wait("the backend's end");
    if signal == Signal::SIGTERM {
        assert!(status.success(), "{status}");
        assert!(signalled.elapsed() < Duration::from_secs(31), "it took {:?}", signalled.elapsed());
    }
    let accepted = client.accepted();
    assert!(!accepted.is_empty() && accepted.len() < POSTS, "the load was not interrupted: {}", accepted.len());
    pipeline.restart_backend();
    // The client's own retry of everything it has no 202 for: afterwards every post is there, and none twice.
    let stored_before = {
        pipeline.wait_counted();
        stored(dir.path())
    };
    assert!(articles(&stored_before) >= accepted.len() as u64, "accepted posts are missing");
    let file = write_posts(&dir.path().join("all.ndjson"), sample_posts(POSTS));
    let accepted_file = write_posts(&dir.path().join("accepted.ndjson"), accepted.into_iter());
    for (key, count) in expected(&accepted_file) {
        assert!(stored_before.get(&key).copied().unwrap_or(0) >= count, "{key:?} is too low");
    }
    load(&pipeline.url, &file);
    pipeline.wait_counted();
    assert_same(&stored(dir.path()), &expected(&file));
    pipeline.stop();
}

fn load(url: &str, file: &str) {
    let status = Command::new(COPYDESK).args(["load", file, "--to", url, "--json"]).stdout(Stdio::null()).status();
    assert!(status.expect("load starts").success());
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

#[test]
fn a_second_signal_skips_the_draining_and_the_rest_is_resumed() {
    let dir = TempDir::new().expect("temp dir");
    let mut pipeline = Pipeline::start(dir.path(), &["--workers=1"]);
    let file = write_posts(&dir.path().join("posts.ndjson"), sample_posts(POSTS));
    load(&pipeline.url, &file);
    pipeline.backend.signal(Signal::SIGTERM);
    pipeline.backend.signal(Signal::SIGTERM);
    assert!(pipeline.backend.wait("the backend's end").success());
    pipeline.restart_backend();
    pipeline.wait_counted();
    assert_same(&stored(dir.path()), &expected(&file));
    pipeline.stop();
}

#[test]
fn while_draining_posts_are_refused_with_retry_after() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--workers=1", "--flush-interval=1h"]);
    let file = write_posts(&dir.path().join("posts.ndjson"), sample_posts(POSTS));
    load(&pipeline.url, &file);
    pipeline.backend.signal(Signal::SIGTERM);
    let post = br#"{"publication":"late","content":"too late"}"#;
    let refused =
        wait_for("a refusal", || pipeline.post("application/json", post).filter(|(status, _)| *status != 202));
    assert_eq!(refused.0, 503, "{}", refused.1);
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
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is left");
    }
}

/// Keeps the reader of the accepted file honest.
#[test]
fn the_harness_reads_what_it_writes() {
    let dir = TempDir::new().expect("temp dir");
    let file = write_posts(&dir.path().join("posts.ndjson"), sample_posts(3));
    assert_eq!(read_lines(Path::new(&file)), sample_posts(3).collect::<Vec<_>>());
}
