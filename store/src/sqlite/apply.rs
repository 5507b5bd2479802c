//! What is written inside a transaction: markers, counters, kept posts.

use common::{Batch, KeptPost, Place};
use rusqlite::{Connection, OptionalExtension, params};

use super::error::Fault;
use super::merge::Merged;
use crate::api::Applied;

/// Confirmed markers are kept for so long after their batch was applied, should a queue be restored from a backup.
const MARKER_SECONDS: i64 = 7 * 24 * 3600;

/// Markers pruned in one transaction: several times what one adds, so that pruning keeps up and nobody waits for it.
const PRUNE_MAX: i64 = 256;

/// Applies batches together, except those whose marker is there. Fails as a whole; the caller rolls back.
pub fn batches(connection: &Connection, batches: &[Batch]) -> Result<Vec<Applied>, Fault> {
    let mut outcomes = Vec::with_capacity(batches.len());
    let mut mark = connection.prepare_cached(
        "INSERT INTO batches (id, applied_at, confirmed) VALUES (?1, unixepoch(), 0) ON CONFLICT DO NOTHING",
    )?;
    for batch in batches {
        outcomes.push(if mark.execute([&batch.id])? == 1 { Applied::Now } else { Applied::Before });
    }
    let fresh =
        || batches.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Applied::Now).map(|(batch, _)| batch);
    counters(connection, &Merged::of(fresh()))?;
    for post in fresh().flat_map(|batch| &batch.posts) {
        keep(connection, post)?;
    }
    Ok(outcomes)
}

fn counters(connection: &Connection, merged: &Merged<'_>) -> Result<(), Fault> {
    // A sum that no longer fits becomes a floating-point number in SQLite, which a strict table refuses.
    let mut count = connection.prepare_cached(
        "INSERT INTO counters (publication, label, entity, count) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET count = count + excluded.count",
    )?;
    for (key, increments) in &merged.publications {
        let id = publication(connection, key, increments.name, increments.articles)?;
        for &(label, entity, increment) in &increments.counters {
            count.execute(params![id, label, entity, increment])?;
        }
    }
    Ok(())
}

/// Adds articles to a publication and gives its id. A publication first met in a kept post has no name yet.
fn publication(connection: &Connection, key: &str, name: &str, articles: u64) -> Result<i64, Fault> {
    let mut add = connection.prepare_cached(
        "INSERT INTO publications (key, name, articles) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET articles = articles + excluded.articles, name = iif(name = '', excluded.name, name)
         RETURNING id",
    )?;
    Ok(add.query_row(params![key, name, articles], |row| row.get(0))?)
}

/// Keeps a post and its mentions, once: a post that came in again long after the first time changes nothing.
fn keep(connection: &Connection, post: &KeptPost) -> Result<(), Fault> {
    let publication = publication(connection, &post.publication, "", 0)?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO posts (id, publication, title, published_at, url) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING RETURNING number",
    )?;
    let row = params![post.id, publication, post.title, post.published_at, post.url];
    let Some(number) = insert.query_row(row, |row| row.get::<_, i64>(0)).optional()? else { return Ok(()) };
    let mut insert = connection.prepare_cached("INSERT INTO mentions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    for (position, mention) in post.mentions.iter().enumerate() {
        let place = match mention.place {
            Place::Title => "title",
            Place::Content => "content",
        };
        let (label, entity, text) = (&mention.label, &mention.entity, &mention.text);
        insert.execute(params![number, position, label, entity, text, place, mention.start, mention.end])?;
    }
    Ok(())
}

/// Writes down confirmations, and forgets some old markers that were confirmed.
pub fn housekeeping(connection: &Connection, confirmed: &[String]) -> rusqlite::Result<()> {
    let mut confirm = connection.prepare_cached("UPDATE batches SET confirmed = 1 WHERE id = ?1")?;
    for id in confirmed {
        confirm.execute([id])?;
    }
    let mut prune = connection.prepare_cached(
        "DELETE FROM batches WHERE id IN (
             SELECT id FROM batches WHERE confirmed = 1 AND applied_at < unixepoch() - ?1 ORDER BY applied_at LIMIT ?2)",
    )?;
    prune.execute([MARKER_SECONDS, PRUNE_MAX])?;
    Ok(())
}
