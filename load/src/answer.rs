//! What a server says to a request, and what that means for a repeat. Pure: bytes in, a [`Reply`] out.

use std::time::Duration;

use serde::Deserialize;

/// The results of the posts of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Answer {
    pub accepted: u64,
    pub duplicates: u64,
    pub rejected: Vec<Rejected>,
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

/// The outcome of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Every post of the request has a result.
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
