//! A running edge, the queue and the store behind it, and a client that says exactly what it is told to.

#![expect(clippy::panic, reason = "a test that fails panics")]

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use common::Phase;
use frontend::{Limits, Settings};
use queue::{
    DeadLetter, Item, LeaseId, Leased, Outputs, PutOutcome, Queue, QueueError, QueueId, QueueStats, Stats, Want,
};
use serde_json::Value;
use store::{EntityCount, Filter, Overview, PublicationCount, Reader, StoreError};
use tokio::sync::oneshot;

/// How long anything may take before a test says what it waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the queue holds, and how it behaves.
pub struct MemoryState {
    pub items: Vec<(String, Bytes)>,
    pub puts: Vec<usize>,
    pub room: usize,
    pub failure: Option<QueueError>,
    pub phase: String,
    pub annex: serde_json::Map<String, serde_json::Value>,
    pub put_takes: Duration,
    pub ids: HashSet<String>,
    pub dead: Vec<DeadLetter>,
    /// Letters in an answer at most, as the queue's own bound of bytes has it.
    pub dead_page_max: usize,
    /// What was made of letters: queue, number, and whether it was a retry.
    pub raised: Vec<(QueueId, u64, bool)>,
}

#[derive(Clone)]
pub struct MemoryQueue(pub Arc<Mutex<MemoryState>>);

impl MemoryQueue {
    fn new() -> MemoryQueue {
        MemoryQueue(Arc::new(Mutex::new(MemoryState {
            items: Vec::new(),
            puts: Vec::new(),
            room: usize::MAX,
            failure: None,
            phase: Phase::Running.name().to_owned(),
            annex: serde_json::Map::new(),
            put_takes: Duration::ZERO,
            ids: HashSet::new(),
            dead: Vec::new(),
            dead_page_max: usize::MAX,
            raised: Vec::new(),
        })))
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut MemoryState) -> T) -> T {
        change(&mut self.0.lock().expect("no test panics while it holds the queue"))
    }

    fn raise(&self, queue: QueueId, seq: u64, is_retry: bool) -> Result<(), QueueError> {
        self.with(|state| {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            let found = state.dead.iter().position(|letter| (letter.queue, letter.seq) == (queue, seq));
            let found = found.ok_or_else(|| QueueError::NotFound(format!("dead letter {seq} in queue {}", queue.0)))?;
            state.dead.remove(found);
            state.raised.push((queue, seq, is_retry));
            Ok(())
        })
    }

    pub fn stored(&self) -> usize {
        self.with(|state| state.items.len())
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn put(&self, _: QueueId, items: Vec<Item>) -> Result<Vec<PutOutcome>, QueueError> {
        let put_takes = self.with(|state| state.put_takes);
        // Even no time at all would wait for the clock's next tick.
        if !put_takes.is_zero() {
            tokio::time::sleep(put_takes).await;
        }
        self.with(|state| {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.items.len() + items.len() > state.room {
                return Err(QueueError::Full("the test says so".into()));
            }
            state.puts.push(items.len());
            let mut outcomes = Vec::new();
            for item in items {
                if !state.ids.insert(item.id.clone()) {
                    outcomes.push(PutOutcome::Duplicate);
                } else if item.id == "too-large-for-the-queue" {
                    outcomes.push(PutOutcome::TooLarge);
                } else {
                    state.items.push((item.id, item.payload));
                    outcomes.push(PutOutcome::Accepted);
                }
            }
            Ok(outcomes)
        })
    }

    async fn stats(&self) -> Result<Stats, QueueError> {
        self.with(|state| match &state.failure {
            Some(error @ QueueError::Disconnected(_)) => Err(error.clone()),
            _ => {
                let posts = QueueStats { ready: state.items.len() as u64, ..QueueStats::default() };
                let (phase, annex) = (state.phase.clone(), state.annex.clone());
                Ok(Stats { phase, annex, queues: [("posts".into(), posts)].into(), ..Stats::default() })
            }
        })
    }

    async fn lease(&self, _: QueueId, _: Want) -> Result<Leased, QueueError> {
        unreachable!("the edge only puts")
    }
    async fn settle(&self, _: QueueId, _: Vec<LeaseId>, _: Option<Outputs>) -> Result<(), QueueError> {
        unreachable!("the edge only puts")
    }
    async fn release(&self, _: QueueId, _: Vec<LeaseId>) -> Result<(), QueueError> {
        unreachable!("the edge only puts")
    }
    async fn bury(&self, _: QueueId, _: LeaseId, _: String) -> Result<(), QueueError> {
        unreachable!("the edge only puts")
    }
    async fn dead_letters(&self, after: Option<(QueueId, u64)>, items_max: u32) -> Result<Vec<DeadLetter>, QueueError> {
        self.with(|state| {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            let follows = |letter: &&DeadLetter| after.is_none_or(|after| (letter.queue, letter.seq) > after);
            let page_max = state.dead_page_max.min(items_max as usize);
            Ok(state.dead.iter().filter(follows).take(page_max).cloned().collect())
        })
    }
    async fn retry_dead(&self, queue: QueueId, seq: u64) -> Result<(), QueueError> {
        self.raise(queue, seq, true)
    }
    async fn drop_dead(&self, queue: QueueId, seq: u64) -> Result<(), QueueError> {
        self.raise(queue, seq, false)
    }
}

/// A store with one article and one counter for every name.
#[derive(Clone, Default)]
pub struct MemoryStore {
    pub names: Vec<String>,
    pub absent: bool,
}

impl Reader for MemoryStore {
    fn publications(&mut self) -> Result<Vec<PublicationCount>, StoreError> {
        Ok(self.names.iter().map(|name| PublicationCount { publication: name.clone(), articles: 1 }).collect())
    }

    fn entities(&mut self, filter: &Filter) -> Result<Vec<EntityCount>, StoreError> {
        let fits = |name: &&String| filter.publication.as_ref().is_none_or(|wanted| wanted == *name);
        let count = |name: &String, label: &str, count| EntityCount {
            publication: name.clone(),
            label: label.to_owned(),
            entity: format!("of {name}"),
            count,
        };
        let all = self.names.iter().filter(fits).flat_map(|name| [count(name, "PER", 3), count(name, "LOC", 2)]);
        let mut found: Vec<_> =
            all.filter(|count| filter.label.as_ref().is_none_or(|label| *label == count.label)).collect();
        if filter.top > 0 {
            found.truncate(filter.top);
        }
        Ok(found)
    }

    fn overview(&mut self, _: usize) -> Result<Overview, StoreError> {
        Ok(Overview::default())
    }
}

/// A running edge; dropping it stops it and waits.
pub struct Edge {
    pub address: SocketAddr,
    pub queue: MemoryQueue,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Edge {
    pub fn start() -> Edge {
        Edge::with(|_| {}, MemoryStore::default())
    }

    pub fn limited(change: impl FnOnce(&mut Limits)) -> Edge {
        Edge::with(change, MemoryStore::default())
    }

    pub fn with(change: impl FnOnce(&mut Limits), store: MemoryStore) -> Edge {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let queue = MemoryQueue::new();
        let mut limits = Limits::default();
        change(&mut limits);
        let open = move || -> Result<Box<dyn Reader>, StoreError> {
            if store.absent { Err(StoreError::Absent("here".into())) } else { Ok(Box::new(store.clone())) }
        };
        let settings = Settings { queue: Arc::new(queue.clone()), store: Arc::new(open), limits };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let shutdown = async { drop(stopped.await) };
            runtime.expect("a runtime").block_on(frontend::run(listener, settings, shutdown)).expect("the edge runs");
        });
        Edge { address, queue, stop: Some(stop), thread: Some(thread) }
    }

    pub fn tell_to_stop(&mut self) {
        drop(self.stop.take());
    }

    pub fn ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Posts a body with a content type.
    pub fn post(&self, content_type: &str, body: impl AsRef<[u8]>) -> Reply {
        self.post_with(&[("content-type", content_type)], body)
    }

    pub fn post_with(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Reply {
        let body = body.as_ref();
        let mut client = Client::new(self.address);
        client.send(head("POST", "/v1/posts", headers, Some(body.len())));
        client.send(body);
        client.reply()
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path)
    }

    pub fn ask(&self, method: &str, path: &str) -> Reply {
        let mut client = Client::new(self.address);
        client.send(head(method, path, &[], None));
        client.reply()
    }

    /// A client that does everything right is served.
    pub fn serves_a_good_client(&self) {
        let before = self.queue.stored();
        let reply = self.post("application/json", article("good"));
        assert_eq!((reply.status, &reply.json["accepted"]), (202, &Value::from(1)), "{reply:?}");
        assert!(self.queue.stored() > before);
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.tell_to_stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the edge panicked");
        }
    }
}

/// One connection.
pub struct Client(pub TcpStream);

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the edge listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Client(stream)
    }

    /// Sends as much as is taken: the edge may answer and close before the end.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends one chunk of a chunked body.
    pub fn send_chunk(&mut self, bytes: &[u8]) -> bool {
        self.send(format!("{:x}\r\n", bytes.len())) && self.send(bytes) && self.send("\r\n")
    }

    pub fn reply(&mut self) -> Reply {
        Reply::parse(self.text().as_bytes()).expect("it was whole")
    }

    /// All of the next answer, as it came.
    pub fn text(&mut self) -> String {
        let mut bytes = Vec::new();
        let mut room = [0; 4096];
        while Reply::parse(&bytes).is_none() {
            let count = self.0.read(&mut room).expect("an answer comes before the patience ends");
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&room[..count]);
        }
        String::from_utf8(bytes).expect("answers are text")
    }

    /// Waits until the other side has closed.
    pub fn is_closed(&mut self) -> bool {
        let mut room = [0; 4096];
        loop {
            match self.0.read(&mut room) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }
}

/// The head of a request; without a length it has no body.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)], length: Option<usize>) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some(length) = length {
        head += &format!("content-length: {length}\r\n");
    }
    head + "\r\n"
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub json: Value,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Option<Reply> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let (_, after) = head.split_once("content-length: ").expect("every answer has a length");
        let length: usize = after.lines().next()?.trim().parse().expect("a length is a number");
        let body = bytes.get(end..end + length)?;
        let status = head.split(' ').nth(1)?.parse().expect("a status is a number");
        Some(Reply { status, json: serde_json::from_slice(body).expect("every answer is JSON"), head })
    }

    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    pub fn has_header(&self, name: &str) -> bool {
        self.head.contains(&format!("\r\n{name}: "))
    }

    /// `(accepted, duplicates, [(index, code)])`.
    pub fn outcome(&self) -> (u64, u64, Vec<(u64, &str)>) {
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("no number in {self:?}"));
        let rejected = self.json["rejected"].as_array().expect("a list of rejections").iter();
        let rejected = rejected.map(|item| (number(&item["index"]), item["code"].as_str().expect("a code")));
        (number(&self.json["accepted"]), number(&self.json["duplicates"]), rejected.collect())
    }
}

/// A post.
pub fn article(text: &str) -> String {
    format!(r#"{{"publication":"The Daily","content":"{text}"}}"#)
}

/// Waits for a condition.
pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
