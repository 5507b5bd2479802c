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

/// Whether posts that are sent here are taken, and somebody counts them.
pub async fn readyz(State(edge): State<Arc<Edge>>) -> Response {
    let reasons = match edge.stats().await {
        Ok(stats) => faults(&stats),
        Err(error) => vec![error.message],
    };
    if reasons.is_empty() {
        return Json(json!({"status": "ready"})).into_response();
    }
    let message = format!("not ready: {}", reasons.join("; "));
    let code = Code::NotReady;
    code.respond(NotReady { code: code.name(), message, retryable: code.retryable(), reasons })
}

/// What is wrong with a pipeline that answers.
fn faults(stats: &Stats) -> Vec<String> {
    let mut faults = Vec::new();
    if stats.phase != Phase::Running.name() {
        faults.push(format!("the pipeline is in phase {:?}; wait until it is in \"running\"", stats.phase));
    }
    let degraded = stats.annex.get("degraded").and_then(|names| names.as_array()).into_iter().flatten();
    for name in degraded.filter_map(|name| name.as_str()) {
        faults.push(format!("{name} ends again and again, or is stuck; see the log of the backend"));
    }
    for kind in ["workers", "savers"] {
        let nobody = stats.annex.get(kind).and_then(|children| children.as_array()).is_some_and(Vec::is_empty);
        if nobody {
            faults.push(format!("there are no {kind}; give the backend some with --{kind}"));
        }
    }
    if let Some(reason) = &stats.disk_full {
        faults.push(format!("no post is taken: {reason}"));
    }
    faults
}
