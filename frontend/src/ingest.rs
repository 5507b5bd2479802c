//! Bytes to records, records to batches, batches to the queue. A record is checked as soon as it has come, its own
//! bytes are what the queue carries, and a few batches are on their way while the next one fills.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use common::records::{Format, Record, Records};
use common::{Post, PostError};
use queue::{Item, PutOutcome, QueueError};
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::answer::Answer;
use crate::body::{CHUNK_BYTES_MAX, Chunks};
use crate::edge::{Edge, Hold};
use crate::error::{ApiError, Code};

/// A last batch this small does not travel alone but with those of other requests.
const MERGED_ITEMS_MAX: usize = 32;
/// See [`MERGED_ITEMS_MAX`].
const MERGED_BYTES_MAX: usize = 256 << 10;

/// A record up to so long is copied out of the chunk it came in: it may be little of a large chunk, which would be held
/// as long as the record is. A longer one spans chunks, and so has memory of its own already.
const COPIED_BYTES_MAX: usize = CHUNK_BYTES_MAX;

/// What is held of a post beside its bytes, about: its id twice, and its place in lists.
const ITEM_BYTES: usize = 256;

/// A record this large is parsed on a thread that may block: a megabyte takes a millisecond, in which a reactor serves
/// a hundred others.
const PARSED_INLINE_BYTES_MAX: usize = 256 << 10;

/// Takes in a whole body, or as much of it as makes sense, and says what became of every record.
pub async fn ingest(edge: &Arc<Edge>, format: Format, mut chunks: Chunks) -> Answer {
    let mut intake = Intake {
        edge,
        records: Records::new(format),
        index: 0,
        batch: Batch::default(),
        on_the_way: JoinSet::new(),
        bytes_on_the_way: 0,
        failure: None,
        rest: None,
        answer: Answer::new(edge.limits.rejections_listed),
    };
    let mut hold = Hold::new(&edge.memory);
    let stopped = loop {
        let chunk = match intake.next_chunk(&mut chunks).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => {
                if let Some(record) = intake.records.finish() {
                    intake.take(record).await;
                }
                break None;
            }
            Err(error) => break Some(error),
        };
        intake.records.push(chunk);
        while let Some(record) = intake.records.next() {
            intake.take(record).await;
        }
        if !hold.set(intake.held(&chunks)) {
            // All requests together hold too much. What can leave does, and meanwhile nothing is read; what is left is
            // a post that has not ended.
            intake.send_all().await;
            if !hold.set(intake.held(&chunks)) {
                let message = "too much is being sent at once; send this again after a pause";
                break Some(ApiError::new(Code::Overloaded, message));
            }
        }
        // A client that sends as fast as it can must not keep others waiting.
        tokio::task::yield_now().await;
    };
    intake.flush_last().await;
    intake.arrive().await;
    let mut answer = intake.answer;
    match stopped {
        Some(error) => answer.stop(intake.index, error),
        None if chunks.decoded_bytes() == 0 => {
            answer.fail(ApiError::new(Code::EmptyBody, "the body is empty; send a post as a JSON object"));
        }
        None => {}
    }
    answer
}

/// One request's way through.
struct Intake<'a> {
    edge: &'a Arc<Edge>,
    records: Records,
    /// Of the next record.
    index: u64,
    batch: Batch,
    on_the_way: JoinSet<Put>,
    bytes_on_the_way: usize,
    /// The first failure of a put: nothing more is put.
    failure: Option<QueueError>,
    /// Set once nothing more can be stored: how long and how far the rest of the body is still read.
    rest: Option<Rest>,
    answer: Answer,
}

struct Rest {
    until: Instant,
    bytes_left: u64,
    why: ApiError,
}

/// Posts for one put.
#[derive(Default)]
struct Batch {
    names: Vec<(u64, String)>,
    payloads: Vec<Payload>,
    /// Copied payloads, one after the other.
    area: BytesMut,
    /// Held for it all.
    bytes: usize,
}

enum Payload {
    /// So many bytes of the area.
    Copied(usize),
    Own(Bytes),
}

impl Batch {
    fn add(&mut self, index: u64, id: String, payload: Bytes) {
        self.bytes += payload.len() + ITEM_BYTES;
        self.names.push((index, id));
        self.payloads.push(if payload.len() <= COPIED_BYTES_MAX {
            self.area.extend_from_slice(&payload);
            Payload::Copied(payload.len())
        } else {
            Payload::Own(payload)
        });
    }

    fn items(self) -> (Vec<Item>, Vec<(u64, String)>) {
        let mut area = self.area.freeze();
        let payloads = self.payloads.into_iter().map(|payload| match payload {
            Payload::Copied(bytes) => area.split_to(bytes),
            Payload::Own(payload) => payload,
        });
        let items = self.names.iter().zip(payloads).map(|((_, id), payload)| Item { id: id.clone(), payload });
        (items.collect(), self.names)
    }
}

/// A put that has ended.
struct Put {
    names: Vec<(u64, String)>,
    bytes: usize,
    result: Result<Vec<PutOutcome>, QueueError>,
}

impl Intake<'_> {
    /// The next chunk of the body. Puts that end meanwhile are taken note of, so that a failure ends even a body that
    /// comes slowly.
    async fn next_chunk(&mut self, chunks: &mut Chunks) -> Result<Option<Bytes>, ApiError> {
        let rest = loop {
            if let Some(rest) = &mut self.rest {
                break rest;
            }
            let put = tokio::select! {
                biased;
                chunk = chunks.next() => return Ok(chunk?),
                Some(put) = self.on_the_way.join_next() => put,
            };
            self.account(put);
        };
        let Ok(chunk) = timeout_at(rest.until, chunks.next()).await else { return Err(rest.why.clone()) };
        let chunk = chunk?;
        let bytes = chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        rest.bytes_left = rest.bytes_left.checked_sub(bytes).ok_or_else(|| rest.why.clone())?;
        Ok(chunk)
    }

    async fn take(&mut self, record: Record) {
        let index = self.index;
        self.index += 1;
        let bytes = match record {
            Record::Whole { bytes, .. } => bytes,
            Record::TooLong { .. } => return self.answer.invalid(index, &PostError::TooLong, || None),
            Record::Broken { offset, reason } => {
                self.answer.broken(index, offset, reason);
                let why =
                    ApiError::new(Code::NoValidPost, "the body can't be read; correct it and send the rest again");
                self.leave_the_rest(why);
                return;
            }
        };
        if let Some(failure) = &self.failure {
            return self.answer.refused(index, id_of(&bytes).as_deref(), failure);
        }
        let parsed = if bytes.len() <= PARSED_INLINE_BYTES_MAX {
            check(&bytes)
        } else {
            let bytes = bytes.clone();
            let parsed = tokio::task::spawn_blocking(move || check(&bytes)).await;
            parsed.unwrap_or_else(|_| Err(PostError::BadJson("the parser failed on it".into())))
        };
        match parsed {
            Ok(id) => self.add(index, id, bytes).await,
            Err(error) => self.answer.invalid(index, &error, || id_of(&bytes)),
        }
    }

    async fn add(&mut self, index: u64, id: String, payload: Bytes) {
        let limits = &self.edge.limits;
        let full = self.batch.names.len() >= limits.put_items_max
            || self.batch.bytes + payload.len() > limits.put_bytes_max && !self.batch.names.is_empty();
        if full {
            self.flush().await;
        }
        self.batch.add(index, id, payload);
    }

    /// Bytes that this request holds.
    fn held(&self, chunks: &Chunks) -> usize {
        chunks.held() + self.records.held() + self.batch.bytes + self.bytes_on_the_way
    }

    /// Sends off what there is, and waits until it has arrived.
    async fn send_all(&mut self) {
        if !self.batch.names.is_empty() {
            self.flush().await;
        }
        self.arrive().await;
    }

    /// Waits for everything that is on its way.
    async fn arrive(&mut self) {
        while let Some(put) = self.on_the_way.join_next().await {
            self.account(put);
        }
    }

    /// Sends the batch off, when there is room for one more on the way.
    async fn flush(&mut self) {
        while let Some(put) = self.on_the_way.try_join_next() {
            self.account(put);
        }
        if self.on_the_way.len() >= self.edge.limits.puts_in_flight
            && let Some(put) = self.on_the_way.join_next().await
        {
            self.account(put);
        }
        let batch = std::mem::take(&mut self.batch);
        if let Some(failure) = &self.failure {
            for (index, id) in &batch.names {
                self.answer.refused(*index, Some(id), failure);
            }
            return;
        }
        let bytes = batch.bytes;
        self.bytes_on_the_way += bytes;
        let edge = self.edge.clone();
        let (items, names) = batch.items();
        self.on_the_way.spawn(async move {
            let result = edge.queue.put(items).await;
            Put { names, bytes, result }
        });
    }

    /// Sends off what is left. A few posts join those of other requests.
    async fn flush_last(&mut self) {
        if self.batch.names.is_empty() {
            return;
        }
        if self.failure.is_some() || self.batch.names.len() > MERGED_ITEMS_MAX || self.batch.bytes > MERGED_BYTES_MAX {
            return self.flush().await;
        }
        let batch = std::mem::take(&mut self.batch);
        let bytes = batch.bytes;
        self.bytes_on_the_way += bytes;
        let (items, names) = batch.items();
        let result = self.edge.merger.put(items).await;
        self.settle(Put { names, bytes, result });
    }

    fn account(&mut self, put: Result<Put, tokio::task::JoinError>) {
        match put {
            Ok(put) => self.settle(put),
            // Only a bug in a queue driver gets here; which records it took with it is not known.
            Err(error) => {
                tracing::error!(%error, "a put broke off");
                let why = ApiError::new(Code::Internal, "the edge failed; send the same posts with the same ids again");
                self.answer.fail(why);
            }
        }
    }

    fn settle(&mut self, put: Put) {
        self.bytes_on_the_way -= put.bytes;
        match put.result {
            Ok(outcomes) => {
                for ((index, id), outcome) in put.names.iter().zip(outcomes) {
                    self.answer.outcome(*index, id, outcome);
                }
            }
            Err(error) => {
                for (index, id) in &put.names {
                    self.answer.refused(*index, Some(id), &error);
                }
                self.leave_the_rest(ApiError::from(&error));
                self.failure.get_or_insert(error);
            }
        }
    }

    fn leave_the_rest(&mut self, why: ApiError) {
        let limits = &self.edge.limits;
        self.rest.get_or_insert_with(|| Rest {
            until: Instant::now() + limits.rest_timeout,
            bytes_left: limits.rest_bytes_max,
            why,
        });
    }
}

/// Checks a record, and gives it an id if it has none.
fn check(record: &[u8]) -> Result<String, PostError> {
    let post = Post::parse(record)?;
    Ok(match post.id {
        Some(id) if !id.is_empty() => id.into_owned(),
        _ => common::id::fresh(),
    })
}

/// The id of a record that is refused, if it can be read, for the client to know it by.
fn id_of(record: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        id: Option<Cow<'a, str>>,
    }
    let id = serde_json::from_slice::<Named<'_>>(record).ok()?.id?;
    (id.len() <= common::limits::ID_BYTES_MAX).then(|| id.into_owned())
}
