//! `POST /v1/posts`: what kind of body it is, and the answer.
//!
//! A body without a `Content-Type` is read as JSON, which includes objects separated by white space; what JSON can't
//! do is go on after a line that is no JSON, and for that a client says `application/x-ndjson`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use common::records::Format;

use crate::body::{Chunks, Encoding};
use crate::edge::Edge;
use crate::error::{ApiError, Code};
use crate::ingest::ingest;

/// The handler.
pub async fn post(State(edge): State<Arc<Edge>>, headers: HeaderMap, body: Body) -> Response {
    match (format(&headers), encoding(&headers)) {
        (Ok(format), Ok(encoding)) => {
            ingest(&edge, format, Chunks::new(body, encoding, &edge.limits)).await.into_response()
        }
        (Err(error), _) | (_, Err(error)) => error.into_response(),
    }
}

fn format(headers: &HeaderMap) -> Result<Format, ApiError> {
    let value = text(headers, header::CONTENT_TYPE);
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "" | "application/json" | "text/json" => Ok(Format::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            Ok(Format::Lines)
        }
        _ => Err(ApiError::new(
            Code::UnsupportedMediaType,
            format!("posts don't come as {value:?}; set Content-Type to application/json or application/x-ndjson"),
        )),
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let value = text(headers, header::CONTENT_ENCODING);
    match value.to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "zstd" => Ok(Encoding::Zstd),
        _ => Err(ApiError::new(
            Code::UnsupportedEncoding,
            format!("Content-Encoding {value:?} is not known here; send the body plain, or use gzip or zstd"),
        )),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned()).unwrap_or_default()
}
