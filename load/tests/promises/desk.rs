//! A small Copydesk for tests: a real HTTP server that keeps the posts it takes, by id, and misbehaves as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How to treat one request with posts.
#[derive(Clone)]
pub enum Act {
    /// As a Copydesk should.
    Take,
    /// Answer with a status, a `Retry-After` and no results, before the body is read.
    Busy(u16, &'static str),
    /// Answer with a status and this body.
    Say(u16, &'static str),
    /// Read the request, take its posts, and close the connection without an answer.
    TakeAndHangUp,
    /// Read the request and close the connection.
    HangUp,
    /// Reject what this gives `(code, retryable)` for, by index in the request; take the others.
    Reject(fn(usize) -> Option<(&'static str, bool)>),
    /// Wait until [`Desk::open_gate`], then take.
    Gate,
}

/// A request with posts.
#[derive(Clone)]
pub struct Request {
    pub at: Instant,
    pub ids: Vec<String>,
    pub bytes: usize,
}

#[derive(Default)]
struct State {
    script: VecDeque<Act>,
    usual: Option<Act>,
    requests: Vec<Request>,
    /// Times each id was taken as new. More than one is the end of "exactly once".
    taken: BTreeMap<String, u32>,
    backlog: VecDeque<(u64, u64)>,
    polls: u32,
    gate_is_open: bool,
}

/// The server; it lives as long as the test process.
#[derive(Clone)]
pub struct Desk {
    pub url: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Desk {
    /// Treats the first requests by the script, and takes the others.
    pub fn start(script: impl Into<VecDeque<Act>>) -> Desk {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let desk = Desk {
            url: format!("http://{}", listener.local_addr().expect("bound")),
            state: Arc::new((Mutex::new(State { script: script.into(), ..State::default() }), Condvar::new())),
        };
        let serving = desk.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (desk, stream) = (serving.clone(), stream.expect("accepts"));
                thread::spawn(move || desk.serve(stream));
            }
        });
        desk
    }

    /// Treats every request after the script so.
    pub fn usually(self, act: Act) -> Desk {
        self.lock().usual = Some(act);
        self
    }

    /// What the next polls of the queue say: `(posts, results)`; then empty.
    pub fn with_backlog(self, backlog: impl Into<VecDeque<(u64, u64)>>) -> Desk {
        self.lock().backlog = backlog.into();
        self
    }

    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    pub fn polls(&self) -> u32 {
        self.lock().polls
    }

    /// The ids that were taken; each was taken once.
    pub fn taken(&self) -> Vec<String> {
        let state = self.lock();
        assert!(state.taken.values().all(|times| *times == 1), "an id was counted twice");
        state.taken.keys().cloned().collect()
    }

    pub fn open_gate(&self) {
        self.lock().gate_is_open = true;
        self.state.1.notify_all();
    }

    /// Waits until the state is as wanted.
    pub fn wait_for(&self, what: &str, is_so: impl Fn(&[Request]) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut state = self.lock();
        while !is_so(&state.requests) {
            assert!(Instant::now() < deadline, "waited 20 s for {what}");
            state = self.state.1.wait_timeout(state, Duration::from_millis(100)).expect("not poisoned").0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().expect("not poisoned")
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("clones"));
        let mut stream = stream;
        while let Some(head) = read_head(&mut reader) {
            let is_posts = head.starts_with("post /v1/posts ");
            let answer = if is_posts { self.posts(&head, &mut reader, &mut stream) } else { Some(self.queue(&head)) };
            let Some(answer) = answer else { return };
            if stream.write_all(answer.as_bytes()).is_err() || answer.contains("connection: close") {
                return;
            }
        }
    }

    fn queue(&self, head: &str) -> String {
        assert!(head.starts_with("get /v1/queue "), "{head}");
        let mut state = self.lock();
        state.polls += 1;
        let (posts, results) = state.backlog.pop_front().unwrap_or_default();
        let count = |ready| json!({"ready": ready, "leased": 0, "bytes": 0, "oldest_seconds": 0.0});
        let queues = json!({"posts": count(posts), "results": count(results)});
        answer(200, "", &json!({"phase": "running", "queues": queues, "dead_letters": 0}).to_string())
    }

    fn posts(&self, head: &str, reader: &mut impl Read, stream: &mut TcpStream) -> Option<String> {
        let act = {
            let mut state = self.lock();
            let usual = state.usual.clone().unwrap_or(Act::Take);
            state.script.pop_front().unwrap_or(usual)
        };
        if let Act::Busy(status, retry_after) = act {
            self.note(Request { at: Instant::now(), ids: Vec::new(), bytes: 0 });
            let headers = format!("retry-after: {retry_after}\r\nconnection: close\r\n");
            return Some(answer(status, &headers, r#"{"code":"busy","message":"come back later"}"#));
        }
        assert!(head.contains("content-type: application/x-ndjson"), "{head}");
        if head.contains("expect: 100-continue") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
        let length = head.split("content-length: ").nth(1).expect("a Content-Length").lines().next().expect("a line");
        let mut body = vec![0; length.parse().expect("a number")];
        reader.read_exact(&mut body).ok()?;
        let lines: Vec<_> = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let id_of = |line: &&[u8]| {
            let post: Value = serde_json::from_slice(line).expect("only valid posts are sent");
            post["id"].as_str().expect("every post has an id").to_owned()
        };
        let ids: Vec<_> = lines.iter().map(id_of).collect();
        self.note(Request { at: Instant::now(), ids: ids.clone(), bytes: body.len() });
        match act {
            Act::HangUp => return None,
            Act::Say(status, text) => return Some(answer(status, "", text)),
            Act::Gate => {
                let mut state = self.lock();
                while !state.gate_is_open {
                    state = self.state.1.wait(state).expect("not poisoned");
                }
            }
            _ => {}
        }
        let reject = match act {
            Act::Reject(reject) => reject,
            _ => |_| None,
        };
        let (mut accepted, mut duplicates, mut rejected) = (0, 0, Vec::new());
        let mut state = self.lock();
        for (index, id) in ids.iter().enumerate() {
            match reject(index) {
                Some((code, retryable)) => rejected.push(json!({
                    "index": index, "id": id, "code": code, "message": "because", "retryable": retryable
                })),
                None if state.taken.contains_key(id) => duplicates += 1,
                None => {
                    accepted += 1;
                    *state.taken.entry(id.clone()).or_default() += 1;
                }
            }
        }
        let results = json!({"accepted": accepted, "duplicates": duplicates, "rejected": rejected});
        (!matches!(act, Act::TakeAndHangUp)).then(|| answer(202, "", &results.to_string()))
    }

    fn note(&self, request: Request) {
        self.lock().requests.push(request);
        self.state.1.notify_all();
    }
}

fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head.to_lowercase())
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Test\r\n{headers}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}
