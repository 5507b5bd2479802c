//! What can be asked.

use queue::QueueError;
use serde_json::json;

use crate::support::{Edge, MemoryStore};

/// Percent-encodes every byte.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn publications_of_any_name_are_found_by_it() {
    let long = "ß".repeat(200);
    let names: Vec<_> = ["../x", "__all__", "a/b", "🗞️ zeitung", "%41", &long].map(str::to_owned).to_vec();
    let edge = Edge::with(|_| {}, MemoryStore { names: names.clone(), absent: false });
    let listed = edge.get("/v1/publications");
    assert_eq!(listed.status, 200);
    assert_eq!(listed.json[0], json!({"publication": "../x", "articles": 1}));
    for name in &names {
        let reply = edge.get(&format!("/v1/publications/{}/entities", encoded(name)));
        assert_eq!(reply.status, 200, "{name}: {reply:?}");
        let expected = json!([
            {"publication": name, "label": "PER", "entity": format!("of {name}"), "count": 3},
            {"publication": name, "label": "LOC", "entity": format!("of {name}"), "count": 2},
        ]);
        assert_eq!(reply.json, expected);
    }
    // A name is found as posts write it.
    assert_eq!(edge.get("/v1/publications/%20A%2FB%20/entities").status, 200);
}

#[test]
fn counters_are_filtered() {
    let edge = Edge::with(|_| {}, MemoryStore { names: vec!["p".into()], absent: false });
    let labels = |path: &str| {
        let reply = edge.get(path);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json.as_array().expect("a list").iter().map(|count| count["label"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(labels("/v1/publications/p/entities?top=1"), ["PER"]);
    assert_eq!(labels("/v1/publications/p/entities?label=LOC&top=0"), ["LOC"]);
    assert!(labels("/v1/publications/p/entities?label=NONE").is_empty());
    for (path, status, code) in [
        ("/v1/publications/q/entities", 404, "unknown_publication"),
        ("/v1/publications/p/entities?top=many", 400, "bad_request"),
        ("/v1/publications/%FF/entities", 400, "bad_request"),
    ] {
        let reply = edge.get(path);
        assert_eq!((reply.status, reply.code()), (status, code), "{reply:?}");
    }
}

#[test]
fn a_store_that_is_not_there_yet_is_worth_another_try() {
    let edge = Edge::with(|_| {}, MemoryStore { names: Vec::new(), absent: true });
    let reply = edge.get("/v1/publications");
    assert_eq!((reply.status, reply.code()), (503, "store_unavailable"));
    assert!(reply.has_header("retry-after"));
}

#[test]
fn a_worker_in_a_crash_loop_turns_readiness_red() {
    let edge = Edge::start();
    let report = |degraded| {
        edge.queue.with(|state| state.annex.insert("degraded".into(), degraded));
        edge.get("/readyz")
    };
    assert_eq!(report(serde_json::json!([])).status, 200);
    let reply = report(serde_json::json!(["worker 3"]));
    assert_eq!((reply.status, reply.code()), (503, "not_ready"));
    assert!(reply.json["reasons"][0].as_str().expect("a reason").contains("worker 3"));
}

#[test]
fn a_pipeline_without_workers_is_not_ready() {
    let edge = Edge::start();
    edge.queue.with(|state| state.annex.insert("workers".into(), serde_json::json!([])));
    let reply = edge.get("/readyz");
    assert_eq!((reply.status, reply.code()), (503, "not_ready"));
    assert!(reply.json["message"].as_str().expect("a message").contains("--workers"));
}

#[test]
fn readiness_follows_the_pipeline_and_liveness_does_not() {
    let edge = Edge::start();
    assert_eq!(edge.get("/readyz").status, 200);
    edge.queue.with(|state| state.phase = "draining_posts".into());
    let reply = edge.get("/readyz");
    assert_eq!((reply.status, reply.code()), (503, "not_ready"));
    assert!(reply.json["reasons"][0].as_str().expect("a reason").contains("draining_posts"));
    assert_eq!(edge.get("/v1/queue").json["phase"], "draining_posts");
    edge.queue.with(|state| state.failure = Some(QueueError::Disconnected("nobody listens".into())));
    assert_eq!(edge.get("/readyz").status, 503);
    let reply = edge.get("/v1/queue");
    assert_eq!((reply.status, reply.code()), (503, "queue_unavailable"));
    assert_eq!(edge.get("/healthz").status, 200);
    edge.queue.with(|state| {
        state.failure = None;
        state.phase = "running".into();
    });
    assert_eq!(edge.get("/readyz").status, 200);
    assert_eq!(edge.get("/v1/queue").json["queues"]["posts"]["ready"], 0);
}
