//! What nobody could process is found, read, retried and dropped, by command and over HTTP, and nothing is counted twice.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use queue::{Address, Client, ClientSettings, Item, POSTS, Queue};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::checker::{assert_same, expected, stored};
use crate::harness::{Pipeline, Running, agent, answer, copydesk, copydesk_ok, sample_posts, wait_for, write_posts};

/// `copydesk dead-letters ACTION` on a data directory, which must succeed.
fn letters(dir: &Path, action: &[&str]) -> String {
    let data_dir = format!("--data-dir={}", dir.display());
    copydesk_ok(&[&["dead-letters"], action, &[&data_dir]].concat())
}

fn list(dir: &Path) -> Vec<Value> {
    serde_json::from_str(&letters(dir, &["list", "--json", "--limit=0"])).expect("a JSON array")
}

fn wait_dead(pipeline: &Pipeline, count: u64) {
    wait_for("dead letters", || (pipeline.queue()?["dead_letters"] == count).then_some(()));
}

/// Puts what is no post, past the frontend, which would have refused it.
fn put(dir: &Path, items: &[(&str, &[u8])]) {
    let address = Address::Unix(dir.join("queue.sock"));
    let item = |(id, payload): &(&str, &[u8])| Item { id: (*id).to_owned(), payload: payload.to_vec().into() };
    let items = items.iter().map(item).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::connect(ClientSettings { address, ..Default::default() }).await.expect("a connection");
        client.put(POSTS, items).await.expect("room");
    });
}

/// Healthy posts that died with their worker: `--max-deliveries=1` blames all that it held.
fn kill_with(pipeline: &Pipeline, file: &str, posts: u64) {
    let worker = wait_for("the worker", || pipeline.children("workers").first().copied());
    let signal = |signal| kill(Pid::from_raw(worker), signal).expect("the worker is there");
    signal(Signal::SIGSTOP);
    copydesk_ok(&["load", file, "--to", &pipeline.url, "--json"]);
    wait_for("leases", || (pipeline.queue()?["queues"]["posts"]["leased"] == posts).then_some(()));
    signal(Signal::SIGKILL);
    wait_dead(pipeline, posts);
}

#[test]
fn a_retried_post_that_is_healthy_is_counted_once() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--workers=1", "--max-deliveries=1"]);
    let file = write_posts(&dir.path().join("posts.ndjson"), sample_posts(12));
    kill_with(&pipeline, &file, 12);
    let found = list(dir.path());
    assert_eq!(found.len(), 12);
    assert_eq!((&found[3]["id"], &found[3]["queue"]), (&json!("post-3"), &json!("posts")));
    assert!(found[3]["reason"].as_str().expect("a reason").contains("died once"), "{found:?}");
    // One by one over HTTP, one by one by command, and the rest at once.
    let name = |at: usize| found[at]["letter"].as_str().expect("a name").to_owned();
    let retry = agent().post(format!("{}/v1/dead-letters/{}/retry", pipeline.url, name(0))).send_empty();
    assert_eq!(answer(retry), Some((200, json!({"letter": name(0), "outcome": "retried"}))));
    assert_eq!(letters(dir.path(), &["retry", &name(1), &name(2)]), "2 dead letters retried\n");
    assert_eq!(
        letters(dir.path(), &["retry", "--all", "--json", "--reason=no such"]),
        "{\"missing\":[],\"retried\":0}\n"
    );
    assert_eq!(letters(dir.path(), &["retry", "--all", "--json"]), "{\"missing\":[],\"retried\":9}\n");
    pipeline.wait_counted();
    assert!(list(dir.path()).is_empty());
    let missing = copydesk(&["dead-letters", "retry", &name(1), &format!("--data-dir={}", dir.path().display())]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("dead-letters list"));
    pipeline.stop();
    assert_same(&stored(dir.path()), &expected(&file));
}

#[test]
fn a_retried_poison_comes_back_and_a_dropped_one_stays_away() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &[]);
    put(dir.path(), &[("broken", b"{\"publication\": 1}"), ("bytes", b"\x1b[2J\xff\xfe")]);
    wait_dead(&pipeline, 2);
    let before = list(dir.path());
    let name = before[0]["letter"].as_str().expect("a name").to_owned();
    assert_eq!(before[0]["id"], "broken");
    assert!(before[0]["reason"].as_str().expect("a reason").contains("not a post"), "{before:?}");

    // Shown in each form; nothing that a stranger sent commands the terminal.
    let shown: Value = serde_json::from_str(&letters(dir.path(), &["show", "--json", &name])).expect("JSON");
    assert_eq!((&shown["payload"], &shown["bytes"]), (&json!({"publication": 1}), &json!(18)));
    assert_eq!(pipeline.get(&format!("/v1/dead-letters/{name}")), Some((200, shown)));
    assert_eq!(letters(dir.path(), &["show", "--payload", &name]), "{\"publication\": 1}");
    let bytes = before[1]["letter"].as_str().expect("a name");
    let text = letters(dir.path(), &["show", bytes]);
    assert!(text.contains("bytes") && !text.contains('\u{1b}'), "{text:?}");
    let shown: Value = serde_json::from_str(&letters(dir.path(), &["show", "--json", bytes])).expect("JSON");
    assert_eq!(shown["payload_base64"], "G1sySv/+");

    letters(dir.path(), &["retry", &name]);
    let died = |letters: &[Value]| {
        letters.iter().find(|letter| letter["letter"] == name).map(|letter| letter["died_at"].clone())
    };
    wait_for("the poison to come back", || died(&list(dir.path())).filter(|time| Some(time) != died(&before).as_ref()));

    assert_eq!(letters(dir.path(), &["drop", "--all", "--only=posts"]), "2 dead letters dropped\n");
    assert_eq!(pipeline.get("/v1/dead-letters"), Some((200, json!({"dead_letters": [], "next": null}))));
    // Whoever runs the same load again does not bring it back.
    let again = br#"{"id": "broken", "publication": "p", "content": "Kofi Annan spoke."}"#;
    let (status, answer) = pipeline.post("application/json", again).expect("an answer");
    assert_eq!((status, &answer["duplicates"]), (202, &json!(1)));
    pipeline.stop();
}

#[test]
fn a_retry_while_the_pipeline_drains_is_refused_and_the_letter_kept() {
    let dir = TempDir::new().expect("temp dir");
    let mut pipeline = Pipeline::start(dir.path(), &["--workers=1"]);
    put(dir.path(), &[("broken", b"no post")]);
    wait_dead(&pipeline, 1);
    let name = list(dir.path())[0]["letter"].as_str().expect("a name").to_owned();
    // A worker that is halted with a post in hand keeps the drain from ending.
    let worker = Pid::from_raw(wait_for("the worker", || pipeline.children("workers").first().copied()));
    kill(worker, Signal::SIGSTOP).expect("the worker is there");
    let post = br#"{"publication":"p","content":"Kofi Annan spoke."}"#;
    assert_eq!(pipeline.post("application/json", post).expect("an answer").0, 202);
    wait_for("a lease", || (pipeline.queue()?["queues"]["posts"]["leased"] == 1).then_some(()));
    pipeline.backend.signal(Signal::SIGTERM);
    wait_for("the drain", || (pipeline.queue()?["phase"] == "draining_posts").then_some(()));

    let retry = agent().post(format!("{}/v1/dead-letters/{name}/retry", pipeline.url)).send_empty();
    let (status, body) = answer(retry).expect("an answer");
    assert_eq!((status, &body["code"]), (503, &json!("draining")));
    let retry = copydesk(&["dead-letters", "retry", &name, &format!("--data-dir={}", dir.path().display())]);
    let message = String::from_utf8_lossy(&retry.stderr).into_owned();
    assert_eq!(retry.status.code(), Some(1));
    assert!(message.contains("draining") && message.contains("started again"), "{message}");

    kill(worker, Signal::SIGCONT).expect("the worker is there");
    assert!(pipeline.backend.wait("the backend's end").success());
    pipeline.restart_backend();
    assert_eq!(list(dir.path()).len(), 1);
    pipeline.stop();
}

#[test]
fn without_a_backend_or_its_secret_it_is_said_what_to_do() {
    let dir = TempDir::new().expect("temp dir");
    let data_dir = format!("--data-dir={}", dir.path().display());
    let away = copydesk(&["dead-letters", "list", &data_dir]);
    assert_eq!(away.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&away.stderr).contains("see that `copydesk backend` runs"));

    let secret = dir.path().join("secret");
    std::fs::write(&secret, "a secret that nobody knows").expect("write");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
    let secret = format!("--queue-secret-file={}", secret.display());
    let args = ["backend", &data_dir, "--queue-listen=none", &secret, "--workers=0", "--savers=0"];
    let _backend = Running::start(&args.map(str::to_owned), &dir.path().join("backend.log"));
    let listed = wait_for("the backend", || {
        let listed = copydesk(&["dead-letters", "list", &data_dir, &secret]);
        listed.status.success().then_some(listed)
    });
    assert!(String::from_utf8_lossy(&listed.stderr).contains("no dead letters"));
    let refused = copydesk(&["dead-letters", "list", &data_dir]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("secret file"));
}
