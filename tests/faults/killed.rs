//! Children and the frontend are killed, files are taken away; counters stay exact.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::checker::{assert_same, expected, stored};
use crate::harness::{Pipeline, copydesk_ok, sample_posts, wait_for, write_posts};

/// Kills children of a kind one after another, each while it holds leases: they are halted first, so that what is posted
/// then is leased to them and stays so, and one of them never goes on.
fn kill_with_leases(kind: &str, queue: &str, times: usize) {
    const POSTS: usize = 2_000;
    let dir = TempDir::new().expect("temp dir");
    // An item may be with several victims in turn; it should not be given up for that.
    let pipeline = Pipeline::start(dir.path(), &["--flush-interval=50ms", "--max-deliveries=100"]);
    for round in 0..times {
        let children = wait_for("both children", || Some(pipeline.children(kind)).filter(|pids| pids.len() == 2));
        let signal = |pid: i32, signal| kill(Pid::from_raw(pid), signal).expect("the child is there");
        children.iter().for_each(|&pid| signal(pid, Signal::SIGSTOP));
        let posts = sample_posts(times * POSTS).skip(round * POSTS).take(POSTS);
        let file = write_posts(&dir.path().join("round.ndjson"), posts);
        copydesk_ok(&["load", &file, "--to", &pipeline.url, "--json"]);
        wait_for("leases", || (pipeline.queue()?["queues"][queue]["leased"].as_u64()? > 0).then_some(()));
        // Which of them holds the leases is not known, so each has its turn.
        signal(children[round % 2], Signal::SIGKILL);
        signal(children[(round + 1) % 2], Signal::SIGCONT);
        wait_for("the end", || (!pipeline.children(kind).contains(&children[round % 2])).then_some(()));
    }
    pipeline.wait_counted();
    assert_eq!(pipeline.queue().expect("an answer")["dead_letters"], 0);
    pipeline.stop();
    let all = write_posts(&dir.path().join("all.ndjson"), sample_posts(times * POSTS));
    assert_same(&stored(dir.path()), &expected(&all));
}

#[test]
fn killed_workers_lose_no_post_and_count_none_twice() {
    kill_with_leases("workers", "posts", 4);
}

#[test]
fn killed_savers_lose_no_batch_and_count_none_twice() {
    kill_with_leases("savers", "results", 4);
}

#[test]
fn a_killed_frontend_takes_nothing_accepted_with_it() {
    let dir = TempDir::new().expect("temp dir");
    let mut pipeline = Pipeline::start(dir.path(), &[]);
    let file = write_posts(&dir.path().join("posts.ndjson"), sample_posts(500));
    copydesk_ok(&["load", &file, "--to", &pipeline.url, "--json"]);
    pipeline.frontend.signal(Signal::SIGKILL);
    pipeline.frontend.wait("the frontend's end");
    pipeline.backend.signal(Signal::SIGTERM);
    assert!(pipeline.backend.wait("the backend's end").success());
    assert_same(&stored(dir.path()), &expected(&file));
}

#[test]
fn a_store_removed_while_running_costs_nothing_that_is_counted_later() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &[]);
    let load = |name: &str, posts: &mut dyn Iterator<Item = serde_json::Value>| {
        let file = write_posts(&dir.path().join(name), posts);
        copydesk_ok(&["load", &file, "--to", &pipeline.url, "--json"]);
        pipeline.wait_counted();
        file
    };
    load("first.ndjson", &mut sample_posts(500));
    for file in ["copydesk.db", "copydesk.db-wal", "copydesk.db-shm"] {
        std::fs::remove_file(dir.path().join(file)).expect("remove");
    }
    let second = load("second.ndjson", &mut sample_posts(1_000).skip(500));
    assert_same(&stored(dir.path()), &expected(&second));
    assert_eq!(pipeline.queue().expect("an answer")["dead_letters"], 0);
    pipeline.stop();
}

#[test]
fn a_second_backend_on_the_same_directory_is_refused() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &[]);
    let data_dir = format!("--data-dir={}", dir.path().display());
    let second = crate::harness::copydesk(&["backend", &data_dir, "--queue-listen=none"]);
    assert_eq!(second.status.code(), Some(78));
    let message = String::from_utf8_lossy(&second.stderr);
    assert!(message.contains(&pipeline.backend.pid().to_string()), "it should name the owner: {message}");
    let post = br#"{"publication":"p","content":"Angela Merkel met Barack Obama in Berlin."}"#;
    assert_eq!(pipeline.post("application/json", post).expect("an answer").0, 202);
    pipeline.stop();
}
