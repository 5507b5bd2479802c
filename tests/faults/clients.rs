//! Clients that go away, lose their answers, or mean harm. Nobody is told that something is stored which is not; nothing
//! counts twice; and everybody else is served.

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use tempfile::TempDir;

use super::proxy::{Proxy, Weather};
use super::raw::Raw;
use crate::chaos::Dice;
use crate::checker::{assert_same, expected, stored};
use crate::client::{Client, Load};
use crate::harness::{Pipeline, Running, copydesk_ok, sample_posts, wait_for, write_posts};

const LINES: &str = "content-type: application/x-ndjson\r\n";

fn lines(posts: &[Value]) -> String {
    posts.iter().map(|post| format!("{post}\n")).collect()
}

fn accepted(pipeline: &Pipeline) -> Option<u64> {
    pipeline.queue()?["queues"]["posts"]["accepted"].as_u64()
}

/// A client that does everything right is served, and soon.
fn is_served(pipeline: &Pipeline) -> Duration {
    let began = Instant::now();
    let post = br#"{"publication":"good","content":"Angela Merkel met Barack Obama in Berlin."}"#;
    let (status, answer) = pipeline.post("application/json", post).expect("an answer");
    assert_eq!((status, &answer["accepted"]), (202, &Value::from(1)), "{answer}");
    began.elapsed()
}

#[test]
fn clients_that_leave_in_the_middle_of_a_body_and_come_again_count_once() {
    let seed = 13;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--mentions"]);
    let posts: Vec<_> = sample_posts(2_000).collect();
    let body = lines(&posts);
    for _ in 0..10 {
        let mut client = Raw::connect(&pipeline.url);
        client.begin_post(LINES, Some(body.len()));
        client.send(&body[..dice.below(body.len() as u64) as usize]);
    }
    // Some of it was taken, and nobody was told. Then all of it comes, under the same ids.
    wait_for("posts that nobody was told of", || accepted(&pipeline).filter(|&count| count > 0));
    let ledger = Client::start(&pipeline.url, posts.into_iter(), Load { batch: 300, ..Load::default() }).finish();
    pipeline.wait_counted();
    pipeline.stop();
    let verdict = ledger.verdict(dir.path(), &[]);
    verdict.assert_clean();
    assert_eq!((verdict.acknowledged, verdict.saved), (2_000, 2_000));
}

#[test]
fn a_retry_after_a_lost_answer_reports_duplicates() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &[]);
    let proxy = Proxy::to_tcp(pipeline.url.trim_start_matches("http://"), 0);
    let through = format!("http://{}", proxy.address());
    proxy.set(Weather { swallow_first: 1, ..Weather::default() });
    let body = lines(&sample_posts(700).collect::<Vec<_>>());
    let post = || {
        let mut client = Raw::connect(&through);
        client.begin_post(LINES, Some(body.len()));
        client.send(&body);
        client.reply()
    };
    assert!(post().is_none(), "the answer was to be lost");
    assert_eq!(accepted(&pipeline), Some(700));
    let again = post().expect("an answer");
    assert_eq!((again.status, &again.body["accepted"], &again.body["duplicates"]), (202, &0.into(), &700.into()));
    // A load that loses answers takes what comes back as duplicates for its own.
    proxy.set(Weather { swallow_first: 3, ..Weather::default() });
    let file = write_posts(&dir.path().join("posts.ndjson"), sample_posts(3_000));
    let rest = write_posts(&dir.path().join("rest.ndjson"), sample_posts(3_000).skip(700));
    let summary: Value =
        serde_json::from_str(&copydesk_ok(&["load", &rest, "--to", &through, "--json"])).expect("JSON");
    assert_eq!((&summary["accepted"], &summary["duplicates"]), (&2_300.into(), &0.into()), "{summary}");
    pipeline.wait_counted();
    pipeline.stop();
    assert_same(&stored(dir.path()), &expected(&file));
}

#[test]
fn bodies_that_can_not_be_read_are_refused_with_their_place_and_harm_nobody() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--engine=none"]);
    let json = |body: &[u8]| pipeline.post("application/json", body).expect("an answer");
    let ndjson = |body: &[u8]| pipeline.post("application/x-ndjson", body).expect("an answer");
    let code = |answer: &Value| answer["code"].as_str().unwrap_or_default().to_owned();
    let first = |answer: &Value| {
        let rejection = &answer["rejected"][0];
        (rejection["index"].as_u64(), rejection["code"].as_str().unwrap_or_default().to_owned())
    };
    let good = r#"{"publication":"p","content":"c"}"#;

    let long = format!("{good}\n{}\n{good}\n", "x".repeat(9 << 20));
    let (status, answer) = ndjson(long.as_bytes());
    assert_eq!((status, first(&answer), &answer["accepted"]), (202, (Some(1), "post_too_long".into()), &2.into()));

    let deep = format!(r#"{good}{{"publication":{}"#, "[".repeat(1 << 20));
    let (status, answer) = json(deep.as_bytes());
    assert_eq!((status, first(&answer)), (202, (Some(1), "bad_json".into())), "{answer}");
    let deep = format!(r#"{{"publication":"p","content":"c","x":{}{}}}"#, "[".repeat(1 << 20), "]".repeat(1 << 20));
    let (status, answer) = json(deep.as_bytes());
    assert_eq!((status, code(&answer), first(&answer)), (400, "no_valid_post".into(), (Some(0), "too_deep".into())));

    let (status, answer) =
        ndjson(b"{\"publication\":\"p\",\"content\":\"\xff\xfe\"}\n{\"publication\":\"p\",\"content\":\"c\"}");
    let message = answer["rejected"][0]["message"].as_str().unwrap_or_default();
    assert_eq!((status, first(&answer)), (202, (Some(0), "bad_utf8".into())), "{answer}");
    assert!(message.contains("byte 30"), "{message}");

    let (status, answer) = json(format!("{good}\n]").as_bytes());
    let message = answer["rejected"][0]["message"].as_str().unwrap_or_default();
    assert!(status == 202 && message.contains(&format!("byte {}", good.len() + 1)), "{answer}");

    let (status, answer) = ndjson("{}\n".repeat(200_000).as_bytes());
    let listed = answer["rejected"].as_array().map(Vec::len);
    assert_eq!((status, &answer["rejected_total"], listed), (400, &200_000.into(), Some(1_000)));

    is_served(&pipeline);
    let peak = pipeline.frontend.peak_memory();
    assert!(peak < 96 << 20, "{peak} bytes");
    pipeline.stop();
}

#[test]
fn requests_that_are_no_http_end_and_harm_nobody() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--engine=none"]);
    // Headers without end, in number and in length.
    for header in ["x: y\r\n".to_owned(), format!("x: {}\r\n", "y".repeat(1 << 20))] {
        let mut client = Raw::connect(&pipeline.url);
        client.send("GET /healthz HTTP/1.1\r\nhost: desk\r\n");
        let is_taken = (0..100_000).all(|_| client.send(&header));
        assert!(!is_taken, "the frontend takes every header");
    }
    // What no body is.
    for garbage in ["zzz\r\n", "-1\r\n", "ffffffffffffffffff\r\n", "5\r\nabcdefgh\r\n", "5;\n\n\n\n\n"] {
        let mut client = Raw::connect(&pipeline.url);
        client.begin_post(LINES, None);
        client.chunk(b"{\"publication\":\"p\",\"content\":\"c\"}\n");
        client.send(garbage);
        let reply = client.reply();
        let code = reply.as_ref().map(|reply| (reply.status, reply.body["code"].clone()));
        assert!(code.is_none() || code == Some((400, "broken_body".into())), "{garbage:?}: {reply:?}");
    }
    for garbage in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01 hello\r\n\r\n", "POST /v1/posts HTTP/9.9\r\n\r\n"]
    {
        let mut client = Raw::connect(&pipeline.url);
        client.send(garbage);
        let reply = client.reply();
        assert!(reply.as_ref().is_none_or(|reply| reply.status == 400), "{garbage:?}: {reply:?}");
    }
    is_served(&pipeline);
    let peak = pipeline.frontend.peak_memory();
    assert!(peak < 64 << 20, "{peak} bytes");
    pipeline.stop();
}

/// It takes the half minute that a body may be silent; meanwhile others are served.
#[test]
fn a_body_that_stops_coming_is_answered_408_with_what_was_taken() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--engine=none"]);
    let mut half = Raw::connect(&pipeline.url);
    half.begin_post(LINES, Some(1 << 20));
    half.send(lines(&sample_posts(10).collect::<Vec<_>>()) + r#"{"publi"#);
    let mut headless = Raw::connect(&pipeline.url);
    headless.send("POST /v1/posts HTTP/1.1\r\nho");
    is_served(&pipeline);
    let reply = half.reply().expect("an answer");
    assert_eq!((reply.status, &reply.body["code"]), (408, &"body_timeout".into()), "{reply:?}");
    assert_eq!((&reply.body["accepted"], &reply.body["unread_from"]), (&10.into(), &10.into()), "{reply:?}");
    assert!(reply.head.contains("retry-after: "), "{reply:?}");
    assert!(headless.reply().is_none_or(|reply| reply.status == 408), "it never sent a request");
    pipeline.stop();
}

/// A gigabyte of zeros in gzip, of many members.
fn gzip_bomb() -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let member = runtime.block_on(async {
        use tokio::io::AsyncWriteExt;
        let mut encoder = async_compression::tokio::write::GzipEncoder::new(Vec::new());
        for _ in 0..16 {
            encoder.write_all(&vec![b'0'; 1 << 20]).await.expect("memory");
        }
        encoder.shutdown().await.expect("memory");
        encoder.into_inner()
    });
    member.repeat(64)
}

/// So many times 128 KiB of spaces in one frame of zstd with a window of 8 MiB: four bytes each.
fn zstd_bomb(blocks: usize, is_whole: bool) -> Vec<u8> {
    let block = |is_last: bool| [&(u32::from(is_last) | 1 << 1 | (128 << 10) << 3).to_le_bytes()[..3], b" "].concat();
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3];
    frame.extend(block(false).repeat(blocks - 1));
    frame.extend(block(is_whole));
    frame
}

/// The limit of the test's own process: it holds the other ends.
fn raise_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(16_384), hard).expect("within the hard limit");
}

fn megabytes(frontend: &Running) -> u64 {
    frontend.peak_memory() >> 20
}

#[test]
fn two_thousand_idle_clients_two_hundred_slow_ones_and_bombs_leave_memory_and_room_for_others() {
    raise_descriptors();
    if getrlimit(Resource::RLIMIT_NOFILE).expect("a limit").0 < 4_096 {
        println!("skipped: fewer than 4,096 file descriptors");
        return;
    }
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--engine=none"]);
    let url = &pipeline.url;
    // Idle, after a body that made each of them use its buffers.
    let blank = " ".repeat(256 << 10);
    let idle: Vec<Raw> = (0..2_000)
        .map(|_| {
            let mut client = Raw::connect(url);
            client.begin_post(LINES, Some(blank.len()));
            client.send(&blank);
            assert_eq!(client.reply().map(|reply| reply.status), Some(202));
            client
        })
        .collect();
    println!("2,000 idle clients: {} MB", megabytes(&pipeline.frontend));
    // Slow, in five ways: with little, with a line that does not end, with a window of zstd, with many small posts, and
    // with small posts that are each lost in a large chunk.
    let mut slow: Vec<Raw> = (0..200)
        .map(|number| {
            let mut client = Raw::connect(url);
            let encoding = if number % 5 == 2 { "content-encoding: zstd\r\n" } else { "" };
            client.begin_post(&format!("{LINES}{encoding}"), None);
            client
        })
        .collect();
    let small = |blanks: usize| [br#"{"publication":"slow","content":"c"}"#, &b"\n"[..], &vec![b' '; blanks]].concat();
    for round in 0..100 {
        for (number, client) in slow.iter_mut().enumerate() {
            match (number % 5, round) {
                (0, 0) => client.chunk(br#"{"publication": "slow", "con"#),
                (1, 0..16) => client.chunk(&vec![b'x'; 128 << 10]),
                (2, 0) => client.chunk(&zstd_bomb(63, false)),
                (3, _) => client.chunk(&small(0)),
                (4, 0..40) => client.chunk(&small(31 << 10)),
                _ => true,
            };
        }
    }
    println!("and 200 slow ones: {} MB", megabytes(&pipeline.frontend));
    let mut bombs = Vec::new();
    for (encoding, bomb) in [("gzip", gzip_bomb()), ("zstd", zstd_bomb(8_192, true))] {
        let mut client = Raw::connect(url);
        client.begin_post(&format!("{LINES}content-encoding: {encoding}\r\n"), Some(bomb.len()));
        let thread = std::thread::spawn(move || {
            client.send(&bomb);
            client.reply()
        });
        bombs.push((encoding, thread));
    }
    let mut waits: Vec<_> = (0..50).map(|_| is_served(&pipeline)).collect();
    waits.sort();
    for (encoding, bomb) in bombs {
        let reply = bomb.join().expect("no panic").expect("an answer");
        let code = reply.body["code"].as_str().unwrap_or_default();
        // With all the memory in use it is refused for that already.
        assert!(["decompression_bomb", "overloaded"].contains(&code), "{encoding}: {reply:?}");
    }
    let peak = megabytes(&pipeline.frontend);
    println!("and bombs: {peak} MB; good clients were answered in {:?}, at most in {:?}", waits[25], waits[49]);
    assert!(peak < 256, "{peak} MB");
    assert!(waits[49] < Duration::from_secs(5), "{:?}", waits[49]);
    drop((idle, slow));
    pipeline.stop();
}
