//! What a load promises, kept against a real HTTP server that hangs up, is full, and rejects.

mod desk;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use desk::{Act, Desk};
use load::{LoadError, Settings, Show, Summary};
use tempfile::TempDir;

/// A directory with a file of so many posts without ids, about 1 KB each.
fn posts(count: usize) -> (TempDir, PathBuf) {
    let lines: Vec<_> = (0..count).map(|number| post(number) + "\n").collect();
    file(&lines.concat())
}

fn post(number: usize) -> String {
    format!(r#"{{"publication":"The Test","title":"{number}","content":"{}"}}"#, "text ".repeat(200))
}

fn file(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("posts.ndjson");
    fs::write(&path, text).expect("writes");
    (dir, path)
}

fn settings(desk: &Desk, path: &Path) -> Settings {
    Settings { files: vec![path.to_owned()], url: desk.url.clone(), batch: 10, concurrency: 2, ..Settings::default() }
}

fn load(settings: &Settings) -> Result<Summary, LoadError> {
    load::run(settings, Show::Quiet)
}

/// `[sent, accepted, duplicates, rejected]`
fn counts(summary: &Summary) -> [u64; 4] {
    [summary.sent, summary.accepted, summary.duplicates, summary.rejected]
}

#[test]
fn every_post_arrives_once_and_in_batches() {
    let ((_dir, path), desk) = (posts(101), Desk::start([]));
    let summary = load(&settings(&desk, &path)).expect("loads");
    assert_eq!(counts(&summary), [101, 101, 0, 0]);
    assert_eq!((desk.taken().len(), desk.requests().len(), summary.retries), (101, 11, 0));
    assert_eq!(summary.bytes, fs::metadata(&path).expect("is there").len());
}

#[test]
fn a_lost_answer_is_retried_with_the_same_ids_and_counted_once() {
    let ((_dir, path), desk) = (posts(10), Desk::start([Act::TakeAndHangUp, Act::HangUp]));
    let summary = load(&settings(&desk, &path)).expect("loads");
    assert_eq!((counts(&summary), summary.retries), ([10, 10, 0, 0], 2));
    let requests = desk.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.ids == requests[0].ids));
    assert_eq!(desk.taken().len(), 10);
}

#[test]
fn loading_twice_sends_the_same_ids() {
    let ((_dir, path), desk) = (posts(25), Desk::start([]));
    load(&settings(&desk, &path)).expect("loads");
    let other_cut = Settings { batch: 7, ..settings(&desk, &path) };
    let again = load(&other_cut).expect("loads");
    assert_eq!(counts(&again), [25, 0, 25, 0]);
    assert_eq!(desk.taken().len(), 25);
}

#[test]
fn equal_lines_of_one_file_are_two_posts() {
    let (_dir, path) = file(&[post(1), post(1)].join("\n"));
    let desk = Desk::start([]);
    assert_eq!(counts(&load(&settings(&desk, &path)).expect("loads")), [2, 2, 0, 0]);
}

#[test]
fn an_array_that_spans_lines_is_loaded_like_a_file_of_lines() {
    let (_dir, path) = file(&format!("[\n{},\n{}\n]\n", post(1).replace(',', ",\n "), post(2)));
    let desk = Desk::start([]);
    assert_eq!(counts(&load(&settings(&desk, &path)).expect("loads")), [2, 2, 0, 0]);
}

#[test]
fn retry_after_is_obeyed() {
    for status in [429, 503] {
        let ((_dir, path), desk) = (posts(10), Desk::start([Act::Busy(status, "1")]));
        let summary = load(&settings(&desk, &path)).expect("loads");
        assert_eq!((counts(&summary), summary.retries), ([10, 10, 0, 0], 1));
        let requests = desk.requests();
        let pause = requests[1].at - requests[0].at;
        assert!(pause >= Duration::from_secs(1), "came back after {pause:?}");
    }
}

#[test]
fn a_refusal_comes_before_a_large_body_is_sent_and_is_not_lost() {
    let ((_dir, path), desk) = (posts(2000), Desk::start([Act::Busy(503, "0"), Act::Busy(503, "0")]));
    let large = Settings { batch: 1000, concurrency: 1, ..settings(&desk, &path) };
    let summary = load(&large).expect("loads");
    // Had the connection been reset, its posts would be in doubt; the server had read nothing of them.
    assert_eq!((counts(&summary), summary.retries), ([2000, 2000, 0, 0], 2));
    let again = load(&large).expect("loads");
    assert_eq!(counts(&again), [2000, 0, 2000, 0]);
}

#[test]
fn only_retryable_items_are_sent_again() {
    let reject = |index| match index {
        0 => Some(("nul_byte", false)),
        3 | 4 => Some(("queue_full", true)),
        _ => None,
    };
    let ((_dir, path), desk) = (posts(10), Desk::start([Act::Reject(reject)]));
    let summary = load(&settings(&desk, &path)).expect("loads");
    assert_eq!((counts(&summary), summary.retries), ([10, 9, 0, 1], 1));
    let requests = desk.requests();
    assert_eq!(requests[1].ids, requests[0].ids[3..5]);
}

#[test]
fn records_that_are_no_posts_are_counted_and_not_sent() {
    let long = format!(r#"{{"publication":"a","content":"{}"}}"#, "x".repeat(9 << 20));
    let lines = [&post(1), "nonsense", "{}", "", &post(2), &long, r#"{"publication":"a","content":" "}"#, &post(3)];
    let (_dir, path) = file(&lines.join("\n"));
    let desk = Desk::start([]);
    assert_eq!(counts(&load(&settings(&desk, &path)).expect("loads")), [3, 3, 0, 4]);
}

#[test]
fn a_request_is_never_larger_than_four_mebibytes_unless_one_post_is() {
    // Two bytes a letter, as the limit of a text is in letters.
    let large = |megabytes: usize| format!(r#"{{"publication":"a","content":"{}"}}"#, "é".repeat(megabytes << 19));
    let (_dir, path) = file(&[large(1), large(1), large(1), large(1), large(5), large(1)].join("\n"));
    let desk = Desk::start([]);
    assert_eq!(counts(&load(&settings(&desk, &path)).expect("loads")), [6, 6, 0, 0]);
    for request in desk.requests() {
        assert!(request.bytes <= 4 << 20 || request.ids.len() == 1, "{} bytes", request.bytes);
    }
}

#[test]
fn memory_stays_bounded_while_the_server_is_slow() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
    let desk = Desk::start([]).usually(Act::Gate);
    let settings = settings(&desk, &path);
    let loading = thread::spawn(move || load(&settings));
    let total = 8 << 10;
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let writing = thread::spawn(move || {
        let mut fifo = fs::OpenOptions::new().write(true).open(path).expect("opens");
        for number in 0..total {
            fifo.write_all((post(number) + "\n").as_bytes()).expect("is read");
            counter.fetch_add(1, Relaxed);
        }
    });
    desk.wait_for("two requests under way", |requests| requests.len() == 2);
    // Nothing is answered, so at some point nothing more is read; half a second without a read is taken for that.
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut before, mut quiet_since) = (0, Instant::now());
    while quiet_since.elapsed() < Duration::from_millis(500) {
        let now = written.load(Relaxed);
        if now != before {
            (before, quiet_since) = (now, Instant::now());
        }
        assert!(Instant::now() < deadline, "waited 20 s for the reader to stop; it has read {now} of {total}");
        thread::sleep(Duration::from_millis(20));
    }
    // Five batches of ten, and what is in the pipe and in the reader's chunk.
    assert!(before < 1000, "{before} articles are held in memory");
    desk.open_gate();
    writing.join().expect("writes all");
    let summary = loading.join().expect("ends").expect("loads");
    assert_eq!(counts(&summary), [total as u64, total as u64, 0, 0]);
}

#[test]
fn giving_up_says_how_to_go_on() {
    let ((_dir, path), desk) = (posts(30), Desk::start([Act::Take]).usually(Act::Busy(503, "0")));
    let impatient = Settings { give_up_after: Duration::from_millis(400), ..settings(&desk, &path) };
    let error = load(&impatient).expect_err("gives up");
    assert!(matches!(error, LoadError::GaveUp { .. }), "{error}");
    assert!(error.to_string().contains("503: come back later"), "{error}");
    assert!(error.to_string().ends_with("what was taken is not counted twice"), "{error}");
    assert_eq!(error.summary().map(|summary| summary.accepted), Some(10));
}

#[test]
fn an_address_where_nobody_listens_is_soon_told() {
    let ((_dir, path), desk) = (posts(3), Desk::start([]));
    let mut wrong = settings(&desk, &path);
    // A port that is given to nobody by chance, and that nothing has used for forty years.
    wrong.url = "http://127.0.0.1:1".to_owned();
    wrong.first_answer_within = Duration::from_millis(300);
    let error = load(&wrong).expect_err("nobody listens").to_string();
    assert!(error.contains("refused") && error.ends_with("start it with: copydesk up"), "{error}");
}

#[test]
fn a_server_that_is_no_copydesk_is_told_at_once() {
    for (status, said) in [(404, "not found"), (200, "<html>welcome</html>"), (413, "too large")] {
        let ((_dir, path), desk) = (posts(3), Desk::start([]).usually(Act::Say(status, said)));
        let error = load(&settings(&desk, &path)).expect_err("is refused");
        assert!(matches!(error, LoadError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(desk.requests().len(), 1);
    }
}

#[test]
fn a_stop_ends_the_load_with_its_counts() {
    let ((_dir, path), desk) = (posts(100), Desk::start([Act::Take, Act::Take]).usually(Act::Busy(503, "30")));
    let settings = settings(&desk, &path);
    let stop = settings.stop.clone();
    let loading = thread::spawn(move || load(&settings));
    desk.wait_for("both senders to be told to wait", |requests| requests.len() == 4);
    let stopped_at = Instant::now();
    stop.store(true, Relaxed);
    let error = loading.join().expect("ends").expect_err("was interrupted");
    assert!(stopped_at.elapsed() < Duration::from_secs(10), "the wait of 30 s was not cut short");
    assert!(matches!(&error, LoadError::Interrupted(summary) if summary.accepted == 20), "{error}");
}

#[test]
fn waiting_ends_when_both_queues_were_seen_empty_twice() {
    let backlog = [(5, 0), (0, 1), (0, 0), (1, 0)];
    let ((_dir, path), desk) = (posts(3), Desk::start([]).with_backlog(backlog));
    load(&Settings { wait: true, ..settings(&desk, &path) }).expect("loads");
    assert_eq!(desk.polls(), 6);
}

#[test]
fn waiting_for_a_queue_that_stands_still_is_given_up() {
    let ((_dir, path), desk) = (posts(3), Desk::start([]).with_backlog([(3, 0); 100]));
    let impatient = Settings { wait: true, give_up_after: Duration::from_millis(600), ..settings(&desk, &path) };
    let error = load(&impatient).expect_err("gives up").to_string();
    assert!(error.contains("still queued: 3 posts, 0 batches"), "{error}");
}
