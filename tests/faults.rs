//! Processes die; counters stay exact.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::checker::{assert_same, expected, stored};
use crate::harness::{Pipeline, copydesk_ok, sample_posts, wait_for, write_posts};

/// Loads posts while children of a kind are killed one after another, each while its kind holds leases.
fn kill_while_loading(kind: &str, queue: &str, times: usize) {
    let dir = TempDir::new().expect("temp dir");
    // An item may be with several victims in turn; it should not be given up for that.
    let pipeline = Pipeline::start(dir.path(), &["--flush-interval=50ms", "--max-deliveries=100"]);
    let file = write_posts(&dir.path().join("posts.ndjson"), sample_posts(10_000));
    let load = {
        let (url, file) = (pipeline.url.clone(), file.clone());
        std::thread::spawn(move || copydesk_ok(&["load", &file, "--to", &url, "--json", "--batch=20"]))
    };
    for kill_number in 0..times {
        let victim = wait_for("a victim with leases", || {
            let now = pipeline.queue()?;
            (now["queues"][queue]["leased"].as_u64()? > 0).then(|| pipeline.children(kind).first().copied())?
        });
        assert!(kill_number > 0 || !load.is_finished(), "the load was over before the first kill");
        let _ = kill(Pid::from_raw(victim), Signal::SIGKILL);
        wait_for("its end to be seen", || (!pipeline.children(kind).contains(&victim)).then_some(()));
        if load.is_finished() {
            break;
        }
    }
    load.join().expect("the load ends");
    pipeline.wait_counted();
    assert_eq!(pipeline.queue().expect("an answer")["dead_letters"], 0);
    pipeline.stop();
    assert_same(&stored(dir.path()), &expected(&file));
}

#[test]
fn killed_workers_lose_no_post_and_count_none_twice() {
    kill_while_loading("workers", "posts", 3);
}

#[test]
fn killed_savers_lose_no_batch_and_count_none_twice() {
    kill_while_loading("savers", "results", 3);
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
