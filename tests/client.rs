//! A client as the README asks for one: it sends small batches from several threads, sends what was not answered or was
//! put off again under the same ids, and notes everything in a ledger.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::checker::Ledger;
use crate::harness::{answer, wait_for};

/// Pause after no answer at all.
const PAUSE: Duration = Duration::from_millis(50);
/// How long an answer is waited for before the batch is sent again.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// How a client sends.
#[derive(Clone, Copy)]
pub struct Load {
    pub threads: usize,
    /// Posts in a request.
    pub batch: usize,
    /// Retry-After is honoured, but no longer than this.
    pub pause_max: Duration,
    /// Bytes by which each post is made larger, in a field that nobody reads.
    pub padding: usize,
}

impl Default for Load {
    fn default() -> Load {
        Load { threads: 3, batch: 20, pause_max: Duration::from_secs(5), padding: 0 }
    }
}

/// A client at work.
pub struct Client {
    pub ledger: Arc<Ledger>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    url: Mutex<String>,
    posts: Mutex<Box<dyn Iterator<Item = Value> + Send>>,
    is_stopped: AtomicBool,
    refused: AtomicUsize,
    duplicates: AtomicU64,
    load: Load,
}

impl Client {
    /// Begins to send posts, each with an id of its own, until there are no more or [`Client::stop`] is called.
    pub fn start(url: &str, posts: impl Iterator<Item = Value> + Send + 'static, load: Load) -> Client {
        let ledger = Arc::new(Ledger::default());
        let shared = Arc::new(Shared {
            url: Mutex::new(url.to_owned()),
            posts: Mutex::new(Box::new(posts)),
            is_stopped: AtomicBool::new(false),
            refused: AtomicUsize::new(0),
            duplicates: AtomicU64::new(0),
            load,
        });
        let thread = |_| {
            let (shared, ledger) = (Arc::clone(&shared), Arc::clone(&ledger));
            std::thread::spawn(move || shared.send_all(&ledger))
        };
        let threads = (0..load.threads).map(thread).collect();
        Client { ledger, shared, threads }
    }

    /// The frontend is elsewhere from now on.
    pub fn turn_to(&self, url: &str) {
        url.clone_into(&mut self.shared.url.lock().expect("no thread panicked"));
    }

    /// Requests that were answered 429 or 503 so far.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Posts so far that had been taken before, by a request whose answer was lost.
    pub fn duplicates(&self) -> u64 {
        self.shared.duplicates.load(Ordering::Relaxed)
    }

    /// Waits until so many posts more have been acknowledged.
    pub fn wait_acknowledged(&self, more: usize) {
        let until = self.ledger.acknowledged() + more;
        wait_for("acknowledged posts", || (self.ledger.acknowledged() >= until).then_some(()));
    }

    /// Waits until every post has been acknowledged.
    pub fn finish(mut self) -> Arc<Ledger> {
        self.join()
    }

    /// Gives up what is not acknowledged yet.
    pub fn stop(mut self) -> Arc<Ledger> {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        self.join()
    }

    fn join(&mut self) -> Arc<Ledger> {
        let ended: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        assert!(ended.iter().all(Result::is_ok), "a thread of the client panicked");
        Arc::clone(&self.ledger)
    }
}

impl Drop for Client {
    /// A test that fails must not be followed by threads that send for ever.
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn send_all(&self, ledger: &Ledger) {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_MAX));
        let agent: ureq::Agent = config.build().into();
        loop {
            let mut batch: Vec<Value> =
                self.posts.lock().expect("no thread panicked").by_ref().take(self.load.batch).collect();
            if batch.is_empty() || self.is_stopped() {
                return;
            }
            ledger.attempt(&batch);
            while !batch.is_empty() && !self.is_stopped() {
                let (acknowledged, rest, pause) = self.send(&agent, batch);
                ledger.acknowledge(&acknowledged);
                batch = rest;
                if !batch.is_empty() {
                    self.pause(pause);
                }
            }
        }
    }

    /// Sends posts once: those that were acknowledged, those to be sent again, and the pause before that.
    fn send(&self, agent: &ureq::Agent, batch: Vec<Value>) -> (Vec<Value>, Vec<Value>, Duration) {
        let url = format!("{}/v1/posts", self.url.lock().expect("no thread panicked"));
        let body: String = batch.iter().map(|post| self.line(post)).collect();
        let response = agent.post(url).header("content-type", "application/x-ndjson").send(body.as_bytes());
        let Ok(response) = response else { return (Vec::new(), batch, PAUSE) };
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let pause = retry_after.map_or(PAUSE, Duration::from_secs).min(self.load.pause_max);
        let Some((status, answer)) = answer(Ok(response)) else { return (Vec::new(), batch, PAUSE) };
        match status {
            202 => {
                self.duplicates.fetch_add(answer["duplicates"].as_u64().expect("a count"), Ordering::Relaxed);
                let rejected: Vec<_> = answer["rejected"].as_array().expect("a list").iter().collect();
                assert!(rejected.iter().all(|item| item["retryable"] == true), "{answer}");
                let unread_from = answer["unread_from"].as_u64().unwrap_or(u64::MAX);
                let is_taken = |index: u64| index < unread_from && rejected.iter().all(|item| item["index"] != index);
                let (taken, rest): (Vec<_>, Vec<_>) = (0..).zip(batch).partition(|(index, _)| is_taken(*index));
                let posts = |numbered: Vec<(u64, Value)>| numbered.into_iter().map(|(_, post)| post).collect();
                (posts(taken), posts(rest), pause)
            }
            _ => {
                assert!(matches!(status, 429 | 503), "a good post was answered {status}: {answer}");
                assert!(retry_after.is_some_and(|seconds| seconds >= 1), "{status} without Retry-After: {answer}");
                self.refused.fetch_add(1, Ordering::Relaxed);
                (Vec::new(), batch, pause)
            }
        }
    }

    fn line(&self, post: &Value) -> String {
        match (self.load.padding, post.to_string().strip_suffix('}')) {
            (padding @ 1.., Some(open)) => format!("{open},\"padding\":\"{}\"}}\n", "x".repeat(padding)),
            _ => format!("{post}\n"),
        }
    }

    fn pause(&self, pause: Duration) {
        let end = Instant::now() + pause;
        while Instant::now() < end && !self.is_stopped() {
            std::thread::sleep(PAUSE.min(end.saturating_duration_since(Instant::now())));
        }
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }
}
