//! What nobody could process: found, read, retried and dropped.

use queue::{DeadLetter, POSTS, QueueError, QueueId, RESULTS};
use serde_json::{Value, json};

use crate::support::{Client, Edge, head};

const POST: &str = r#"{"id": "gazette-1",
  "publication" : "The Gazette", "content":"\u0041", "unknown": 1.0000000000000000000001}"#;

fn letter(queue: QueueId, seq: u64, payload: impl AsRef<[u8]>) -> DeadLetter {
    let payload = payload.as_ref().to_vec().into();
    let (id, reason) = (format!("id-{seq}"), "the engine panicked on this post".to_owned());
    DeadLetter { queue, seq, id, reason, attempts: 3, died_at_ms: 1_772_600_706_123, payload }
}

fn edge_with(dead: Vec<DeadLetter>) -> Edge {
    let edge = Edge::start();
    edge.queue.with(|state| state.dead = dead);
    edge
}

#[test]
fn a_list_tells_everything_but_payloads() {
    let edge = edge_with(vec![letter(POSTS, 17, POST), letter(RESULTS, 3, "{}")]);
    let reply = edge.get("/v1/dead-letters");
    assert_eq!(reply.status, 200, "{reply:?}");
    let expected = json!({"dead_letters": [
        {"letter": "posts-17", "queue": "posts", "id": "id-17", "reason": "the engine panicked on this post",
         "attempts": 3, "died_at": "2026-03-04T05:05:06.123Z", "bytes": POST.len()},
        {"letter": "results-3", "queue": "results", "id": "id-3", "reason": "the engine panicked on this post",
         "attempts": 3, "died_at": "2026-03-04T05:05:06.123Z", "bytes": 2},
    ], "next": null});
    assert_eq!(reply.json, expected);
    assert_eq!(edge_with(Vec::new()).get("/v1/dead-letters").json, json!({"dead_letters": [], "next": null}));
}

#[test]
fn next_leads_through_all_of_them_also_where_long_ones_make_short_pages() {
    let letters: Vec<_> = (0..25).map(|seq| letter(POSTS, seq * 2, "x")).chain([letter(RESULTS, 0, "y")]).collect();
    let edge = edge_with(letters);
    for page_max in [usize::MAX, 3] {
        edge.queue.with(|state| state.dead_page_max = page_max);
        let mut names = Vec::new();
        let mut next = edge.get("/v1/dead-letters?limit=7");
        loop {
            let page = next.json["dead_letters"].as_array().expect("a list");
            assert!(!page.is_empty() && page.len() <= 7, "{next:?}");
            names.extend(page.iter().map(|letter| letter["letter"].as_str().expect("a name").to_owned()));
            let Some(after) = next.json["next"].as_str() else { break };
            next = edge.get(&format!("/v1/dead-letters?limit=7&after={after}"));
        }
        let all: Vec<_> = (0..25).map(|seq| format!("posts-{}", seq * 2)).chain(["results-0".to_owned()]).collect();
        assert_eq!(names, all);
    }
}

#[test]
fn a_payload_is_shown_as_it_came_or_in_a_form_that_keeps_all_of_it() {
    let lost = DeadLetter { id: String::new(), ..letter(RESULTS, 0, "") };
    let letters =
        vec![letter(POSTS, 0, POST), letter(POSTS, 1, "no\njson"), letter(POSTS, 2, [0xfb, 0xff, 0xfe]), lost];
    let edge = edge_with(letters);
    // The very text: a number that no computer's arithmetic can keep is still there.
    let mut client = Client::new(edge.address);
    client.send(head("GET", "/v1/dead-letters/posts-0", &[], None));
    let text = client.text();
    assert!(text.contains(&format!("\"payload\":{POST}}}")), "{text}");
    let show = |name: &str| edge.get(&format!("/v1/dead-letters/{name}")).json;
    let forms = |shown: &Value| ["payload", "payload_text", "payload_base64"].map(|form| shown[form].clone());
    assert_eq!(show("posts-0")["reason"], "the engine panicked on this post");
    assert_eq!(forms(&show("posts-1")), [Value::Null, "no\njson".into(), Value::Null]);
    assert_eq!(forms(&show("posts-2")), [Value::Null, Value::Null, "+//+".into()]);
    let lost = show("results-0");
    assert_eq!((&lost["letter"], &lost["id"]), (&json!("results-0"), &Value::Null));
    assert_eq!(forms(&lost), [Value::Null, Value::Null, Value::Null]);
}

#[test]
fn a_payload_of_32_mib_arrives_whole() {
    let edge = edge_with(vec![letter(POSTS, 0, vec![b'x'; 32 << 20])]);
    let shown = edge.get("/v1/dead-letters/posts-0");
    assert_eq!(shown.json["payload_text"].as_str().map(str::len), Some(32 << 20));
}

#[test]
fn letters_are_retried_and_dropped_once() {
    let edge = edge_with(vec![letter(POSTS, 17, POST), letter(RESULTS, 3, "{}")]);
    let reply = edge.ask("POST", "/v1/dead-letters/posts-17/retry");
    assert_eq!((reply.status, &reply.json), (200, &json!({"letter": "posts-17", "outcome": "retried"})));
    let reply = edge.ask("DELETE", "/v1/dead-letters/results-3");
    assert_eq!((reply.status, &reply.json), (200, &json!({"letter": "results-3", "outcome": "dropped"})));
    for (method, path) in [("POST", "posts-17/retry"), ("DELETE", "results-3"), ("GET", "posts-17")] {
        let reply = edge.ask(method, &format!("/v1/dead-letters/{path}"));
        assert_eq!((reply.status, reply.code()), (404, "unknown_dead_letter"), "{reply:?}");
        assert!(reply.json["message"].as_str().expect("a message").contains("GET /v1/dead-letters"), "{reply:?}");
    }
    // That something is not there is an answer of a queue that works.
    assert_eq!(edge.get("/readyz").status, 200);
    assert_eq!(edge.queue.with(|state| std::mem::take(&mut state.raised)), [(POSTS, 17, true), (RESULTS, 3, false)]);
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_can() {
    let edge = edge_with(vec![letter(POSTS, 17, POST)]);
    for (method, path, status, code, hint) in [
        ("GET", "?limit=0", 400, "bad_request", "1 to 1000"),
        ("GET", "?limit=1001", 400, "bad_request", "1 to 1000"),
        ("GET", "?limit=all", 400, "bad_request", "limit=NUMBER"),
        ("GET", "?after=17", 400, "bad_request", "posts-17"),
        ("GET", "/17", 404, "unknown_dead_letter", "posts-17"),
        ("GET", "/%FF", 404, "unknown_dead_letter", "GET /v1/dead-letters"),
        ("DELETE", "/posts-17x", 404, "unknown_dead_letter", "posts-17"),
        ("DELETE", "", 405, "method_not_allowed", "GET"),
        ("GET", "/posts-17/retry", 405, "method_not_allowed", "POST"),
        ("POST", "/posts-17", 405, "method_not_allowed", "DELETE"),
    ] {
        let reply = edge.ask(method, &format!("/v1/dead-letters{path}"));
        assert_eq!((reply.status, reply.code()), (status, code), "{method} {path}: {reply:?}");
        assert!(reply.json["message"].as_str().expect("a message").contains(hint), "{method} {path}: {reply:?}");
    }
}

#[test]
fn a_pipeline_that_drains_or_is_away_answers_503_here_too() {
    let edge = edge_with(vec![letter(POSTS, 17, POST)]);
    for (failure, code) in
        [(QueueError::Closed, "draining"), (QueueError::Disconnected("nobody listens".into()), "queue_unavailable")]
    {
        edge.queue.with(|state| state.failure = Some(failure));
        let reply = edge.ask("POST", "/v1/dead-letters/posts-17/retry");
        assert_eq!((reply.status, reply.code()), (503, code));
        assert!(reply.has_header("retry-after"));
    }
    assert_eq!(edge.get("/v1/dead-letters").code(), "queue_unavailable");
}
