//! Stops with work left: at full load, at a deadline, and by a kill from above. Nothing that was acknowledged is lost.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Client, Load};
use crate::harness::{Pipeline, Running, is_gone, sample_posts, wait_for};
use crate::processes::descendants;

/// Posts that are queued when a stop begins.
const QUEUED: usize = 20_000;

/// Waits until the pipeline says everywhere that it drains posts.
fn wait_draining(pipeline: &Pipeline) {
    wait_for("the phase", || (pipeline.queue()?["phase"] == "draining_posts").then_some(()));
    let (status, answer) = pipeline.get("/readyz").expect("an answer");
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(status == 503 && message.contains("draining_posts"), "{status}: {answer}");
}

#[test]
fn a_stop_at_full_load_with_20_000_posts_queued_refuses_at_once_and_counts_them_all() {
    let dir = TempDir::new().expect("temp dir");
    let mut pipeline = Pipeline::start(dir.path(), &["--mentions"]);
    let workers = pipeline.children("workers");
    let signal_all = |signal| workers.iter().for_each(|&pid| kill(Pid::from_raw(pid), signal).expect("it is there"));
    signal_all(Signal::SIGSTOP);
    let load = Load { batch: 200, pause_max: Duration::from_millis(100), ..Load::default() };
    let client = Client::start(&pipeline.url, sample_posts(usize::MAX), load);
    client.wait_acknowledged(QUEUED);
    pipeline.backend.signal(Signal::SIGTERM);
    wait_draining(&pipeline);
    let acknowledged = client.ledger.acknowledged();
    wait_for("refused posts", || (client.refused() > 0).then_some(()));
    // What was on its way is answered; nothing more is taken.
    let refused = client.refused();
    wait_for("more refused posts", || (client.refused() > refused + 10).then_some(()));
    let more = client.ledger.acknowledged() - acknowledged;
    assert!(more <= 3 * 200, "{more} posts were taken after the stop began");
    assert!(!pipeline.backend.has_ended());
    signal_all(Signal::SIGCONT);
    assert!(pipeline.backend.wait("the end of the drain").success());
    let verdict = client.stop().verdict(dir.path(), &[]);
    verdict.assert_clean();
    assert!(verdict.saved >= QUEUED);
}

#[test]
fn a_stop_at_its_deadline_keeps_the_rest_of_20_000_posts_on_disk() {
    let dir = TempDir::new().expect("temp dir");
    // What is queued takes two workers at least 100 seconds.
    let mut pipeline = Pipeline::start(dir.path(), &["--mentions", "--engine=test", "--drain-timeout=1s"]);
    let slow = sample_posts(QUEUED).map(|mut post| {
        post["content"] = Value::String(format!("{} test-engine:slow", post["content"].as_str().expect("text")));
        post
    });
    let ledger = Client::start(&pipeline.url, slow, Load { batch: 500, ..Load::default() }).finish();
    let signalled = Instant::now();
    pipeline.backend.signal(Signal::SIGTERM);
    wait_draining(&pipeline);
    assert!(pipeline.backend.wait("the deadline").success());
    let elapsed = signalled.elapsed();
    // Children that hang get 10 seconds more; these do not.
    assert!((Duration::from_secs(1)..Duration::from_secs(9)).contains(&elapsed), "it took {elapsed:?}");
    let left = ledger.acknowledged() - ledger.verdict(dir.path(), &[]).saved;
    assert!(left > QUEUED / 2, "only {left} posts were left to resume");
    drop(pipeline);
    let pipeline = Pipeline::start(dir.path(), &["--mentions"]);
    pipeline.wait_counted();
    assert_eq!(pipeline.queue().expect("an answer")["dead_letters"], 0);
    pipeline.stop();
    let verdict = ledger.verdict(dir.path(), &[]);
    verdict.assert_clean();
    assert_eq!(verdict.saved, QUEUED);
}

#[test]
fn a_stop_with_poison_queued_gives_the_poison_up_and_ends_in_time() {
    let dir = TempDir::new().expect("temp dir");
    let mut pipeline = Pipeline::start(dir.path(), &["--mentions", "--engine=test"]);
    let workers = pipeline.children("workers");
    let signal_all = |signal| workers.iter().for_each(|&pid| kill(Pid::from_raw(pid), signal).expect("it is there"));
    signal_all(Signal::SIGSTOP);
    let posts = sample_posts(500).chain([json!({
        "id": "poison", "publication": "Poison", "content": "test-engine:abort"
    })]);
    let ledger = Client::start(&pipeline.url, posts, Load::default()).finish();
    pipeline.backend.signal(Signal::SIGTERM);
    wait_draining(&pipeline);
    signal_all(Signal::SIGCONT);
    assert!(pipeline.backend.wait("the end of the drain").success());
    let log = pipeline.log();
    assert!(log.contains("items go to the dead letters") && !log.contains("draining cut short"), "{log}");
    let verdict = ledger.verdict(dir.path(), &["poison".to_owned()]);
    verdict.assert_clean();
    assert_eq!(verdict.saved, 500);
}

#[test]
fn a_killed_up_leaves_no_process_behind_and_what_it_took_is_counted() {
    let dir = TempDir::new().expect("temp dir");
    let data_dir = format!("--data-dir={}", dir.path().display());
    let args = ["up", &data_dir, "--listen=127.0.0.1:0", "--workers=1", "--savers=1", "--mentions"].map(str::to_owned);
    let mut up = Running::start(&args, &dir.path().join("up.log"));
    let url = wait_for("the pipeline", || {
        let log = std::fs::read_to_string(dir.path().join("up.log")).ok()?;
        let url = log.split_once("Serving on ")?.1.split_whitespace().next()?;
        Some(url.trim_end_matches(['.', ',', ';']).to_owned())
    });
    let client = Client::start(&url, sample_posts(usize::MAX), Load::default());
    client.wait_acknowledged(1_000);
    let family = descendants(up.pid());
    assert!(family.len() >= 4, "{family:?}");
    up.signal(Signal::SIGKILL);
    up.wait("the end of up");
    wait_for("the end of its family", || family.iter().all(|&pid| is_gone(pid)).then_some(()));
    // The kernel told frontend and backend, and they drained to the end.
    let log = std::fs::read_to_string(dir.path().join("up.log")).expect("the log");
    assert!(!log.contains("draining cut short"), "{log}");
    let verdict = client.stop().verdict(dir.path(), &[]);
    verdict.assert_clean();
    assert!(verdict.saved >= 1_000);
}

#[test]
fn a_killed_frontend_takes_nothing_accepted_with_it() {
    let dir = TempDir::new().expect("temp dir");
    let mut pipeline = Pipeline::start(dir.path(), &["--mentions"]);
    let client = Client::start(&pipeline.url, sample_posts(2_000), Load::default());
    client.wait_acknowledged(200);
    pipeline.frontend.signal(Signal::SIGKILL);
    pipeline.frontend.wait("the frontend's end");
    pipeline.restart_frontend();
    client.turn_to(&pipeline.url);
    let ledger = client.finish();
    pipeline.wait_counted();
    pipeline.stop();
    let verdict = ledger.verdict(dir.path(), &[]);
    verdict.assert_clean();
    assert_eq!(verdict.saved, 2_000);
}

#[test]
fn a_second_backend_on_the_same_directory_is_refused_and_disturbs_nobody() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--mentions"]);
    let client = Client::start(&pipeline.url, sample_posts(1_000), Load { threads: 1, ..Load::default() });
    client.wait_acknowledged(100);
    let data_dir = format!("--data-dir={}", dir.path().display());
    let second = crate::harness::copydesk(&["backend", &data_dir, "--queue-listen=none"]);
    assert_eq!(second.status.code(), Some(78));
    let message = String::from_utf8_lossy(&second.stderr);
    assert!(message.contains(&format!("process {}", pipeline.backend.pid())), "it should name the owner: {message}");
    let ledger = client.finish();
    pipeline.wait_counted();
    pipeline.stop();
    ledger.verdict(dir.path(), &[]).assert_clean();
}
