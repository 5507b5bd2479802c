//! Clients that mean harm, or are broken. Each gets an answer or loses its connection; everybody else is served.

use std::io::ErrorKind;
use std::time::Duration;

use crate::posts::gzip;
use crate::support::{Client, Edge, PATIENCE, article, head, wait_for};

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");

fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_gzip_bomb_is_refused_in_bounded_memory() {
    let edge = Edge::start();
    // Four gigabytes in four megabytes.
    let bomb = gzip(&vec![b'0'; 64 << 20]).repeat(64);
    let before = peak_memory_kib();
    for content_type in ["application/json", "application/x-ndjson"] {
        let reply = edge.post_with(&[("content-type", content_type), ("content-encoding", "gzip")], &bomb);
        let expected: &[_] = if content_type == "application/json" {
            &["decompression_bomb", "no_valid_post"]
        } else {
            &["decompression_bomb"]
        };
        assert!(expected.contains(&reply.code()), "{reply:?}");
    }
    let grown = peak_memory_kib() - before;
    // Other tests of this process run at the same time, so this is no measurement; a bomb that is kept has gigabytes.
    assert!(grown < 512 << 10, "{grown} KiB");
    edge.serves_a_good_client();
}

#[test]
fn a_line_that_never_ends_is_bounded_and_costs_only_itself() {
    let edge = Edge::start();
    let mut client = Client::new(edge.address);
    client.send(head("POST", "/v1/posts", &[NDJSON, CHUNKED], None));
    client.send_chunk(format!("{}\n", article("before")).as_bytes());
    for _ in 0..64 {
        assert!(client.send_chunk(&vec![b'x'; 1 << 20]));
    }
    edge.serves_a_good_client();
    client.send_chunk(format!("\n{}\n", article("after")).as_bytes());
    client.send("0\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.status, reply.outcome()), (202, (2, 0, vec![(1, "post_too_long")])));
}

#[test]
fn half_a_body_then_silence_harms_nobody() {
    let edge = Edge::limited(|limits| limits.body_timeout = Duration::from_millis(300));
    let mut client = Client::new(edge.address);
    let half = format!("{}\n{{}}\n{}\n{{\"publ", article("one"), article("two"));
    client.send(head("POST", "/v1/posts", &[NDJSON], Some(100_000)));
    client.send(half);
    edge.serves_a_good_client();
    let reply = client.reply();
    assert_eq!((reply.status, reply.code()), (408, "body_timeout"), "{reply:?}");
    assert_eq!(reply.outcome(), (2, 0, vec![(1, "missing_field")]));
    assert_eq!(reply.json["unread_from"], 3);
    assert!(client.is_closed());
    assert_eq!(edge.queue.stored(), 3);
}

#[test]
fn silence_inside_a_compressed_body_is_a_timeout_too() {
    let edge = Edge::limited(|limits| limits.body_timeout = Duration::from_millis(100));
    let mut client = Client::new(edge.address);
    let body = gzip(format!("{}\n", article("one")).repeat(10_000).as_bytes());
    client.send(head("POST", "/v1/posts", &[NDJSON, ("content-encoding", "gzip")], Some(body.len())));
    client.send(&body[..body.len() / 2]);
    let reply = client.reply();
    assert_eq!((reply.status, reply.code()), (408, "body_timeout"), "{reply:?}");
    assert_eq!(reply.json["accepted"], reply.json["unread_from"]);
}

#[test]
fn a_body_that_only_trickles_is_given_up() {
    let edge = Edge::limited(|limits| {
        limits.body_rate_after = Duration::from_millis(1_000);
        limits.body_rate_min = 1_000_000;
    });
    let mut client = Client::new(edge.address);
    client.send(head("POST", "/v1/posts", &[NDJSON, CHUNKED], None));
    let mut taken = 0;
    while client.send_chunk(b" ") {
        taken += 1;
        assert!(taken < 1_000, "the edge goes on listening");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_client_that_does_not_finish_its_headers_is_closed() {
    let edge = Edge::limited(|limits| limits.header_timeout = Duration::from_millis(200));
    let mut client = Client::new(edge.address);
    client.send("POST /v1/posts HTTP/1.1\r\nhost: te");
    edge.serves_a_good_client();
    assert!(client.is_closed(), "open after {PATIENCE:?}");
}

#[test]
fn connections_beyond_the_limit_wait_for_others_to_end() {
    let edge = Edge::limited(|limits| limits.connections_max = 3);
    let idle: Vec<_> = (0..3).map(|_| Client::new(edge.address)).collect();
    let mut waiting = Client::new(edge.address);
    waiting.send(head("GET", "/healthz", &[], None));
    waiting.0.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket");
    let mut byte = [0];
    assert!(std::io::Read::read(&mut waiting.0, &mut byte).is_err(), "it is served although the places are taken");
    drop(idle);
    waiting.0.set_read_timeout(Some(PATIENCE)).expect("a socket");
    assert_eq!(waiting.reply().status, 200);
}

#[test]
fn an_endless_body_is_not_read_on_when_nothing_of_it_can_be_stored() {
    let edge = Edge::limited(|limits| limits.rest_bytes_max = 1 << 20);
    edge.queue.with(|state| state.room = 256);
    let mut client = Client::new(edge.address);
    client.send(head("POST", "/v1/posts", &[NDJSON, CHUNKED], None));
    let lines = format!("{}\n", article("again")).repeat(1_000);
    let mut sent = 0_usize;
    while sent < 1 << 30 && client.send_chunk(lines.as_bytes()) {
        sent += lines.len();
    }
    assert!(sent < 1 << 30, "everything was read");
    wait_for("what fits to be stored", || edge.queue.stored() == 256);
    edge.queue.with(|state| state.room = usize::MAX);
    edge.serves_a_good_client();
}

#[test]
fn a_body_that_is_given_up_says_where_the_client_has_to_go_on() {
    let edge = Edge::limited(|limits| {
        limits.rest_timeout = Duration::from_millis(200);
        limits.puts_in_flight = 1;
    });
    edge.queue.with(|state| state.room = 256);
    let mut client = Client::new(edge.address);
    client.send(head("POST", "/v1/posts", &[NDJSON, CHUNKED], None));
    client.send_chunk(format!("{}\n", article("x")).repeat(1_000).as_bytes());
    let reply = client.reply();
    assert_eq!((reply.status, reply.code()), (429, "queue_full"), "{reply:?}");
    let (accepted, _, rejected) = reply.outcome();
    assert_eq!(accepted, 256);
    assert_eq!(reply.json["unread_from"], 256 + rejected.len());
    assert!(reply.has_header("retry-after") && reply.has_header("connection"));
}

#[test]
fn many_half_sent_giants_are_refused_before_memory_runs_out() {
    let edge = Edge::limited(|limits| limits.memory_bytes_max = 6 << 20);
    let half = vec![b'x'; 4 << 20];
    let mut clients = [Client::new(edge.address), Client::new(edge.address)];
    for client in &mut clients {
        client.send(head("POST", "/v1/posts", &[NDJSON], Some(100 << 20)));
        client.send(&half);
        client.0.set_read_timeout(Some(Duration::from_millis(10))).expect("a socket");
    }
    // Which of them is the one too many is open.
    let answered = |client: &Client| client.0.peek(&mut [0]).is_ok();
    wait_for("one of them to be refused", || clients.iter().any(answered));
    let refused = clients.iter_mut().find(|client| answered(client)).expect("one has an answer").reply();
    assert_eq!((refused.status, refused.code()), (503, "overloaded"), "{refused:?}");
    edge.serves_a_good_client();
}

#[test]
fn small_posts_are_taken_whole_while_others_hold_all_the_memory() {
    let edge = Edge::limited(|limits| limits.memory_bytes_max = 1 << 20);
    let mut greedy = Client::new(edge.address);
    greedy.send(head("POST", "/v1/posts", &[NDJSON], Some(100 << 20)));
    greedy.send(vec![b'x'; 1 << 20]);
    let mut late = Client::new(edge.address);
    late.send(head("POST", "/v1/posts", &[NDJSON], Some(100 << 20)));
    late.send(vec![b'x'; 1 << 20]);
    late.0.set_read_timeout(Some(Duration::from_millis(10))).expect("a socket");
    greedy.0.set_read_timeout(Some(Duration::from_millis(10))).expect("a socket");
    let answered = |client: &Client| client.0.peek(&mut [0]).is_ok();
    wait_for("the memory to be full", || answered(&late) || answered(&greedy));
    let reply = edge.post("application/x-ndjson", format!("{}\n", article("small")).repeat(20_000));
    assert_eq!((reply.status, reply.outcome()), (202, (20_000, 0, vec![])), "{:?}", reply.head);
}

#[test]
fn an_answer_that_nobody_reads_is_given_up() {
    let edge = Edge::limited(|limits| limits.answer_timeout = Duration::from_millis(200));
    let client = Client::new(edge.address);
    client.0.set_write_timeout(Some(Duration::from_millis(100))).expect("a socket");
    // A thousand rejections each: more than what the operating system keeps for a client, after some of them.
    let request = [head("POST", "/v1/posts", &[NDJSON], Some(2_000)), "x\n".repeat(1_000)].concat();
    wait_for("the end of the connection", || match std::io::Write::write(&mut &client.0, request.as_bytes()) {
        Ok(_) => false,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    });
    edge.serves_a_good_client();
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    let edge = Edge::start();
    let mut client = Client::new(edge.address);
    client.send(head("POST", "/v1/posts", &[NDJSON], Some(10_000_000)));
    client.send(format!("{}\n", article("x")).repeat(600));
    wait_for("the full batches to be stored", || edge.queue.stored() == 512);
    drop(client);
    edge.serves_a_good_client();
}
