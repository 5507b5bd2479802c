//! Savers are killed around their commit; the store is locked, full, halted, or taken away. It is waited for: the queue
//! grows, workers pause, clients are put off, and all of that is over when the cause is.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::checker::{assert_same, expected, stored};
use crate::client::{Client, Load};
use crate::harness::{Pipeline, copydesk_ok, sample_posts, wait_for, write_posts};
use crate::shim::{Fault, Shim};

/// Bounds that a thousand posts reach.
const NARROW: [&str; 3] = ["--mentions", "--posts-max=600", "--results-max=3"];

/// Kills savers at their syncs of the store's log, which is where they commit.
fn kill_at_commits(fault: fn(&str, &str, u64) -> Fault) -> Option<String> {
    let dir = TempDir::new().expect("temp dir");
    let shim = Shim::new(dir.path())?;
    let args = ["--mentions", "--flush-interval=50ms", "--max-deliveries=100"];
    let pipeline = Pipeline::start_in(&shim.environment(), dir.path(), &args);
    let client = Client::start(&pipeline.url, sample_posts(usize::MAX), Load { threads: 1, ..Load::default() });
    let deaths = || {
        let queue = pipeline.queue().unwrap_or_default();
        queue["savers"].as_array().into_iter().flatten().filter_map(|saver| saver["restarts"].as_u64()).sum::<u64>()
    };
    for nth in [1, 2, 5] {
        let before = deaths();
        shim.set(&[fault("saver", "copydesk.db-wal", nth)]);
        wait_for("a killed saver", || (deaths() > before).then_some(()));
        shim.clear();
        client.wait_acknowledged(100);
    }
    let ledger = client.stop();
    pipeline.wait_counted();
    assert_eq!(pipeline.queue().expect("an answer")["dead_letters"], 0);
    let log = pipeline.log();
    pipeline.stop();
    ledger.verdict(dir.path(), &[]).assert_clean();
    Some(log)
}

#[test]
fn a_saver_killed_after_its_commit_and_before_its_settlement_counts_nothing_twice() {
    let Some(log) = kill_at_commits(Fault::kill_after_sync) else { return };
    assert!(log.contains("batch was applied before"), "no batch came again that was committed");
}

#[test]
fn a_saver_killed_before_its_commit_loses_nothing() {
    kill_at_commits(Fault::kill_before_sync);
}

/// Has a client post while nothing can be saved, until it is put off; then lifts the cause.
fn back_up(pipeline: Pipeline, lift: impl FnOnce()) {
    let count = |queue: &str, what: &str| pipeline.queue()?["queues"][queue][what].as_u64();
    let load = Load { threads: 1, batch: 50, pause_max: Duration::from_millis(200), ..Load::default() };
    let client = Client::start(&pipeline.url, sample_posts(5_000), load);
    wait_for("a full queue of results", || {
        (count("results", "ready")? + count("results", "leased")? >= 3).then_some(())
    });
    // Workers settle what they have and take nothing more; what comes then fills the queue.
    wait_for("workers that pause and a client that is put off", || {
        (count("posts", "leased")? == 0 && count("posts", "ready")? > 500 && client.refused() > 0).then_some(())
    });
    assert!(client.ledger.acknowledged() < 5_000);
    lift();
    // Without any further help.
    let ledger = client.finish();
    pipeline.wait_counted();
    let queue = pipeline.queue().expect("an answer");
    assert_eq!(queue["dead_letters"], 0);
    for saver in queue["savers"].as_array().expect("a list") {
        assert_eq!(saver["restarts"], 0, "it should have waited: {saver}");
    }
    let dir = pipeline.dir.clone();
    pipeline.stop();
    let verdict = ledger.verdict(&dir, &[]);
    verdict.assert_clean();
    assert_eq!(verdict.saved, 5_000);
}

#[test]
fn a_locked_store_is_waited_for_while_the_queue_grows_up_to_the_clients() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &NARROW);
    let store = Connection::open(dir.path().join("copydesk.db")).expect("the store");
    store.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let log = dir.path().join("backend.log");
    back_up(pipeline, || {
        let is_noted = || std::fs::read_to_string(&log).ok()?.contains("is locked by another program").then_some(());
        wait_for("a saver that says so", is_noted);
        store.execute_batch("ROLLBACK").expect("no lock");
    });
}

#[test]
fn a_full_store_is_waited_for_while_the_queue_grows_up_to_the_clients() {
    let dir = TempDir::new().expect("temp dir");
    let Some(shim) = Shim::new(dir.path()) else { return };
    let pipeline = Pipeline::start_in(&shim.environment(), dir.path(), &NARROW);
    // Enough for a beginning.
    shim.set(&[Fault::room("saver", "copydesk.db", 30_000)]);
    let log = dir.path().join("backend.log");
    back_up(pipeline, || {
        let is_noted = || std::fs::read_to_string(&log).ok()?.contains("no space is left for").then_some(());
        wait_for("a saver that says so", is_noted);
        shim.clear();
    });
}

#[test]
fn halted_savers_are_waited_for_while_the_queue_grows_up_to_the_clients() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &NARROW);
    let savers = pipeline.children("savers");
    let signal_all = |signal| savers.iter().for_each(|&pid| kill(Pid::from_raw(pid), signal).expect("it is there"));
    signal_all(Signal::SIGSTOP);
    back_up(pipeline, || signal_all(Signal::SIGCONT));
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
