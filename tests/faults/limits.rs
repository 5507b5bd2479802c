//! The wall clock jumps; file descriptors or memory run out. Leases and ages go by another clock; whoever is refused is
//! told so; nothing ends that need not.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::raw::Raw;
use crate::client::{Client, Load};
use crate::harness::{Pipeline, Setup, sample_posts, wait_for};
use crate::shim::{Fault, Shim};

/// Sum of a figure over all workers and savers.
fn sum(queue: &Value, figure: &str) -> u64 {
    let children = ["workers", "savers"].into_iter().filter_map(|kind| queue[kind].as_array()).flatten();
    children.filter_map(|child| child[figure].as_u64()).sum()
}

#[test]
fn a_wall_clock_that_jumps_by_hours_expires_nothing_and_ages_nothing() {
    let dir = TempDir::new().expect("temp dir");
    let Some(shim) = Shim::new(dir.path()) else { return };
    let pipeline = Pipeline::start_in(&shim.environment(), dir.path(), &["--mentions", "--flush-interval=300ms"]);
    let client = Client::start(&pipeline.url, sample_posts(usize::MAX), Load::default());
    for seconds in [3_600, -3_600, 7_200, 0, -7_200, 0] {
        shim.set(&["frontend", "backend", "worker", "saver"].map(|role| Fault::clock(role, seconds)));
        client.wait_acknowledged(150);
        // What came before the jump was counted, or is as old as it is.
        for _ in 0..20 {
            let queue = pipeline.queue().expect("an answer");
            for name in ["posts", "results"] {
                let oldest = queue["queues"][name]["oldest_seconds"].as_f64().expect("an age");
                assert!(oldest < 60.0, "{name}: {oldest} s, with the clock {seconds} s ahead");
            }
        }
    }
    let ledger = client.stop();
    pipeline.wait_counted();
    let queue = pipeline.queue().expect("an answer");
    assert_eq!((sum(&queue, "restarts"), &queue["dead_letters"]), (0, &0.into()), "{queue}");
    assert!(!pipeline.log().contains("leases"), "leases were lost: {}", pipeline.log());
    let settled = queue["queues"]["results"]["settled"].as_u64().expect("a count");
    pipeline.stop();
    ledger.verdict(dir.path(), &[]).assert_clean();
    let store = Connection::open_with_flags(dir.path().join("copydesk.db"), OpenFlags::SQLITE_OPEN_READ_ONLY);
    let markers =
        store.and_then(|store| store.query_row("SELECT count(*) FROM batches", [], |row| row.get::<_, u64>(0)));
    assert_eq!(markers.expect("a count"), settled, "markers of batches are gone before their time");
}

#[test]
fn few_file_descriptors_turn_clients_away_and_end_nobody() {
    let dir = TempDir::new().expect("temp dir");
    let setup = Setup { backend_limits: "ulimit -n 128", frontend_limits: "ulimit -n 96", ..Setup::default() };
    let mut pipeline = Pipeline::start_with(setup, dir.path(), &["--mentions", "--queue-listen=tcp://127.0.0.1:0"]);
    for log in [pipeline.log(), std::fs::read_to_string(dir.path().join("frontend.log")).expect("a log")] {
        assert!(log.contains("the limit of file descriptors is low") && log.contains("LimitNOFILE="), "{log}");
    }
    let log = pipeline.log();
    let port = log.split("tcp://127.0.0.1:").nth(1).and_then(|rest| rest.split('"').next()).expect("a port");
    let client = Client::start(&pipeline.url, sample_posts(usize::MAX), Load::default());
    client.wait_acknowledged(100);
    // A crowd at every door. The queue's stays and says nothing; a worker that is killed meanwhile has a successor.
    let tcp: Vec<_> = (0..300).map(|_| TcpStream::connect(format!("127.0.0.1:{port}"))).collect();
    let unix: Vec<_> = (0..300).map(|_| UnixStream::connect(dir.path().join("queue.sock"))).collect();
    let worker = pipeline.children("workers")[0];
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("a worker");
    wait_for("a new worker", || {
        let workers = pipeline.children("workers");
        (workers.len() == 2 && !workers.contains(&worker)).then_some(())
    });
    client.wait_acknowledged(500);
    // The frontend's takes every place there is, and leaves again.
    let http: Vec<_> = (0..100).map(|_| Raw::connect(&pipeline.url)).collect();
    drop(http);
    client.wait_acknowledged(500);
    let ledger = client.stop();
    drop((tcp, unix));
    pipeline.wait_counted();
    assert!(!pipeline.log().contains("Too many open files"), "{}", pipeline.log());
    assert!(!pipeline.backend.has_ended() && !pipeline.frontend.has_ended());
    assert_eq!(pipeline.queue().expect("an answer")["dead_letters"], 0);
    pipeline.stop();
    ledger.verdict(dir.path(), &[]).assert_clean();
}

/// An article that takes more memory than 36 MB to look through.
fn enormous() -> Value {
    let content = "Angela Merkel met Barack Obama in Berlin on Monday. ".repeat(60_000);
    json!({"id": "enormous", "publication": "Daily", "content": content})
}

#[test]
fn a_post_for_which_the_memory_of_a_worker_is_too_small_costs_only_itself() {
    let dir = TempDir::new().expect("temp dir");
    let setup = Setup { backend_limits: "ulimit -d 36000", ..Setup::default() };
    let mut pipeline = Pipeline::start_with(setup, dir.path(), &["--mentions", "--max-deliveries=2"]);
    let posts = sample_posts(500).chain([enormous()]).chain(sample_posts(1_500).skip(500));
    let ledger = Client::start(&pipeline.url, posts, Load::default()).finish();
    wait_for("the dead letter", || (pipeline.queue()?["dead_letters"] == 1).then_some(()));
    pipeline.wait_counted();
    let letters = pipeline.dead_letters();
    let (id, reason) = (letters[0]["id"].as_str(), letters[0]["reason"].as_str().unwrap_or_default().to_owned());
    assert_eq!((letters.len(), id), (1, Some("enormous")));
    assert!(reason.contains("died"), "{reason}");
    let queue = pipeline.queue().expect("an answer");
    assert!(sum(&queue, "restarts") >= 2 && !pipeline.backend.has_ended(), "{queue}");
    pipeline.stop();
    ledger.verdict(dir.path(), &["enormous".to_owned()]).assert_clean();
}

#[test]
fn a_frontend_that_runs_out_of_memory_takes_nothing_with_it_that_it_has_acknowledged() {
    let dir = TempDir::new().expect("temp dir");
    // Much less than it may need.
    let setup = Setup { frontend_limits: "ulimit -d 48000", ..Setup::default() };
    let mut pipeline = Pipeline::start_with(setup, dir.path(), &["--mentions"]);
    let client = Client::start(&pipeline.url, sample_posts(usize::MAX), Load::default());
    client.wait_acknowledged(200);
    // Clients who send eight megabytes each, as it may be.
    let url = pipeline.url.clone();
    let greedy: Vec<_> = (0..60)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || {
                let Ok(stream) = TcpStream::connect(url.trim_start_matches("http://")) else { return };
                stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a socket");
                let mut client = Raw(stream);
                client.begin_post("content-type: application/x-ndjson\r\n", Some(8 << 20));
                client.send(vec![b'x'; 8 << 20]);
            })
        })
        .collect();
    let end = pipeline.frontend.wait("the frontend's end for lack of memory");
    assert_eq!(end.signal(), Some(Signal::SIGABRT as i32), "{end}");
    greedy.into_iter().for_each(|thread| thread.join().expect("no panic"));
    // As any supervisor would.
    pipeline.restart_frontend();
    client.turn_to(&pipeline.url);
    client.wait_acknowledged(200);
    let ledger = client.stop();
    pipeline.wait_counted();
    pipeline.stop();
    ledger.verdict(dir.path(), &[]).assert_clean();
}
