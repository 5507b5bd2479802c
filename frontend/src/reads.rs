//! `GET /v1/publications` and what is below it: the counters, as the store has them now. The bodies have the shape
//! that `copydesk publications --json` and `copydesk entities --json` print.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use common::publication_key;
use serde::Deserialize;
use store::{EntityCount, Filter, PublicationCount, Reader, StoreError};

use crate::edge::Edge;
use crate::error::{ApiError, Code};

/// Counters in an answer, if the client does not say how many.
const TOP_DEFAULT: usize = 100;

/// Parameters of [`entities`].
#[derive(Deserialize)]
pub struct EntitiesQuery {
    label: Option<String>,
    /// 0 is all.
    top: Option<usize>,
}

/// All publications, most articles first.
pub async fn publications(State(edge): State<Arc<Edge>>) -> Result<Json<Vec<PublicationCount>>, ApiError> {
    read(edge, |reader| reader.publications()).await.map(Json)
}

/// The counters of one publication, highest first.
pub async fn entities(
    State(edge): State<Arc<Edge>>,
    publication: Result<Path<String>, PathRejection>,
    query: Result<Query<EntitiesQuery>, QueryRejection>,
) -> Result<Json<Vec<EntityCount>>, ApiError> {
    let Path(publication) = publication.map_err(|error| {
        let message = format!("{}; percent-encode the publication's UTF-8", error.body_text());
        ApiError::new(Code::BadRequest, message)
    })?;
    let Query(EntitiesQuery { label, top }) = query.map_err(|error| {
        let message = format!("{}; the parameters are label=TEXT and top=NUMBER", error.body_text());
        ApiError::new(Code::BadRequest, message)
    })?;
    let key = publication_key(&publication);
    let filter = Filter { publication: Some(key.clone()), label, top: top.unwrap_or(TOP_DEFAULT) };
    let found = read(edge, move |reader| {
        let counts = reader.entities(&filter)?;
        // A publication without a counter that fits is something else than no publication.
        let known = !counts.is_empty() || reader.publications()?.iter().any(|known| known.publication == key);
        Ok(known.then_some(counts))
    });
    found.await?.map(Json).ok_or_else(|| {
        let message = format!("there is no publication {publication:?}; GET /v1/publications lists what there is");
        ApiError::new(Code::UnknownPublication, message)
    })
}

/// Reads on a thread that may block, a few at a time. The store is opened anew, so that one which was replaced is seen.
async fn read<T: Send + 'static>(
    edge: Arc<Edge>,
    ask: impl FnOnce(&mut dyn Reader) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let failed = || ApiError::new(Code::Internal, "reading the store broke off; see the log of the frontend");
    let _turn = edge.reads.acquire().await.map_err(|_| failed())?;
    let open = edge.store.clone();
    let answer = tokio::task::spawn_blocking(move || ask(&mut *open()?)).await;
    answer.map_err(|_| failed())?.map_err(ApiError::from)
}
