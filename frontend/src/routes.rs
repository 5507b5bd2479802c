//! The table of addresses.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::routing::{get, post};

use crate::edge::Edge;
use crate::error::{ApiError, Code};
use crate::{dead_letters, health, posts, reads};

/// All addresses there are; what is not here is answered as every other error is.
pub fn router(edge: Arc<Edge>) -> Router {
    Router::new()
        .route("/v1/posts", post(posts::post))
        .route("/v1/queue", get(health::queue))
        .route("/v1/dead-letters", get(dead_letters::list))
        .route("/v1/dead-letters/{letter}", get(dead_letters::show).delete(dead_letters::drop_letter))
        .route("/v1/dead-letters/{letter}/retry", post(dead_letters::retry))
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
    let right = match uri.path().strip_prefix("/v1/") {
        Some("posts") => "POST",
        Some(path) if path.starts_with("dead-letters/") && path.ends_with("/retry") => "POST",
        Some(path) if path.starts_with("dead-letters/") => "GET or DELETE",
        _ => "GET",
    };
    let message = format!("{} does not take {method}; use {right}", uri.path());
    ApiError::new(Code::MethodNotAllowed, message)
}
