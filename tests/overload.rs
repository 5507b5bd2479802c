//! More comes than can be done: nothing is saved, the disk has reached its limit, or the queue is full. Clients are put
//! off with 429 or 503 and Retry-After, memory stays bounded, all of it is over when its cause is, and `copydesk load`,
//! which was under way all the time, ends with every post accepted and counted once.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::checker::{assert_same, expected, stored};
use crate::harness::{COPYDESK, Pipeline, agent, sample_posts, wait_for, write_posts};
use crate::shim::{Fault, Shim};

/// Far less than what is posted meanwhile, and more than either process needs for its work.
const MEMORY_MAX: u64 = 128 << 20;

/// `copydesk load` in the background, which is given posts until it has been enough, however fast it is.
struct Load {
    process: Child,
    is_enough: Arc<AtomicBool>,
    /// Gives the number of posts.
    source: JoinHandle<usize>,
}

impl Load {
    fn start(url: &str) -> Load {
        let mut load = Command::new(COPYDESK);
        load.args(["load", "-", "--to", url, "--json", "--batch=20", "--concurrency=1"]);
        load.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = load.spawn().expect("the binary starts");
        let mut posts = process.stdin.take().expect("a pipe");
        let is_enough = Arc::new(AtomicBool::new(false));
        let enough = Arc::clone(&is_enough);
        let source = std::thread::spawn(move || {
            let wanted = sample_posts(usize::MAX).take_while(|_| !enough.load(Ordering::Relaxed));
            wanted.map(|post| writeln!(posts, "{post}").expect("the load reads")).count()
        });
        Load { process, is_enough, source }
    }

    /// Waits for the end of it: how many posts it was given, and its summary.
    fn finish(self) -> (usize, Value) {
        self.is_enough.store(true, Ordering::Relaxed);
        let posts = self.source.join().expect("no panic");
        let load = self.process.wait_with_output().expect("the load ends");
        let summary = serde_json::from_slice(&load.stdout).expect("a summary");
        assert!(load.status.success(), "{summary}");
        (posts, summary)
    }
}

/// A good post that is put off: whether it was, with all that an answer needs for that.
fn is_put_off(pipeline: &Pipeline, publication: &str) -> bool {
    let body = format!(r#"{{"publication":"{publication}","content":"none"}}"#);
    let request = agent().post(format!("{}/v1/posts", pipeline.url)).header("content-type", "application/json");
    let mut answer = request.send(body.as_bytes()).expect("an answer");
    let status = answer.status().as_u16();
    if status == 202 {
        return false;
    }
    assert!([429, 503].contains(&status), "{status}");
    let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    assert!(retry_after.is_some_and(|seconds| seconds >= 1), "{:?}", answer.headers());
    let body: Value = serde_json::from_str(&answer.body_mut().read_to_string().expect("a body")).expect("JSON");
    assert_eq!(body["retryable"], true, "{body}");
    true
}

/// Starts a load, then the overload; lifts it when clients have been put off for a while; and judges.
fn ride_through(pipeline: Pipeline, begin: impl FnOnce(&Pipeline), end: impl FnOnce(&Pipeline)) {
    let dir = pipeline.dir.clone();
    let count = |what: &str| pipeline.queue()?["queues"]["posts"][what].as_u64();
    let mut load = Load::start(&pipeline.url);
    wait_for("the load to begin", || count("accepted").filter(|&accepted| accepted >= 300));
    begin(&pipeline);
    // What was under way still ends, and makes room once more.
    let are_put_off = || (0..50).all(|_| is_put_off(&pipeline, "asked meanwhile"));
    wait_for("clients to be put off", || are_put_off().then_some(()));
    // Again and again, while the load tries, too.
    assert!(are_put_off() && are_put_off(), "the overload is over before its cause is");
    assert!(load.process.try_wait().expect("wait").is_none(), "the load gave up");
    for process in [&pipeline.frontend, &pipeline.backend] {
        let peak = process.peak_memory();
        assert!(peak < MEMORY_MAX, "{peak} bytes");
    }
    end(&pipeline);
    wait_for("posts to be taken again", || (!is_put_off(&pipeline, "asked meanwhile")).then_some(()));
    let (posts, summary) = load.finish();
    let taken = |what: &str| summary[what].as_u64();
    assert_eq!((taken("accepted"), taken("duplicates"), taken("rejected")), (Some(posts as u64), Some(0), Some(0)));
    assert!(taken("retries") > Some(0), "it was never put off: {summary}");
    pipeline.wait_counted();
    wait_for("/readyz", || pipeline.get("/readyz").filter(|(status, _)| *status == 200));
    assert_eq!(pipeline.queue().expect("an answer")["dead_letters"], 0);
    pipeline.stop();
    let mut stored = stored(&dir);
    // Posts that were to be put off came a moment before that.
    stored.retain(|(publication, _, _), _| publication != "asked meanwhile");
    let file = write_posts(&dir.join("posts.ndjson"), sample_posts(posts));
    assert_same(&stored, &expected(&file));
}

fn signal_all(pipeline: &Pipeline, kind: &str, signal: Signal) {
    for pid in pipeline.children(kind) {
        kill(Pid::from_raw(pid), signal).expect("a child");
    }
}

#[test]
fn a_load_rides_through_savers_that_stand_still() {
    let dir = TempDir::new().expect("temp dir");
    let narrow = ["--posts-max=1500", "--results-max=3", "--flush-interval=100ms"];
    let pipeline = Pipeline::start(dir.path(), &narrow);
    let stop = |pipeline: &Pipeline| signal_all(pipeline, "savers", Signal::SIGSTOP);
    ride_through(pipeline, stop, |pipeline| signal_all(pipeline, "savers", Signal::SIGCONT));
}

#[test]
fn a_load_rides_through_a_full_queue() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--posts-max=1000"]);
    let stop = |pipeline: &Pipeline| signal_all(pipeline, "workers", Signal::SIGSTOP);
    ride_through(pipeline, stop, |pipeline| signal_all(pipeline, "workers", Signal::SIGCONT));
}

#[test]
fn a_load_rides_through_a_disk_at_its_limit() {
    let dir = TempDir::new().expect("temp dir");
    let Some(shim) = Shim::new(dir.path()) else { return };
    let pipeline = Pipeline::start_in(&shim.environment(), dir.path(), &["--flush-interval=100ms"]);
    let fill = |pipeline: &Pipeline| {
        shim.set(&[Fault::free_bytes("backend", "queue", 100 << 20)]);
        wait_for("/readyz to say so", || {
            let (status, body) = pipeline.get("/readyz")?;
            (status == 503 && body["message"].as_str()?.contains("no post is taken")).then_some(())
        });
    };
    ride_through(pipeline, fill, |_| shim.clear());
}

#[test]
fn clients_that_give_up_on_a_halted_manager_and_come_again_fill_no_memory() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--engine=none"]);
    pipeline.backend.signal(Signal::SIGSTOP);
    let line = format!("{}\n", serde_json::json!({"publication": "p", "content": "c".repeat(100_000)}));
    let body = std::sync::Arc::new(line.repeat(10));
    // Half a gigabyte in all, by clients with no patience.
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let (url, body) = (format!("{}/v1/posts", pipeline.url), body.clone());
            std::thread::spawn(move || {
                let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_millis(150))).build();
                for _ in 0..25 {
                    let agent: ureq::Agent = config.new_agent();
                    let _ = agent.post(&url).header("content-type", "application/x-ndjson").send(body.as_bytes());
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("no panic"));
    let peak = pipeline.frontend.peak_memory();
    println!("{} MB", peak >> 20);
    pipeline.backend.signal(Signal::SIGCONT);
    wait_for("the manager's return", || (!is_put_off(&pipeline, "after")).then_some(()));
    assert!(peak < 256 << 20, "{peak} bytes");
    pipeline.wait_counted();
    pipeline.stop();
}
