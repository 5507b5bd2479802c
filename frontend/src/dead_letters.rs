//! `/v1/dead-letters`: posts and batches that nobody could process, and what to do with them: look, retry, drop.
//!
//! A payload may have 32 MiB and the queue tells letters only with their payloads, so one request at a time asks for
//! them, a page leaves them out, and an answer that has one counts as memory until the client has read it.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use queue::{DeadLetter, QueueId};
use serde::{Deserialize, Serialize};

use crate::edge::{Edge, Hold};
use crate::error::{ApiError, Code};
use crate::letter::{LetterName, Summary, Whole};
use crate::outgoing::HeldBody;

/// Letters in a page, if the client does not say how many.
const LIMIT_DEFAULT: u32 = 100;
/// Letters in a page at most.
const LIMIT_MAX: u32 = 1_000;

/// Parameters of [`list`].
#[derive(Deserialize)]
pub struct ListQuery {
    after: Option<String>,
    limit: Option<u32>,
}

/// Some dead letters.
#[derive(Serialize)]
pub struct Page {
    dead_letters: Vec<Summary>,
    /// What to give as `after` for those that follow; none if there are no more.
    next: Option<String>,
}

/// What became of a letter.
#[derive(Serialize)]
pub struct Done {
    letter: String,
    outcome: &'static str,
}

/// Dead letters in their order, without payloads.
pub async fn list(
    State(edge): State<Arc<Edge>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page>, ApiError> {
    let bad = |message: String| ApiError::new(Code::BadRequest, message);
    let parameters = "the parameters are after=LETTER and limit=NUMBER";
    let Query(ListQuery { after, limit }) =
        query.map_err(|error| bad(format!("{}; {parameters}", error.body_text())))?;
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(bad(format!("limit={limit} is none; give 1 to {LIMIT_MAX}, and ask for the rest with after=")));
    }
    let after = after.map(|text| text.parse::<LetterName>()).transpose().map_err(|error| bad(error.to_string()))?;
    let after = after.map(|name| (name.queue, name.seq));

    let letters = ask(&edge, after, limit).await?;
    let last = letters.last().map(LetterName::of);
    let dead_letters = letters.iter().map(Summary::from).collect();
    // Before more of them come.
    drop(letters);
    // A page may be short because its letters are long, so what is left shows only when it is asked for.
    let next = match last {
        Some(last) if !ask(&edge, Some((last.queue, last.seq)), 1).await?.is_empty() => Some(last.to_string()),
        _ => None,
    };
    Ok(Json(Page { dead_letters, next }))
}

/// One dead letter with its payload.
pub async fn show(
    State(edge): State<Arc<Edge>>,
    letter: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let name = name(letter)?;
    let letter = ask(&edge, name.before(), 1).await?.pop().filter(|letter| LetterName::of(letter) == name);
    let letter = letter.ok_or_else(|| unknown(&name))?;
    let failed = || ApiError::new(Code::Internal, "writing the answer broke off; see the log of the frontend");
    // Checking and copying 32 MiB keeps a reactor from all others.
    let writing = tokio::task::spawn_blocking(move || serde_json::to_vec(&Whole::from(&letter)));
    let text = writing.await.map_err(|_| failed())?.map_err(|_| failed())?;
    let mut hold = Hold::new(&edge.memory);
    if !hold.set(text.len()) {
        let message = "too much is being sent and read at once; ask for this again after a pause";
        return Err(ApiError::new(Code::Overloaded, message));
    }
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((json, Body::new(HeldBody::new(text, hold))).into_response())
}

/// Puts a dead letter back into its queue, with its failed deliveries forgotten.
pub async fn retry(
    State(edge): State<Arc<Edge>>,
    letter: Result<Path<String>, PathRejection>,
) -> Result<Json<Done>, ApiError> {
    let name = name(letter)?;
    let retried = edge.answered(edge.limits.dead_letters_timeout, edge.queue.retry_dead(name.queue, name.seq));
    retried.await.map_err(|error| about(&name, error))?;
    Ok(Json(Done { letter: name.to_string(), outcome: "retried" }))
}

/// Forgets a dead letter for good.
pub async fn drop_letter(
    State(edge): State<Arc<Edge>>,
    letter: Result<Path<String>, PathRejection>,
) -> Result<Json<Done>, ApiError> {
    let name = name(letter)?;
    let dropped = edge.answered(edge.limits.dead_letters_timeout, edge.queue.drop_dead(name.queue, name.seq));
    dropped.await.map_err(|error| about(&name, error))?;
    Ok(Json(Done { letter: name.to_string(), outcome: "dropped" }))
}

/// Letters with their payloads, asked for by one request at a time.
async fn ask(edge: &Edge, after: Option<(QueueId, u64)>, limit: u32) -> Result<Vec<DeadLetter>, ApiError> {
    let answered = edge.answered(edge.limits.dead_letters_timeout, async {
        // It is never closed.
        let _turn = edge.letters.acquire().await.ok();
        edge.queue.dead_letters(after, limit).await
    });
    answered.await
}

fn name(letter: Result<Path<String>, PathRejection>) -> Result<LetterName, ApiError> {
    let bad = |error: &dyn std::fmt::Display| {
        let message = format!("{error}; GET /v1/dead-letters lists what there is");
        ApiError::new(Code::UnknownDeadLetter, message)
    };
    let Path(text) = letter.map_err(|error| bad(&error.body_text()))?;
    text.parse().map_err(|error| bad(&error))
}

/// The queue knows numbers, the client a name.
fn about(name: &LetterName, error: ApiError) -> ApiError {
    if error.code == Code::UnknownDeadLetter { unknown(name) } else { error }
}

fn unknown(name: &LetterName) -> ApiError {
    let message = format!(
        "there is no dead letter {name}; perhaps it was retried or dropped before; GET /v1/dead-letters lists what \
         there is"
    );
    ApiError::new(Code::UnknownDeadLetter, message)
}
