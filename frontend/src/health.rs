//! How things are: `GET /v1/queue`, `/healthz`, `/readyz`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use common::Phase;
use queue::Stats;
use serde::Serialize;
use serde_json::json;

use crate::edge::Edge;
use crate::error::{ApiError, Code};

/// The state of the pipeline, as the queue manager and whoever hosts it tell it.
pub async fn queue(State(edge): State<Arc<Edge>>) -> Result<Json<Stats>, ApiError> {
    edge.stats().await.map(Json)
}

/// That this process lives, and nothing else: a supervisor that restarts it helps only if it does not.
pub async fn healthz() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

#[derive(Serialize)]
struct NotReady {
    code: &'static str,
    message: String,
    retryable: bool,
    reasons: Vec<String>,
}

/// Whether posts that are sent here get anywhere: the queue answers, and the pipeline runs.
pub async fn readyz(State(edge): State<Arc<Edge>>) -> Response {
    let reason = match edge.stats().await {
        Ok(stats) if stats.phase != Phase::Running.name() => format!("the pipeline is in phase {:?}", stats.phase),
        Ok(stats) => match degraded(&stats) {
            None => return Json(json!({"status": "ready"})).into_response(),
            Some(names) => format!("in a crash loop: {names}"),
        },
        Err(error) => error.message,
    };
    let message = format!("not ready: {reason}; wait, and see the log of the backend");
    let code = Code::NotReady;
    code.respond(NotReady { code: code.name(), message, retryable: code.retryable(), reasons: vec![reason] })
}

/// Who of the workers and savers dies again and again, as the supervisor reports it; none if all is well.
fn degraded(stats: &Stats) -> Option<String> {
    let names = stats.annex.get("degraded")?.as_array()?;
    let names: Vec<_> = names.iter().filter_map(|name| name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
