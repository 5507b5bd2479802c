//! Bad input and wrong settings are refused clearly, and harm nobody else.

use std::io::Write;
use std::net::TcpStream;

use serde_json::json;
use tempfile::TempDir;

use crate::checker::{articles, stored};
use crate::harness::{Pipeline, copydesk, repository};

#[test]
fn each_bad_item_gets_its_code_and_the_good_ones_are_counted() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &[]);
    let megabyte = "Angela Merkel met Barack Obama. ".repeat(32_768);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut body = Vec::new();
    let lines: [(&[u8], &str); 9] = [
        (br#"{"publication":"p","content":"Kofi Annan spoke."}"#, ""),
        (b"not json at all", "bad_json"),
        (br#"{"publication":"","content":"x"}"#, "empty_field"),
        (br#"{"publication":"p"}"#, "missing_field"),
        (b"{\"publication\":\"p\",\"content\":\"\xff\xfe\"}", "bad_utf8"),
        (br#"{"publication":"p","content":"a\u0000b"}"#, "nul_byte"),
        (deep.as_bytes(), "not_an_object"),
        (br#"{"publication":"p","content":7}"#, "bad_field"),
        (b"{\"publication\":\"p\",\"content\":\"", "bad_json"),
    ];
    for (line, _) in lines {
        body.extend_from_slice(line);
        body.push(b'\n');
    }
    body.extend_from_slice(json!({"publication": "p", "content": megabyte}).to_string().as_bytes());
    let (status, answer) = pipeline.post("application/x-ndjson", &body).expect("an answer");
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["accepted"], 2);
    let rejected = answer["rejected"].as_array().expect("a list");
    let wanted: Vec<_> = lines.iter().enumerate().filter(|(_, (_, code))| !code.is_empty()).collect();
    assert_eq!(rejected.len(), wanted.len(), "{answer}");
    for (item, (index, (_, code))) in rejected.iter().zip(wanted) {
        assert_eq!(item["index"], index);
        assert_eq!(item["code"], *code, "{item}");
        assert!(item["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    pipeline.wait_counted();
    pipeline.stop();
    assert_eq!(articles(&stored(dir.path())), 2);
}

#[test]
fn garbage_and_silence_on_the_port_disturb_nobody() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &[]);
    let address = pipeline.url.trim_start_matches("http://").to_owned();
    let mut half = TcpStream::connect(&address).expect("connect");
    half.write_all(b"POST /v1/posts HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{\"publ").expect("write");
    let mut garbage = TcpStream::connect(&address).expect("connect");
    garbage.write_all(&[0xff; 4096]).expect("write");
    let post = br#"{"publication":"p","content":"Kofi Annan spoke."}"#;
    for _ in 0..50 {
        assert_eq!(pipeline.post("application/json", post).expect("an answer").0, 202);
    }
    pipeline.wait_counted();
    drop(half);
    pipeline.stop();
    assert_eq!(articles(&stored(dir.path())), 50);
}

#[test]
fn wrong_usage_exits_2_and_wrong_settings_78_with_the_next_thing_to_try() {
    let dir = TempDir::new().expect("temp dir");
    let data_dir = format!("--data-dir={}", dir.path().display());
    let examples = repository("examples/articles.ndjson");
    let cases: [(&[&str], i32, &str); 7] = [
        (&["nonsense"], 2, "--help"),
        (&["up", "/nowhere.ndjson"], 2, "give the path"),
        (&["backend", &data_dir, "--queue-listen=tcp://0.0.0.0:0"], 78, "--queue-secret-file"),
        (&["frontend", &data_dir, "--listen=0.0.0.0:0", "--queue=unix:x"], 78, "127.0.0.1"),
        (&["backend", &data_dir, "--engine=nonsense"], 78, "desk"),
        (&["backend", &data_dir, "--store=nonsense"], 78, "sqlite"),
        (&["extract", &examples, "--model=/nowhere.bin"], 78, "/nowhere.bin"),
    ];
    for (args, code, hint) in cases {
        let output = copydesk(args);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
        assert!(message.contains(hint), "{args:?} should mention {hint:?}: {message}");
    }
}

#[test]
fn a_model_is_never_written_over_what_it_is_made_from() {
    let dir = TempDir::new().expect("temp dir");
    let annotated = dir.path().join("annotated.tsv");
    let text = "Kofi\tB-PER\nAnnan\tE-PER\nspoke\tO\n";
    std::fs::write(&annotated, text).expect("write");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &link).expect("link");
    let path = annotated.display().to_string();
    for out in [&annotated, &link, &dir.path().to_path_buf()] {
        let output = copydesk(&["train", "--train", &path, "--dev", &path, "--out", &out.display().to_string()]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("give another path"), "{message}");
    }
    assert_eq!(std::fs::read_to_string(&annotated).expect("read"), text);
}
