//! How the edge ends.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{Client, Edge, article, head, wait_for};

#[test]
fn what_was_begun_is_answered_and_nothing_new_is_taken() {
    let mut edge = Edge::start();
    let mut idle = Client::new(edge.address);
    idle.send(head("GET", "/healthz", &[], None));
    assert_eq!(idle.reply().status, 200);
    let body = format!("{}\n", article("x")).repeat(1_000);
    let (first, rest) = body.as_bytes().split_at(body.len() / 2);
    let mut client = Client::new(edge.address);
    client.send(head("POST", "/v1/posts", &[("content-type", "application/x-ndjson")], Some(body.len())));
    client.send(first);
    wait_for("the request to be under way", || edge.queue.stored() > 0);
    edge.tell_to_stop();
    assert!(idle.is_closed());
    wait_for("new connections to be refused", || TcpStream::connect(edge.address).is_err());
    assert!(!edge.ended());
    client.send(rest);
    let reply = client.reply();
    assert_eq!((reply.status, reply.outcome()), (202, (1_000, 0, vec![])));
    wait_for("the edge to end", || edge.ended());
    assert_eq!(edge.queue.stored(), 1_000);
}

#[test]
fn a_request_that_does_not_end_can_not_keep_the_edge_alive() {
    let mut edge = Edge::limited(|limits| limits.drain_timeout = Duration::from_millis(200));
    let mut client = Client::new(edge.address);
    client.send(head("POST", "/v1/posts", &[], Some(1_000)));
    client.send(article("one"));
    edge.serves_a_good_client();
    let start = Instant::now();
    edge.tell_to_stop();
    wait_for("the edge to end", || edge.ended());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
