//! The table of error codes. Every error body is `{"code", "message", "retryable"}`: the code is stable, the message is
//! for people and ends with the next thing to try, and a retryable request may succeed later as it is.
//!
//! Codes of single records that are no posts are [`PostError::code`](common::PostError::code)'s.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use queue::QueueError;
use serde::Serialize;
use store::StoreError;

/// Why a request failed. The name in lower case with underscores is the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A parameter can't be understood.
    BadRequest,
    /// The body has no bytes.
    EmptyBody,
    /// No record of the body is a post.
    NoValidPost,
    /// The body is not what its `Content-Encoding` says.
    BadEncoding,
    /// The body broke off or is no HTTP body.
    BrokenBody,
    /// There is nothing at this address.
    NotFound,
    /// There is no such publication.
    UnknownPublication,
    /// There is no such dead letter.
    UnknownDeadLetter,
    /// The address exists, the method does not.
    MethodNotAllowed,
    /// The body was silent, or slower than allowed.
    BodyTimeout,
    /// The body is longer than a request may be.
    BodyTooLarge,
    /// The one post of the body is longer than a post may be.
    PostTooLong,
    /// Decompression makes the body larger than any text would get.
    DecompressionBomb,
    /// The `Content-Type` is none that posts come in.
    UnsupportedMediaType,
    /// The `Content-Encoding` is not known here.
    UnsupportedEncoding,
    /// The queue is at its bound.
    QueueFull,
    /// The store failed in a way that waiting will not mend.
    StoreUnusable,
    /// The pipeline takes no more posts because it is being stopped.
    Draining,
    /// The queue manager can't be reached, or refuses this edge.
    QueueUnavailable,
    /// Requests hold as much memory as they may.
    Overloaded,
    /// The store can't be read now.
    StoreUnavailable,
    /// `/readyz`: not ready.
    NotReady,
    /// A fault of this program.
    Internal,
}

impl Code {
    /// The table: code, status, and after how many seconds to try again, if that makes sense.
    fn row(self) -> (&'static str, StatusCode, Option<u32>) {
        match self {
            Code::BadRequest => ("bad_request", StatusCode::BAD_REQUEST, None),
            Code::EmptyBody => ("empty_body", StatusCode::BAD_REQUEST, None),
            Code::NoValidPost => ("no_valid_post", StatusCode::BAD_REQUEST, None),
            Code::BadEncoding => ("bad_encoding", StatusCode::BAD_REQUEST, None),
            Code::BrokenBody => ("broken_body", StatusCode::BAD_REQUEST, None),
            Code::NotFound => ("not_found", StatusCode::NOT_FOUND, None),
            Code::UnknownPublication => ("unknown_publication", StatusCode::NOT_FOUND, None),
            Code::UnknownDeadLetter => ("unknown_dead_letter", StatusCode::NOT_FOUND, None),
            Code::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, None),
            Code::BodyTimeout => ("body_timeout", StatusCode::REQUEST_TIMEOUT, Some(1)),
            Code::BodyTooLarge => ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, None),
            Code::PostTooLong => ("post_too_long", StatusCode::PAYLOAD_TOO_LARGE, None),
            Code::DecompressionBomb => ("decompression_bomb", StatusCode::PAYLOAD_TOO_LARGE, None),
            Code::UnsupportedMediaType => ("unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, None),
            Code::UnsupportedEncoding => ("unsupported_encoding", StatusCode::UNSUPPORTED_MEDIA_TYPE, None),
            Code::QueueFull => ("queue_full", StatusCode::TOO_MANY_REQUESTS, Some(1)),
            Code::StoreUnusable => ("store_unusable", StatusCode::INTERNAL_SERVER_ERROR, None),
            Code::Draining => ("draining", StatusCode::SERVICE_UNAVAILABLE, Some(5)),
            Code::QueueUnavailable => ("queue_unavailable", StatusCode::SERVICE_UNAVAILABLE, Some(2)),
            Code::Overloaded => ("overloaded", StatusCode::SERVICE_UNAVAILABLE, Some(1)),
            Code::StoreUnavailable => ("store_unavailable", StatusCode::SERVICE_UNAVAILABLE, Some(2)),
            Code::NotReady => ("not_ready", StatusCode::SERVICE_UNAVAILABLE, Some(2)),
            Code::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, None),
        }
    }

    /// The stable code.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The status of an answer with this code.
    pub fn status(self) -> StatusCode {
        self.row().1
    }

    /// Whether the same request may succeed later.
    pub fn retryable(self) -> bool {
        self.row().2.is_some()
    }

    /// What an answer with this code and this body looks like.
    pub fn respond(self, body: impl Serialize) -> Response {
        let mut response = (self.status(), Json(body)).into_response();
        if let (_, _, Some(seconds)) = self.row() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// An error with its message: what every failed request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Which.
    pub code: Code,
    /// For people.
    pub message: String,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'static str,
    message: &'a str,
    retryable: bool,
}

impl ApiError {
    /// With this message.
    pub fn new(code: Code, message: impl Into<String>) -> ApiError {
        ApiError { code, message: message.into() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { code: self.code.name(), message: &self.message, retryable: self.code.retryable() };
        self.code.respond(body)
    }
}

impl From<&QueueError> for ApiError {
    fn from(error: &QueueError) -> ApiError {
        match error {
            QueueError::Full(_) => ApiError::new(Code::QueueFull, format!("{error}; send it again after a pause")),
            QueueError::Closed => {
                ApiError::new(Code::Draining, format!("{error}; send it again when the pipeline has been restarted"))
            }
            QueueError::TooLarge { .. } => ApiError::new(Code::PostTooLong, format!("{error}; split the article")),
            QueueError::NotFound(_) => {
                ApiError::new(Code::UnknownDeadLetter, format!("{error}; GET /v1/dead-letters lists what there is"))
            }
            // What the edge gets wrong with its manager is no fault of the client: the same request will do later.
            _ => ApiError::new(
                Code::QueueUnavailable,
                format!("{error}; send it again later, and see that `copydesk backend` runs"),
            ),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        let code = match error {
            StoreError::Absent(_) | StoreError::Unavailable(_) => Code::StoreUnavailable,
            StoreError::UnknownStore(_) | StoreError::Unusable(_) => Code::StoreUnusable,
        };
        ApiError::new(code, error.to_string())
    }
}
