//! What a server says to a request, and what that means for a repeat. Pure: bytes in, a [`Reply`] out.

use std::time::Duration;

use serde::Deserialize;

/// The results of the posts of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Answer {
    pub accepted: u64,
    pub duplicates: u64,
    pub rejected: Vec<Rejected>,
    /// How many were rejected, if there were more than are listed.
    #[serde(default)]
    pub rejected_total: Option<u64>,
    /// The first post that was not read, if the request was not read to its end.
    #[serde(default)]
    pub unread_from: Option<u64>,
    /// Why the request failed, if it failed as a whole.
    #[serde(default)]
    pub message: Option<String>,
}

impl Answer {
    /// Whether it says of each of so many posts what became of it.
    pub fn is_complete_for(&self, count: usize) -> bool {
        let rejected = self.rejected.len() as u64;
        let told = self.accepted.saturating_add(self.duplicates).saturating_add(rejected);
        self.unread_from.is_none() && self.rejected_total.is_none_or(|total| total == rejected) && told == count as u64
    }
}

/// One post that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rejected {
    /// Its place in the request, from 0.
    pub index: usize,
    #[serde(default)]
    pub id: Option<String>,
    pub code: String,
    pub message: String,
    pub retryable: bool,
}

impl Rejected {
    /// Whether the post is stored nowhere. Other retryable codes, `queue_unavailable` above all, may mean that the
    /// frontend has not learned what became of it.
    pub fn is_surely_not_stored(&self) -> bool {
        !self.retryable || matches!(self.code.as_str(), "queue_full" | "draining")
    }
}

/// The outcome of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The results of the posts; of some of them, if the server had to stop half-way.
    Results {
        answer: Answer,
        /// What the server asks for before a repeat.
        retry_after: Option<Duration>,
    },
    /// The server was not reached: nothing of the request was taken.
    Unreachable(String),
    /// The server says to come back later; nothing of the request was taken.
    Busy { retry_after: Option<Duration>, reason: String },
    /// It is unknown whether anything of the request was taken.
    Lost(String),
    /// The same request will never be taken.
    Refused(String),
}

impl Reply {
    /// Reads an answer that arrived whole.
    pub fn of(status: u16, retry_after: Option<&str>, body: &[u8]) -> Reply {
        let retry_after = retry_after.and_then(seconds);
        // Looked for under every status: a request of which nothing was taken has results too.
        if let Ok(answer) = serde_json::from_slice::<Answer>(body) {
            return Reply::Results { answer, retry_after };
        }
        let reason = format!("{status}{}", said(body));
        match status {
            429 | 503 => Reply::Busy { retry_after, reason },
            408 | 500 | 502 | 504 => Reply::Lost(reason),
            401 | 403 => Reply::Refused(format!("{reason}; it wants credentials, which this build can't send yet")),
            404 | 405 => Reply::Refused(format!("{reason}; is that a Copydesk? --to is http://HOST:PORT")),
            413 => Reply::Refused(format!("{reason}; try a smaller --batch")),
            300..=399 => Reply::Refused(format!("{reason}, a redirect; give the address it leads to with --to")),
            400..=599 => Reply::Refused(format!("{reason}; see the codes in README.md")),
            _ => Reply::Refused(format!("{reason}, but not as Copydesk does; is it one? --to is http://HOST:PORT")),
        }
    }
}

/// `Retry-After` in seconds; its other form, a date, is left to the usual pause.
fn seconds(header: &str) -> Option<Duration> {
    header.trim().parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// The message of an error's body, shortened to what fits a line.
fn said(body: &[u8]) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let message = json.get("message").or_else(|| json.get("error")?.get("message")).and_then(|text| text.as_str());
    let text = message.map_or_else(|| String::from_utf8_lossy(body), Into::into);
    let line: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_under_any_status() {
        let body = br#"{"accepted":1,"duplicates":0,"rejected":[{"index":1,"id":null,"code":"queue_full",
            "message":"full","retryable":true}]}"#;
        for status in [202, 400, 429, 503] {
            let Reply::Results { answer, retry_after } = Reply::of(status, Some("2"), body) else { panic!("{status}") };
            assert_eq!((answer.accepted, answer.rejected[0].index), (1, 1));
            assert_eq!(retry_after, Some(Duration::from_secs(2)));
        }
    }

    #[test]
    fn a_status_says_whether_to_come_back() {
        let busy = |header| Reply::of(503, header, br#"{"code":"draining","message":"draining"}"#);
        let reason = "503: draining".to_owned();
        assert_eq!(
            busy(Some("1.5")),
            Reply::Busy { retry_after: Some(Duration::from_millis(1500)), reason: reason.clone() }
        );
        for header in [None, Some("Fri, 31 Dec 1999 23:59:59 GMT"), Some("-1"), Some("1e300"), Some("NaN")] {
            assert_eq!(busy(header), Reply::Busy { retry_after: None, reason: reason.clone() });
        }
        assert!(matches!(Reply::of(502, None, b"<html>"), Reply::Lost(_)));
        for status in [200, 301, 401, 404, 413, 415, 501] {
            assert!(matches!(Reply::of(status, None, b"hello"), Reply::Refused(_)), "{status}");
        }
    }
}
