//! `copydesk check` finds everything at once, says what a start would say, and touches nothing.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{COPYDESK, Pipeline, copydesk, copydesk_ok, sample_posts, write_posts};

/// Exit code, and level and message by code.
type Checked = (Option<i32>, Vec<(String, String, String)>);

/// No address is said to be taken that another test has.
const FREE: [&str; 2] = ["--listen=127.0.0.1:0", "--queue-listen=none"];

fn check(dir: &Path, args: &[&str]) -> Checked {
    let data_dir = format!("--data-dir={}", dir.display());
    let output = copydesk(&[&["check", "--json", &data_dir], &FREE[..], args].concat());
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).expect("a JSON array");
    let found = found.iter().map(|each| (text(&each["code"]), text(&each["level"]), text(&each["message"])));
    (output.status.code(), found.collect())
}

fn message<'a>((_, found): &'a Checked, level: &str, code: &str) -> &'a str {
    let is_meant = |each: &&(String, String, String)| (each.0.as_str(), each.1.as_str()) == (code, level);
    found.iter().find(is_meant).map_or_else(|| unreachable!("no {level} {code} in {found:?}"), |each| each.2.as_str())
}

fn codes<'a>((_, found): &'a Checked, level: &str) -> Vec<&'a str> {
    found.iter().filter(|each| each.1 == level).map(|each| each.0.as_str()).collect()
}

/// Every file below a directory, byte by byte.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        match entry.metadata().expect("metadata") {
            metadata if metadata.is_dir() => all.extend(files(&entry.path())),
            metadata if metadata.is_file() => {
                all.insert(entry.path().display().to_string(), std::fs::read(entry.path()).expect("a file"));
            }
            _ => {}
        }
    }
    all
}

/// A directory with counted posts, and the newest segment of its log.
fn used() -> (TempDir, std::path::PathBuf) {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &[]);
    let file = write_posts(&dir.path().join("posts.ndjson"), sample_posts(200));
    copydesk_ok(&["load", &file, "--to", &pipeline.url, "--json"]);
    pipeline.wait_counted();
    pipeline.stop();
    let log = std::fs::read_dir(dir.path().join("queue")).expect("a log").flatten().map(|entry| entry.path());
    let newest = log.filter(|path| path.extension().is_some_and(|is| is == "log")).max().expect("a segment");
    (dir, newest)
}

#[test]
fn everything_wrong_is_said_at_once_and_a_start_says_the_same() {
    let dir = TempDir::new().expect("temp dir");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "short").expect("write");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o644)).expect("chmod");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("an address");
    let data_dir = format!("--data-dir={}", dir.path().display());
    let settings = [
        data_dir.as_str(),
        "--workers=many",
        "--flush-interval=5",
        "--posts-bytes-max=8G",
        "--engine=nonsense",
        "--store=postgres",
        &format!("--queue-secret-file={}", secret.display()),
        &format!("--queue-listen=tcp://{taken}"),
    ];
    let expected = [
        ("wrong_value", "--workers (or COPYDESK_WORKERS) \"many\" can't be used: give a whole number from 0 to 512"),
        ("wrong_value", "250ms, 2s, 5m or 1h"),
        ("wrong_value", "256MB or 8GiB"),
        ("secret_exposed", "chmod o-rwx"),
        ("secret_unusable", "openssl rand"),
        ("unknown_engine", "the engines are: desk"),
        ("unknown_store", "sqlite:PATH"),
        ("queue_listen_in_use", "choose another port"),
    ];
    let output = copydesk(&[&["check", "--json", "--listen=0.0.0.0:0", "--max-deliveries=0"], &settings[..]].concat());
    assert_eq!(output.status.code(), Some(78));
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).expect("a JSON array");
    let has = |code: &str, hint: &str| {
        let is_meant = |each: &&Value| each["code"] == code && each["level"] == "problem";
        found.iter().filter(is_meant).any(|each| each["message"].as_str().is_some_and(|text| text.contains(hint)))
    };
    for (code, hint) in expected.iter().chain(&[("http_listen_exposed", "proxy"), ("wrong_value", "1 to 100")]) {
        assert!(has(code, hint), "no {code} with {hint:?} in {found:?}");
    }
    assert_eq!(found.iter().filter(|each| each["level"] == "problem").count(), 10, "{found:?}");
    assert_eq!(files(dir.path()).len(), 1, "nothing is made");

    let start = copydesk(&[&["backend"], &settings[..]].concat());
    assert_eq!(start.status.code(), Some(78));
    let text = String::from_utf8_lossy(&start.stderr);
    for (_, hint) in expected {
        assert!(text.contains(hint), "{hint:?} in {text}");
    }
    let start = copydesk(&["frontend", &data_dir, "--listen=0.0.0.0:0", "--store=postgres", "--threads=0"]);
    assert_eq!(start.status.code(), Some(78));
    let text = String::from_utf8_lossy(&start.stderr);
    for hint in ["proxy", "sqlite:PATH", "COPYDESK_FRONTEND_THREADS", "3 problems"] {
        assert!(text.contains(hint), "{hint:?} in {text}");
    }
}

#[test]
fn settings_from_the_environment_are_checked_as_well() {
    let dir = TempDir::new().expect("temp dir");
    let mut command = std::process::Command::new(COPYDESK);
    command.args(["check", "--json"]).env("COPYDESK_DATA_DIR", dir.path()).env("COPYDESK_LISTEN", "127.0.0.1:0");
    command.env("COPYDESK_QUEUE_LISTEN", "none").env("COPYDESK_SAVERS", "-1").env("COPYDESK_MENTIONS", "perhaps");
    let output = command.env("COPYDESK_QUEUE", "somewhere").output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(78));
    let found = String::from_utf8_lossy(&output.stdout);
    for variable in ["COPYDESK_SAVERS", "COPYDESK_MENTIONS", "COPYDESK_QUEUE"] {
        assert!(found.contains(variable), "{variable} in {found}");
    }
}

#[test]
fn a_directory_that_can_be_used_passes_and_nothing_in_it_changes() {
    let empty = TempDir::new().expect("temp dir");
    let fresh = empty.path().join("not/yet");
    let found = check(&fresh, &[]);
    assert_eq!((found.0, codes(&found, "problem"), codes(&found, "warning")), (Some(0), vec![], vec![]), "{found:?}");
    assert!(!empty.path().join("not").exists());

    let (dir, _) = used();
    let before = files(dir.path());
    let found = check(dir.path(), &["--workers=0"]);
    assert_eq!((found.0, codes(&found, "problem")), (Some(0), vec![]), "{found:?}");
    assert!(message(&found, "info", "store_read").contains("200 articles of 5 publications"));
    assert!(message(&found, "info", "log_read").contains("0 items wait"));
    assert!(message(&found, "warning", "nobody_works").contains("only queued"));
    assert!(before == files(dir.path()), "a look changed something");
}

#[test]
fn a_running_copydesk_is_checked_beside_its_work() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &[]);
    let file = write_posts(&dir.path().join("posts.ndjson"), sample_posts(5_000));
    let listen = format!("--listen={}", pipeline.url.trim_start_matches("http://"));
    std::thread::scope(|scope| {
        let load = scope.spawn(|| copydesk_ok(&["load", &file, "--to", &pipeline.url, "--json"]));
        let data_dir = format!("--data-dir={}", dir.path().display());
        for round in 0.. {
            let is_last = load.is_finished();
            let output = copydesk(&["check", &data_dir, &listen]);
            let text = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "round {round}: {text}");
            assert!(text.contains(&format!("in use by process {}", pipeline.backend.pid())), "{text}");
            assert!(text.contains("a frontend of Copydesk serves"), "{text}");
            assert!(!text.contains("log_torn_tail"), "{text}");
            if is_last {
                break;
            }
        }
    });
    pipeline.wait_counted();
    pipeline.stop();
}

#[test]
fn a_torn_tail_is_a_warning_and_damage_a_problem_with_its_place() {
    let (dir, segment) = used();
    let whole = std::fs::read(&segment).expect("a segment");
    std::fs::write(&segment, [&whole[..], b"a write that broke off"].concat()).expect("write");
    let before = files(dir.path());
    let found = check(dir.path(), &[]);
    assert_eq!((found.0, codes(&found, "warning")), (Some(0), vec!["log_torn_tail"]), "{found:?}");
    assert!(message(&found, "warning", "log_torn_tail").contains("22 bytes"));
    assert!(before == files(dir.path()), "a look changed something");

    // The last byte of a segment is in the second copy of a command's fields.
    let mut damaged = whole.clone();
    *damaged.last_mut().expect("a byte") ^= 1;
    std::fs::write(&segment, &damaged).expect("write");
    let found = check(dir.path(), &[]);
    assert_eq!((found.0, codes(&found, "warning")), (Some(0), vec!["log_mendable"]), "{found:?}");
    assert!(std::fs::read(&segment).expect("read") == damaged, "a look changed something");

    let mut damaged = whole.clone();
    let at = damaged.len() / 2;
    damaged[at..at + 64].fill(0xa5);
    std::fs::write(&segment, damaged).expect("write");
    let found = check(dir.path(), &[]);
    assert_eq!(found.0, Some(78), "{found:?}");
    let text = message(&found, "problem", "log_damaged");
    assert!(text.contains("bytes at") && text.contains(".log") && text.contains("backup"), "{text}");

    std::fs::write(&segment, &whole).expect("write");
    let store = dir.path().join("copydesk.db");
    std::fs::write(&store, "no database at all, but long enough to be one".repeat(100)).expect("write");
    let found = check(dir.path(), &[]);
    assert_eq!(found.0, Some(78), "{found:?}");
    assert!(message(&found, "problem", "store_unusable").contains("not a SQLite database"));
}

#[test]
fn a_place_for_data_that_is_none_is_found_before_the_start() {
    let dir = TempDir::new().expect("temp dir");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("write");
    for place in [file.clone(), file.join("below")] {
        let found = check(&place, &[]);
        assert_eq!(found.0, Some(78), "{found:?}");
        assert!(message(&found, "problem", "data_dir_unusable").contains("--data-dir"));
    }
    let found = check(dir.path(), &["--store=sqlite:/nowhere/at/all.db"]);
    assert!(message(&found, "problem", "store_unusable").contains("make it"), "{found:?}");
    let long = dir.path().join("long".repeat(30));
    let found = check(&long, &[]);
    assert!(message(&found, "problem", "queue_listen_unusable").contains("107 bytes"), "{found:?}");
}
