//! The table of addresses.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::routing::{get, post};

use crate::edge::Edge;
use crate::error::{ApiError, Code};
use crate::{health, posts, reads};

/// All addresses there are; what is not here is answered as every other error is.
pub fn router(edge: Arc<Edge>) -> Router {
    Router::new()
        .route("/v1/posts", post(posts::post))
        .route("/v1/queue", get(health::queue))
        .route("/v1/publications", get(reads::publications))
        .route("/v1/publications/{key}/entities", get(reads::entities))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .with_state(edge)
}

async fn not_found(uri: Uri) -> ApiError {
    let message =
        format!("there is nothing at {}; posts go to /v1/posts, counters are below /v1/publications", uri.path());
    ApiError::new(Code::NotFound, message)
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let right = if uri.path() == "/v1/posts" { "POST" } else { "GET" };
    let message = format!("{} does not take {method}; use {right}", uri.path());
    ApiError::new(Code::MethodNotAllowed, message)
}
