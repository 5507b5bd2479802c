//! What became of every record of a request, gathered in whatever order it is learned and told in the order of the
//! records. The counts are always true; the list of rejections is bounded.

use std::collections::BinaryHeap;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::PostError;
use queue::{PutOutcome, QueueError};
use serde::Serialize;

use crate::error::{ApiError, Code};

/// One record that was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Which record of the request, counted from 0; blank lines are not records.
    pub index: u64,
    /// Its id, if one can be read. A post without one that was on its way to the queue has been given one: sent again
    /// under it, it is not counted twice.
    pub id: Option<String>,
    /// Stable.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// Whether the same record may be stored later.
    pub retryable: bool,
}

impl Ord for Rejection {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.index.cmp(&other.index)
    }
}

impl PartialOrd for Rejection {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The tally of one request.
#[derive(Debug)]
pub struct Answer {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    /// The first ones by index: the largest index is on top and is the first to go.
    listed: BinaryHeap<Rejection>,
    listed_max: usize,
    /// The first failure of the queue.
    refused: Option<ApiError>,
    /// What is wrong with the request as a whole.
    stopped: Option<ApiError>,
    /// The first record that was not read.
    unread_from: Option<u64>,
}

/// The body of the answer.
#[derive(Serialize)]
struct AnswerBody {
    accepted: u64,
    duplicates: u64,
    rejected: Vec<Rejection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread_from: Option<u64>,
    #[serde(flatten)]
    error: Option<ErrorPart>,
}

#[derive(Serialize)]
struct ErrorPart {
    code: &'static str,
    message: String,
    retryable: bool,
}

impl Answer {
    /// Of a request whose records are not known yet.
    pub fn new(listed_max: usize) -> Answer {
        Answer {
            accepted: 0,
            duplicates: 0,
            rejected: 0,
            listed: BinaryHeap::new(),
            listed_max,
            refused: None,
            stopped: None,
            unread_from: None,
        }
    }

    /// The queue's answer for one record.
    pub fn outcome(&mut self, index: u64, id: &str, outcome: PutOutcome) {
        match outcome {
            PutOutcome::Accepted => self.accepted += 1,
            PutOutcome::Duplicate => self.duplicates += 1,
            PutOutcome::TooLarge => self.reject(index, || {
                let error = PostError::TooLong;
                (
                    Some(id.to_owned()),
                    error.code(),
                    "the queue takes no post this long; split the article".into(),
                    false,
                )
            }),
        }
    }

    /// The record is no post.
    pub fn invalid(&mut self, index: u64, error: &PostError, id: impl FnOnce() -> Option<String>) {
        self.reject(index, || (id(), error.code(), error.to_string(), false));
    }

    /// Nothing after this record can be told apart.
    pub fn broken(&mut self, index: u64, offset: u64, reason: &str) {
        let message = format!("not valid JSON at byte {offset}: {reason}; nothing after it was read, send that again");
        self.reject(index, || (None, "bad_json", message, false));
    }

    /// The queue would not take the record.
    pub fn refused(&mut self, index: u64, id: Option<&str>, error: &QueueError) {
        let error = ApiError::from(error);
        self.reject(index, || {
            (id.map(str::to_owned), error.code.name(), error.message.clone(), error.code.retryable())
        });
        self.refused.get_or_insert(error);
    }

    /// The body was left before this record, unread.
    pub fn stop(&mut self, unread_from: u64, error: ApiError) {
        self.unread_from = Some(unread_from);
        self.stopped = Some(error);
    }

    /// The request failed as a whole, although it was read.
    pub fn fail(&mut self, error: ApiError) {
        self.stopped.get_or_insert(error);
    }

    /// `tell` gives id, code, message and whether to retry; it is asked only for what is listed.
    fn reject(&mut self, index: u64, tell: impl FnOnce() -> (Option<String>, &'static str, String, bool)) {
        self.rejected += 1;
        if self.listed.len() >= self.listed_max {
            if self.listed.peek().is_none_or(|last| last.index < index) {
                return;
            }
            self.listed.pop();
        }
        let (id, code, message, retryable) = tell();
        self.listed.push(Rejection { index, id, code, message, retryable });
    }

    /// The one error that stands for the request, if it failed as a whole. A request whose body was not read to its
    /// end never succeeds, so that nobody takes its silence about the rest for storage.
    fn failure(&self) -> Option<ApiError> {
        if let Some(stopped) = &self.stopped {
            return Some(stopped.clone());
        }
        if self.accepted + self.duplicates > 0 || self.rejected == 0 {
            return None;
        }
        if let Some(refused) = &self.refused {
            return Some(refused.clone());
        }
        let first = self.listed.iter().min()?;
        if self.rejected == 1 && first.code == PostError::TooLong.code() {
            return Some(ApiError::new(Code::PostTooLong, first.message.clone()));
        }
        let message = format!("none of the {} records is a post; the first: {}", self.rejected, first.message);
        Some(ApiError::new(Code::NoValidPost, message))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let failure = self.failure();
        let rejected = self.listed.into_sorted_vec();
        let part = |error: ApiError| ErrorPart {
            code: error.code.name(),
            message: error.message,
            retryable: error.code.retryable(),
        };
        let code = failure.as_ref().map(|error| error.code);
        let body = AnswerBody {
            accepted: self.accepted,
            duplicates: self.duplicates,
            rejected_total: (rejected.len() as u64 != self.rejected).then_some(self.rejected),
            rejected,
            unread_from: self.unread_from,
            error: failure.map(part),
        };
        let mut response = match code {
            Some(code) => code.respond(body),
            None => (StatusCode::ACCEPTED, Json(body)).into_response(),
        };
        if self.unread_from.is_some() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
