//! What is refused, and how a client learns what to do about it.

use queue::QueueError;
use serde_json::Value;

use crate::support::{Client, Edge, Reply, article, head};

const NDJSON: &str = "application/x-ndjson";

/// What every error has.
fn check_error(reply: &Reply, status: u16, code: &str, retryable: bool) {
    assert_eq!((reply.status, reply.code()), (status, code), "{reply:?}");
    assert_eq!(reply.json["retryable"], Value::from(retryable), "{reply:?}");
    assert!(!reply.json["message"].as_str().unwrap_or_default().is_empty(), "{reply:?}");
    assert_eq!(reply.has_header("retry-after"), retryable, "{reply:?}");
}

#[test]
fn a_body_without_a_single_post_is_refused_item_by_item() {
    let edge = Edge::start();
    let reply = edge.post(NDJSON, "{}\nnonsense\n");
    check_error(&reply, 400, "no_valid_post", false);
    assert_eq!(reply.outcome(), (0, 0, vec![(0, "missing_field"), (1, "bad_json")]));
    check_error(&edge.post("application/json", ""), 400, "empty_body", false);
    let reply = edge.post("application/json", r#"{"publication":"P","content":"cut o"#);
    check_error(&reply, 400, "no_valid_post", false);
    assert_eq!(reply.outcome(), (0, 0, vec![(0, "bad_json")]));
}

#[test]
fn json_that_breaks_off_keeps_the_posts_before_it() {
    let edge = Edge::start();
    let reply = edge.post("application/json", format!("[{}, {}", article("one"), "{\"publication\":"));
    assert_eq!((reply.status, reply.outcome()), (202, (1, 0, vec![(1, "bad_json")])));
}

#[test]
fn bodies_of_other_kinds_are_refused() {
    let edge = Edge::start();
    check_error(&edge.post("text/csv", "a,b"), 415, "unsupported_media_type", false);
    let reply = edge.post_with(&[("content-encoding", "br")], article("x"));
    check_error(&reply, 415, "unsupported_encoding", false);
    for encoding in ["gzip", "zstd"] {
        let headers = [("content-type", NDJSON), ("content-encoding", encoding)];
        check_error(&edge.post_with(&headers, article("plain")), 400, "bad_encoding", false);
    }
    edge.serves_a_good_client();
}

#[test]
fn what_is_not_there_is_answered_in_json_too() {
    let edge = Edge::start();
    check_error(&edge.get("/v1/nothing"), 404, "not_found", false);
    check_error(&edge.get("/v1/posts"), 405, "method_not_allowed", false);
    check_error(&edge.ask("DELETE", "/v1/queue"), 405, "method_not_allowed", false);
}

#[test]
fn a_full_queue_answers_429_with_retry_after() {
    let edge = Edge::start();
    edge.queue.with(|state| state.room = 0);
    let reply = edge.post("application/json", article("one"));
    check_error(&reply, 429, "queue_full", true);
    assert_eq!(reply.outcome(), (0, 0, vec![(0, "queue_full")]));
    assert_eq!(reply.json["rejected"][0]["retryable"], Value::from(true));
    edge.queue.with(|state| state.room = usize::MAX);
    edge.serves_a_good_client();
}

#[test]
fn a_queue_that_fills_up_on_the_way_keeps_what_it_took_and_names_the_rest() {
    let edge = Edge::limited(|limits| limits.puts_in_flight = 1);
    edge.queue.with(|state| state.room = 512);
    let lines: Vec<_> =
        (0..1_000).map(|number| format!(r#"{{"id":"{number}","publication":"P","content":"x"}}"#)).collect();
    let reply = edge.post(NDJSON, lines.join("\n"));
    assert_eq!(reply.status, 202, "{reply:?}");
    let (accepted, duplicates, rejected) = reply.outcome();
    assert_eq!((accepted, duplicates), (512, 0));
    assert!(rejected.iter().copied().eq((512..1_000).map(|index| (index, "queue_full"))), "{rejected:?}");
    assert_eq!(reply.json["rejected"][487]["id"], "999");
    assert_eq!(edge.queue.stored(), 512);
}

#[test]
fn a_pipeline_that_drains_or_is_away_answers_503_with_retry_after() {
    let edge = Edge::start();
    for (failure, code) in [
        (QueueError::Closed, "draining"),
        (QueueError::Disconnected("nobody listens".into()), "queue_unavailable"),
        (QueueError::Poisoned("no sync".into()), "queue_unavailable"),
        (QueueError::Unauthorized, "queue_unavailable"),
    ] {
        edge.queue.with(|state| state.failure = Some(failure));
        let reply = edge.post(NDJSON, format!("{}\n{}", article("one"), article("two")));
        check_error(&reply, 503, code, true);
        assert_eq!(reply.outcome(), (0, 0, vec![(0, code), (1, code)]));
    }
    edge.queue.with(|state| state.failure = None);
    edge.serves_a_good_client();
}

#[test]
fn one_post_too_long_is_413_and_among_others_it_is_one_rejection() {
    let edge = Edge::start();
    let long = article(&"x".repeat(common::limits::POST_BYTES_MAX));
    let reply = edge.post("application/json", &long);
    check_error(&reply, 413, "post_too_long", false);
    for (content_type, body) in [
        (NDJSON, format!("{}\n{long}\n{}", article("one"), article("two"))),
        ("application/json", format!("[{},{long},{}]", article("one"), article("two"))),
    ] {
        let reply = edge.post(content_type, body);
        assert_eq!((reply.status, reply.outcome()), (202, (2, 0, vec![(1, "post_too_long")])));
    }
}

#[test]
fn a_long_article_on_one_line_is_a_post() {
    let edge = Edge::start();
    let reply = edge.post(NDJSON, article(&"Ärger ".repeat(500_000)));
    assert_eq!((reply.status, reply.outcome()), (202, (1, 0, vec![])));
}

#[test]
fn rejections_are_counted_even_where_they_are_not_listed() {
    let edge = Edge::start();
    let reply = edge.post(NDJSON, format!("{}\n{}", article("one"), "{}\n".repeat(1_500)));
    assert_eq!(reply.status, 202);
    let (accepted, _, rejected) = reply.outcome();
    assert_eq!((accepted, rejected.len()), (1, 1_000));
    assert!(rejected.iter().map(|(index, _)| *index).eq(1..=1_000));
    assert_eq!(reply.json["rejected_total"], Value::from(1_500));
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let edge = Edge::start();
    let mut client = Client::new(edge.address);
    let body = vec![b'x'; 4 << 20];
    client.send(head("POST", "/v1/posts", &[("content-type", "text/plain")], Some(body.len())));
    client.send(body);
    check_error(&client.reply(), 415, "unsupported_media_type", false);
}
