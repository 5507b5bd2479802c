//! The frontend is killed, files are taken away; counters stay exact.

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::checker::{assert_same, expected, stored};
use crate::harness::{Pipeline, copydesk_ok, sample_posts, write_posts};

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
