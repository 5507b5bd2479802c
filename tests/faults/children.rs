//! Workers and savers die, hang, lose memory and wake too late, by their own posts or by somebody's hand.

use std::fs::File;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::checker::Ledger;
use crate::client::{Client, Load};
use crate::harness::{Pipeline, sample_posts, wait_for};

/// A post that does something to the worker that has it.
fn poison(id: &str, what: &str) -> Value {
    json!({"id": id, "publication": "Poison", "content": format!("Kofi Annan spoke. test-engine:{what} He left.")})
}

/// Sends one post, beside those of a client.
fn send(pipeline: &Pipeline, ledger: &Ledger, post: Value) {
    ledger.attempt(std::slice::from_ref(&post));
    let (status, answer) = pipeline.post("application/json", post.to_string().as_bytes()).expect("an answer");
    assert_eq!(status, 202, "{answer}");
    ledger.acknowledge([&post]);
}

/// Sends posts as fast as they are taken.
fn quickly(url: &str, posts: impl Iterator<Item = Value> + Send + 'static) -> Client {
    Client::start(url, posts, Load { batch: 500, ..Load::default() })
}

/// Sends posts until it is stopped, and leaves the machine some time.
fn slowly(url: &str) -> Client {
    Client::start(url, sample_posts(usize::MAX), Load { threads: 1, batch: 10, ..Load::default() })
}

/// Stops a pipeline whose queues are empty and judges it; `reasons` says which posts are dead letters, and a part of the
/// reason of each.
fn judge(pipeline: Pipeline, ledger: &Ledger, reasons: &[(&str, &str)]) {
    pipeline.wait_counted();
    let letters = pipeline.dead_letters();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut letters: Vec<_> = letters.iter().map(|letter| (text(&letter["id"]), text(&letter["reason"]))).collect();
    letters.sort_unstable();
    let mut wanted = reasons.to_vec();
    wanted.sort_unstable();
    let is_wanted =
        |((id, reason), (wanted, part)): (&(String, String), &(&str, &str))| id == wanted && reason.contains(part);
    assert!(letters.len() == wanted.len() && letters.iter().zip(&wanted).all(is_wanted), "{letters:?}");
    let dir = pipeline.dir.clone();
    pipeline.stop();
    let ids: Vec<_> = letters.into_iter().map(|(id, _)| id).collect();
    ledger.verdict(&dir, &ids).assert_clean();
}

/// How often children of a kind were started again.
fn restarts(pipeline: &Pipeline, kind: &str) -> u64 {
    let queue = pipeline.queue().unwrap_or_default();
    queue[kind].as_array().into_iter().flatten().filter_map(|child| child["restarts"].as_u64()).sum()
}

fn counts(pipeline: &Pipeline, queue: &str, what: &str) -> u64 {
    pipeline.queue().and_then(|all| all["queues"][queue][what].as_u64()).unwrap_or(0)
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("the child is there");
}

/// Both children of a kind, as soon as there are two.
fn both(pipeline: &Pipeline, kind: &str) -> [i32; 2] {
    wait_for("both children", || <[i32; 2]>::try_from(pipeline.children(kind)).ok())
}

#[test]
fn a_post_that_kills_its_worker_ends_alone_and_the_24_999_leased_with_it_are_counted_once() {
    let dir = TempDir::new().expect("temp dir");
    // One worker, which hands on nothing before it has 25,000.
    let args = ["--engine=test", "--mentions", "--workers=1", "--flush-interval=1h", "--flush-posts=25000"];
    let pipeline = Pipeline::start(dir.path(), &args);
    let brief = (0..24_999).map(|n| {
        let content = format!("Kofi Annan spoke in Accra, as he did {} times before.", n % 100);
        json!({"id": format!("brief-{n}"), "publication": format!("Daily {}", n % 5), "content": content})
    });
    let ledger = quickly(&pipeline.url, brief).finish();
    wait_for("one worker that holds all", || (counts(&pipeline, "posts", "leased") == 24_999).then_some(()));
    assert_eq!(restarts(&pipeline, "workers"), 0);
    send(&pipeline, &ledger, poison("poison", "abort"));
    wait_for("the dead letter", || (pipeline.queue()?["dead_letters"] == 1).then_some(()));
    pipeline.wait_counted();
    // Once with all, once in a small group, once alone.
    wait_for("three deaths", || (restarts(&pipeline, "workers") == 3).then_some(()));
    assert_eq!(counts(&pipeline, "posts", "settled"), 24_999);
    judge(pipeline, &ledger, &[("poison", "the worker died 3 times")]);
}

#[test]
fn while_posts_kill_their_workers_all_others_are_counted() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--engine=test", "--mentions", "--workers=3"]);
    let client = Client::start(&pipeline.url, sample_posts(usize::MAX), Load::default());
    client.wait_acknowledged(1_000);
    let names: Vec<_> = (0..5).map(|n| format!("poison-{n}")).collect();
    for name in &names {
        send(&pipeline, &client.ledger, poison(name, "abort"));
        client.wait_acknowledged(50);
    }
    wait_for("the first death", || (restarts(&pipeline, "workers") > 0).then_some(()));
    let settled = counts(&pipeline, "posts", "settled");
    wait_for("all dead letters", || (pipeline.queue()?["dead_letters"] == 5).then_some(()));
    let meanwhile = counts(&pipeline, "posts", "settled") - settled;
    assert!(meanwhile > 500, "{meanwhile} others were counted meanwhile");
    let ledger = client.stop();
    let reasons: Vec<_> = names.iter().map(|name| (name.as_str(), "the worker died 3 times")).collect();
    judge(pipeline, &ledger, &reasons);
}

#[test]
fn a_post_that_makes_the_engine_panic_is_given_up_at_once_and_costs_no_worker() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--engine=test", "--mentions"]);
    let posts = sample_posts(300).enumerate().flat_map(|(n, post)| {
        let poison = (n % 100 == 50).then(|| poison(&format!("poison-{n}"), "panic"));
        [Some(post), poison].into_iter().flatten()
    });
    let ledger = quickly(&pipeline.url, posts).finish();
    pipeline.wait_counted();
    assert_eq!(restarts(&pipeline, "workers"), 0);
    let reason = "the engine panicked";
    judge(pipeline, &ledger, &[("poison-50", reason), ("poison-150", reason), ("poison-250", reason)]);
}

#[test]
fn a_post_that_a_worker_hangs_on_is_given_up_and_blocks_nobody() {
    let dir = TempDir::new().expect("temp dir");
    let args = ["--engine=test", "--mentions", "--stuck-after=2s", "--max-deliveries=2"];
    let pipeline = Pipeline::start(dir.path(), &args);
    let client = slowly(&pipeline.url);
    send(&pipeline, &client.ledger, poison("poison", "hang"));
    client.wait_acknowledged(200);
    wait_for("the dead letter", || (pipeline.queue()?["dead_letters"] == 1).then_some(()));
    wait_for("two deaths", || (restarts(&pipeline, "workers") == 2).then_some(()));
    assert!(pipeline.log().contains("it has not reported for too long"));
    let ledger = client.stop();
    judge(pipeline, &ledger, &[("poison", "the worker died 2 times")]);
}

#[test]
fn a_post_that_takes_all_memory_is_given_up_and_takes_no_other_process_with_it() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--engine=test", "--mentions"]);
    // Children started later have the limit of the backend.
    for pid in pipeline.children("workers").into_iter().chain([pipeline.backend.pid()]) {
        let limit = ["--pid", &pid.to_string(), "--data=600000000"];
        match Command::new("prlimit").args(limit).status() {
            Ok(status) => assert!(status.success(), "prlimit {limit:?}"),
            Err(error) => return println!("skipped: no prlimit ({error})"),
        }
    }
    let ledger = quickly(&pipeline.url, sample_posts(500)).finish();
    send(&pipeline, &ledger, poison("poison", "allocate"));
    wait_for("the dead letter", || (pipeline.queue()?["dead_letters"] == 1).then_some(()));
    assert!(pipeline.log().contains("memory allocation of"), "it was not the limit that ended the worker");
    judge(pipeline, &ledger, &[("poison", "the worker died 3 times")]);
}

/// Kills children of a kind one after another, each while it holds leases: they are halted first, so that what is posted
/// then is leased to them and stays so, and one of them never goes on.
fn kill_with_leases(kind: &str, queue: &str, times: usize) {
    const POSTS: usize = 2_000;
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--mentions", "--flush-interval=50ms", "--max-deliveries=100"]);
    let ledger = Ledger::default();
    for round in 0..times {
        let children = both(&pipeline, kind);
        children.iter().for_each(|&pid| signal(pid, Signal::SIGSTOP));
        let posts: Vec<_> = sample_posts(times * POSTS).skip(round * POSTS).take(POSTS).collect();
        ledger.attempt(&posts);
        let body: String = posts.iter().map(|post| format!("{post}\n")).collect();
        let (status, answer) = pipeline.post("application/x-ndjson", body.as_bytes()).expect("an answer");
        assert_eq!((status, &answer["accepted"]), (202, &json!(POSTS)), "{answer}");
        ledger.acknowledge(&posts);
        // Whoever waited for something was given it.
        wait_for("leases", || (counts(&pipeline, queue, "leased") > 0).then_some(()));
        signal(children[round % 2], Signal::SIGKILL);
        signal(children[(round + 1) % 2], Signal::SIGCONT);
        wait_for("the end", || (!pipeline.children(kind).contains(&children[round % 2])).then_some(()));
    }
    judge(pipeline, &ledger, &[]);
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
fn a_worker_that_wakes_after_its_lease_settles_nothing() {
    let dir = TempDir::new().expect("temp dir");
    // Long enough that a worker can be halted between its work and its settlement.
    let pipeline = Pipeline::start(dir.path(), &["--mentions", "--lease-timeout=2s", "--flush-interval=40s"]);
    let ledger = quickly(&pipeline.url, sample_posts(2_000)).finish();
    let sleeper = wait_for("a worker that has worked", || {
        let workers = pipeline.queue()?["workers"].as_array()?.clone();
        let worker = workers.iter().find(|worker| worker["items"].as_u64() > Some(0))?;
        i32::try_from(worker["pid"].as_i64()?).ok()
    });
    assert!(counts(&pipeline, "posts", "settled") == 0, "it has settled already");
    signal(sleeper, Signal::SIGSTOP);
    // The other one settles its own, and then those of the sleeper, too.
    pipeline.wait_counted();
    assert!(pipeline.log().contains("fell silent") && !pipeline.log().contains("leases lost;"));
    signal(sleeper, Signal::SIGCONT);
    wait_for("the late settlement", || pipeline.log().contains("leases lost;").then_some(()));
    assert_eq!(restarts(&pipeline, "workers"), 0, "nobody had to be replaced");
    judge(pipeline, &ledger, &[]);
}

#[test]
fn a_saver_that_commits_after_its_lease_counts_nothing_twice() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--mentions", "--lease-timeout=2s"]);
    let store = Connection::open(dir.path().join("copydesk.db")).expect("the store");
    store.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let ledger = quickly(&pipeline.url, sample_posts(2_000)).finish();
    // Whoever has the turn is in the middle of its work, and waits for the lock above.
    let turn = || File::open(dir.path().join("copydesk.db-lock")).expect("the savers' lock file").try_lock();
    wait_for("a saver that has its turn", || turn().is_err().then_some(()));
    let savers = both(&pipeline, "savers");
    savers.iter().for_each(|&pid| signal(pid, Signal::SIGSTOP));
    wait_for("lost leases", || {
        (pipeline.log().contains("fell silent") && counts(&pipeline, "results", "leased") == 0).then_some(())
    });
    assert!(!pipeline.log().contains("batch was applied before"));
    store.execute_batch("ROLLBACK").expect("no lock");
    savers.iter().for_each(|&pid| signal(pid, Signal::SIGCONT));
    wait_for("a batch that comes again", || pipeline.log().contains("batch was applied before").then_some(()));
    assert_eq!(restarts(&pipeline, "savers"), 0, "nobody had to be replaced");
    judge(pipeline, &ledger, &[]);
}

#[test]
fn a_child_that_dies_again_and_again_is_reported_and_the_others_go_on() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--mentions", "--max-deliveries=100"]);
    let client = slowly(&pipeline.url);
    let worker_1 = || pipeline.queue().map(|queue| queue["workers"][0].clone()).unwrap_or_default();
    for deaths in 1..=5 {
        let pid = wait_for("worker 1", || {
            let child = worker_1();
            i32::try_from(child["pid"].as_i64()?).ok().filter(|pid| *pid > 0 && child["restarts"] == deaths - 1)
        });
        assert_ne!(worker_1()["state"], "degraded", "after {} deaths", deaths - 1);
        signal(pid, Signal::SIGKILL);
        wait_for("its end", || (worker_1()["restarts"] == deaths).then_some(()));
    }
    let (status, answer) =
        wait_for("a degraded pipeline", || pipeline.get("/readyz").filter(|(status, _)| *status != 200));
    assert_eq!(status, 503, "{answer}");
    assert!(
        answer["message"].as_str().is_some_and(|message| message.contains("worker 1 ends again and again")),
        "{answer}"
    );
    assert_eq!(pipeline.queue().expect("an answer")["degraded"], json!(["worker 1"]));
    let settled = counts(&pipeline, "posts", "settled");
    wait_for("more counted posts", || (counts(&pipeline, "posts", "settled") > settled + 500).then_some(()));
    let ledger = client.stop();
    judge(pipeline, &ledger, &[]);
}

#[test]
fn the_test_engine_is_there_for_tests_alone() {
    // What `cargo build` makes has dependencies of the kind "normal" only.
    let tree = ["tree", "--offline", "--edges=normal,build,features", "--package=copydesk", "--prefix=none"];
    let manifest = format!("--manifest-path={}", crate::harness::repository("Cargo.toml"));
    let output = Command::new(env!("CARGO")).args(tree).arg(manifest).output().expect("cargo");
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && tree.contains("entities"), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!tree.contains("test-engine"), "{tree}");
}
