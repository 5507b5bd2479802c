//! What becomes of posts when everything works.

use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::support::{Client, Edge, article, head};

/// Compresses as one gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    compress(async_compression::tokio::write::GzipEncoder::new(Vec::new()), bytes, |encoder| encoder.into_inner())
}

/// Compresses as one zstd frame.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress(async_compression::tokio::write::ZstdEncoder::new(Vec::new()), bytes, |encoder| encoder.into_inner())
}

fn compress<E: AsyncWriteExt + Unpin>(mut encoder: E, bytes: &[u8], inner: impl FnOnce(E) -> Vec<u8>) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async move {
        encoder.write_all(bytes).await.expect("memory takes everything");
        encoder.shutdown().await.expect("memory takes everything");
        inner(encoder)
    })
}

const MIXED: &[u8] = b"{\"id\":\"a\",\"publication\":\"P\",\"content\":\"one\"}\n\
    \n\
    nonsense\r\n\
    {\"id\":\"a\",\"publication\":\"P\",\"content\":\"one\"}\r\n\
    {\"id\":\"c\",\"publication\":\" \",\"content\":\"x\"}\n\
    \xff\xfe\n\
    {\"id\":\"too-large-for-the-queue\",\"publication\":\"P\",\"content\":\"x\"}\n\
    {\"publication\":\"P\",\"content\":\"last, without a line break\"}";

#[test]
fn every_line_of_a_mixed_body_gets_its_answer() {
    let bodies = [("identity", MIXED.to_vec()), ("gzip", gzip(MIXED)), ("zstd", zstd(MIXED))];
    for (encoding, body) in bodies {
        let edge = Edge::start();
        let headers = [("content-type", "application/x-ndjson; charset=utf-8"), ("content-encoding", encoding)];
        let reply = edge.post_with(&headers, body);
        assert_eq!(reply.status, 202, "{encoding}: {reply:?}");
        let rejected = vec![(1, "bad_json"), (3, "empty_field"), (4, "bad_utf8"), (5, "post_too_long")];
        assert_eq!(reply.outcome(), (2, 1, rejected), "{encoding}");
        let ids: Vec<_> = reply.json["rejected"].as_array().expect("a list").iter().map(|item| &item["id"]).collect();
        assert_eq!(ids, [&Value::Null, &"c".into(), &Value::Null, &"too-large-for-the-queue".into()]);
        let stored = edge.queue.with(|state| state.items.clone());
        assert_eq!(stored[0], ("a".into(), MIXED.split(|byte| *byte == b'\n').next().expect("a line").to_vec().into()));
        assert!(stored[1].0.len() == 32 && stored[1].1.ends_with(b"line break\"}"), "{stored:?}");
    }
}

#[test]
fn an_object_and_an_array_are_posts_too_and_the_queue_gets_their_own_bytes() {
    let edge = Edge::start();
    let object = r#" { "publication" : "P" , "content" : "\u0041" , "unknown" : [ 1 ] } "#;
    let reply = edge.post("application/json", object);
    assert_eq!((reply.status, reply.outcome()), (202, (1, 0, vec![])));
    let array = format!("[{}, 5, {} ]", article("one"), article("two"));
    let reply = edge.post_with(&[], array);
    assert_eq!((reply.status, reply.outcome()), (202, (2, 0, vec![(1, "not_an_object")])));
    let stored = edge.queue.with(|state| state.items.iter().map(|(_, bytes)| bytes.to_vec()).collect::<Vec<_>>());
    assert_eq!(stored, [object.trim().as_bytes(), article("one").as_bytes(), article("two").as_bytes()]);
    let reply = edge.post("application/json", "[]");
    assert_eq!((reply.status, reply.outcome()), (202, (0, 0, vec![])));
}

#[test]
fn a_body_of_several_gzip_members_is_read_to_its_end() {
    let edge = Edge::start();
    let body = [gzip(format!("{}\n", article("one")).as_bytes()), gzip(article("two").as_bytes())].concat();
    let headers = [("content-type", "application/x-ndjson"), ("content-encoding", "gzip")];
    assert_eq!(edge.post_with(&headers, body).outcome(), (2, 0, vec![]));
}

#[test]
fn a_large_body_is_stored_once_and_whole() {
    let edge = Edge::start();
    let line = |number: usize| {
        format!(r#"{{"id":"{number}","publication":"P","content":"{}"}}"#, "x".repeat(number % 7_000 + 1))
    };
    let lines: Vec<_> = (0..10_000).map(line).collect();
    let reply = edge.post("application/x-ndjson", lines.join("\n"));
    assert_eq!((reply.status, reply.outcome()), (202, (10_000, 0, vec![])));
    let mut stored = edge.queue.with(|state| state.items.clone());
    stored.sort_by_key(|(id, _)| id.parse::<usize>().expect("a number"));
    assert!(stored.iter().map(|(_, bytes)| &bytes[..]).eq(lines.iter().map(String::as_bytes)));
    let puts = edge.queue.with(|state| state.puts.clone());
    assert!(puts.iter().all(|items| *items <= 256) && puts.len() < 100, "{puts:?}");
}

#[test]
fn single_posts_are_merged() {
    const CLIENTS: usize = 100;
    let edge = Edge::start();
    edge.queue.with(|state| state.put_takes = Duration::from_millis(50));
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let edge = &edge;
            scope.spawn(move || {
                // Every tenth repeats an id, and a few are no posts: each client gets its own answer.
                let body = format!(r#"{{"id":"{}","publication":"P","content":"x"}}"#, number / 10 * 10);
                let reply = edge.post("application/json", if number % 10 == 1 { "{}" } else { &body });
                let stored = reply.json["accepted"].as_u64().zip(reply.json["duplicates"].as_u64());
                let expected: &[_] = if number % 10 == 1 { &[(0, 0)] } else { &[(1, 0), (0, 1)] };
                assert!(expected.contains(&stored.expect("counts")), "{reply:?}");
            });
        }
    });
    assert_eq!(edge.queue.stored(), CLIENTS / 10);
    let puts = edge.queue.with(|state| state.puts.clone());
    assert_eq!(puts.iter().sum::<usize>(), CLIENTS - CLIENTS / 10);
    assert!(puts.len() <= CLIENTS / 3, "{puts:?}");
}

#[test]
fn a_connection_serves_many_requests() {
    let edge = Edge::start();
    let mut client = Client::new(edge.address);
    for (body, status) in [(article("one"), 202), ("{}".into(), 400), (article("two"), 202)] {
        client.send(head("POST", "/v1/posts", &[], Some(body.len())));
        client.send(body);
        assert_eq!(client.reply().status, status);
    }
    assert_eq!(edge.queue.stored(), 2);
}

#[test]
fn a_publication_may_have_any_name() {
    let edge = Edge::start();
    let names = ["../x", "__all__", "a/b", "🗞️ Zeitung", &"ß".repeat(200)];
    for name in names {
        let post = serde_json::json!({"publication": name, "content": "x"}).to_string();
        assert_eq!(edge.post("application/json", &post).outcome(), (1, 0, vec![]));
        let (_, stored) = edge.queue.with(|state| state.items.last().cloned()).expect("an item");
        assert_eq!(common::Post::parse(&stored).expect("a post").publication, name);
    }
}
