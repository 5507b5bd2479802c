//! The other side: a running Copydesk, as seen over HTTP.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, Uri, header};
use ureq::{Agent, Body, Error, Timeout};

use crate::answer::Reply;
use crate::error::LoadError;

/// Longer than this, and it is not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For each of sending a request, waiting for its answer and reading that. An answer waits for a disk, and for those
/// who came before.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);
/// From here on the server is asked before the body is sent: a refusal that comes while a large body is being written
/// is lost with the connection, and its `Retry-After` with it.
const ASK_FIRST_BYTES: usize = 64 << 10;
/// An answer may have a rejection for each post of a batch.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A client of one Copydesk, for all threads.
#[derive(Debug, Clone)]
pub struct Desk {
    agent: Agent,
    url: String,
}

/// What is queued and not counted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Posts that no worker has finished.
    pub posts: u64,
    /// Batches of counters that no saver has finished.
    pub results: u64,
}

#[derive(Deserialize)]
struct QueueAnswer {
    queues: Queues,
}

#[derive(Deserialize)]
struct Queues {
    posts: QueueCounts,
    results: QueueCounts,
}

#[derive(Deserialize)]
struct QueueCounts {
    ready: u64,
    leased: u64,
}

impl Desk {
    /// At an address; connects to nothing yet.
    pub fn new(url: &str, connections: usize) -> Result<Desk, LoadError> {
        let example = "give it as http://HOST:PORT";
        let uri: Uri =
            url.parse().map_err(|error| LoadError::Url(format!("{url:?} is no address ({error}); {example}")))?;
        match uri.scheme_str() {
            Some("http") if uri.query().is_none() => {}
            Some("https") => {
                let hint = "https is not supported in this build; use http inside your network, or a tunnel";
                return Err(LoadError::Url(format!("can't load into {url}: {hint}")));
            }
            _ => return Err(LoadError::Url(format!("{url:?} is no address of a Copydesk; {example}"))),
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Posts go where they are said to go.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("copydesk-load/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_send_request(Some(STEP_TIMEOUT))
            .timeout_send_body(Some(STEP_TIMEOUT))
            .timeout_recv_response(Some(STEP_TIMEOUT))
            .timeout_recv_body(Some(STEP_TIMEOUT))
            .build();
        Ok(Desk { agent: config.new_agent(), url: url.trim_end_matches('/').to_owned() })
    }

    /// Whether it takes posts now, and says so soon.
    fn is_ready(&self) -> bool {
        let request = self.agent.get(format!("{}/readyz", self.url));
        let answer = request.config().timeout_global(Some(READY_WITHIN)).build().call();
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    /// The address, as messages name it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Posts NDJSON, and waits for the answer.
    pub fn post(&self, body: &[u8]) -> Reply {
        let request = self.agent.post(format!("{}/v1/posts", self.url)).header("content-type", "application/x-ndjson");
        let request = match body.len() < ASK_FIRST_BYTES {
            true => request,
            false => request.header("expect", "100-continue"),
        };
        let response = request.send(body).and_then(|response| {
            let (head, body) = response.into_parts();
            read(body).map(|body| (head, body))
        });
        match response {
            Ok((head, body)) => Reply::of(head.status.as_u16(), retry_after(&head.headers), &body),
            Err(error) if was_never_sent(&error) => Reply::Unreachable(error_text(error)),
            Err(error) => Reply::Lost(error_text(error)),
        }
    }

    /// What is queued, or why that is not known.
    pub fn backlog(&self) -> Result<Backlog, String> {
        let response = self.agent.get(format!("{}/v1/queue", self.url)).call().map_err(error_text)?;
        let status = response.status().as_u16();
        let body = read(response.into_body()).map_err(error_text)?;
        let answer: QueueAnswer =
            serde_json::from_slice(&body).map_err(|error| format!("{status} to GET /v1/queue: {error}"))?;
        let open = |counts: &QueueCounts| counts.ready.saturating_add(counts.leased);
        Ok(Backlog { posts: open(&answer.queues.posts), results: open(&answer.queues.results) })
    }
}

/// Whether a Copydesk at this address takes posts now. False for whatever else is there, and for a wrong address.
pub fn is_ready(url: &str) -> bool {
    Desk::new(url, 1).is_ok_and(|desk| desk.is_ready())
}

fn read(mut body: Body) -> Result<Vec<u8>, Error> {
    body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()
}

fn retry_after(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()
}

/// Whether the failure came before the first byte of the request.
fn was_never_sent(error: &Error) -> bool {
    match error {
        Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
        ),
        Error::HostNotFound | Error::ConnectionFailed => true,
        Error::Timeout(step) => matches!(step, Timeout::Resolve | Timeout::Connect),
        _ => false,
    }
}

fn error_text(error: Error) -> String {
    match error {
        Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_before_anything_is_sent() {
        for url in ["http://localhost:8080", "http://10.0.0.1:8080/", "http://desk.example/below"] {
            assert!(Desk::new(url, 1).is_ok(), "{url}");
        }
        let message = |url| Desk::new(url, 1).expect_err("should be refused").to_string();
        assert!(message("https://desk.example").contains("https is not supported"));
        for url in ["", "localhost:8080", "127.0.0.1", "ftp://a", "http://", "http://a/?b", "/v1/posts"] {
            assert!(message(url).contains("http://HOST:PORT"), "{url}: {}", message(url));
        }
    }
}
