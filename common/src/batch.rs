//! A batch: what a worker hands to a saver. It is applied as one transaction, once, whatever is delivered twice.
//!
//! Batches travel through the results queue as JSON: a few per cent of a worker's time, and in exchange a dead letter
//! can be read by a person and an older version by a newer saver.

use serde::{Deserialize, Serialize};

use crate::mention::Place;

/// Increments that one store transaction applies together with the marker of `id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Unique for ever. A store that has the marker of this id has applied the batch.
    pub id: String,
    /// The counters, at most one entry a key.
    pub publications: Vec<PublicationCounts>,
    /// Each post's own mentions, if they are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub posts: Vec<KeptPost>,
}

/// The increments below one publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicationCounts {
    /// [`crate::publication_key`] of the publication.
    pub key: String,
    /// The publication as one of its posts spelled it, trimmed; for display.
    pub name: String,
    /// Articles to add. Zero in the further parts of a publication that was split.
    pub articles: u64,
    /// `(label, entity, count to add)`, each `(label, entity)` once, in this order.
    pub entities: Vec<(String, String, u64)>,
}

/// A post whose mentions are kept beside the counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPost {
    /// The post's id.
    pub id: String,
    /// Its publication's key.
    pub publication: String,
    /// Its headline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// As the client sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<String>,
    /// As the client sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// In reading order, title first.
    pub mentions: Vec<KeptMention>,
}

/// [`crate::Mention`], owned. Offsets count Unicode scalar values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptMention {
    /// The kind of thing.
    pub label: String,
    /// The slice of the text.
    pub text: String,
    /// Start, inclusive.
    pub start: usize,
    /// End, exclusive.
    pub end: usize,
    /// The normalised form.
    pub entity: String,
    /// Title or content.
    #[serde(rename = "in", default, skip_serializing_if = "Place::is_content")]
    pub place: Place,
}

impl Batch {
    /// How many counters the batch moves: what a store's transaction is limited by.
    pub fn increments(&self) -> usize {
        self.publications.iter().map(|counts| 1 + counts.entities.len()).sum()
    }
}
